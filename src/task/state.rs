//! What a task is doing, in one byte that only its home thread reads and writes.
//!
//! ```text
//!            spawn                 pop                    Ready, panic, or CANCELLED at the pop
//!   (new) ----------> SCHEDULED ----------> RUNNING -----------------------------> COMPLETE
//!                        ^  wake             | Pending                                |
//!                        |                   v                                        v
//!                        +---------------- (idle)                        settled: freed, or left to
//!                                                                        the last counted reference
//! ```

use std::cell::Cell;

/// The task is in the ready queue, or about to be popped from it.
///
/// Set by a wake, which then pushes it; cleared by the pop, before the poll, so that a wake from inside the
/// poll queues it again. No reference is counted for being queued: a task that completes while `SCHEDULED`
/// stays allocated until it is popped.
pub(super) const SCHEDULED: u8 = 1 << 0;

/// The task is being polled, or its future dropped, further up this stack.
///
/// It may be `SCHEDULED` at the same time. It is never polled again before the flag is cleared, which is why
/// the executor refuses to run a batch from inside a task.
pub(super) const RUNNING: u8 = 1 << 1;

/// The future is gone: it returned, panicked or was cancelled.
///
/// Wakes and aborts have no effect any more.
pub(super) const COMPLETE: u8 = 1 << 2;

/// The future is to be dropped instead of polled when the task comes up.
///
/// Set at home by an abort, by the inbox for an abort from elsewhere, and by shutdown. A task that returns
/// before it comes up again keeps its output: the abort was too late.
pub(super) const CANCELLED: u8 = 1 << 3;

/// A `JoinHandle` (or, for the root, a `Root`) exists.
///
/// Cleared when it is dropped. It decides who drops the output, and keeps the task allocated.
pub(super) const JOIN_INTEREST: u8 = 1 << 4;

/// The stage holds the result, not yet taken.
pub(super) const OUTPUT: u8 = 1 << 5;

/// The root came up in the ready queue and its future has not been polled since. Only a root has it.
pub(super) const WOKEN: u8 = 1 << 6;

/// While one of these is set, or `COMPLETE` is not, the home thread keeps the task allocated.
const ANCHORS: u8 = SCHEDULED | RUNNING | JOIN_INTEREST;

/// What [`State::schedule`] found.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schedule {
    /// The task is now `SCHEDULED` and the caller has to push it.
    Push,
    /// It is queued already, or complete: nothing to do.
    Nothing,
}

/// The flags of one task.
#[derive(Debug)]
pub(super) struct State(Cell<u8>);

impl State {
    pub(super) fn new(flags: u8) -> Self {
        Self(Cell::new(flags))
    }

    /// Whether one of `flags` is set.
    #[inline]
    pub(super) fn has(&self, flags: u8) -> bool {
        self.0.get() & flags != 0
    }

    #[inline]
    pub(super) fn insert(&self, flags: u8) {
        self.0.set(self.0.get() | flags);
    }

    #[inline]
    pub(super) fn remove(&self, flags: u8) {
        self.0.set(self.0.get() & !flags);
    }

    /// Marks the task as queued, if it is not and still can run.
    #[inline]
    pub(super) fn schedule(&self) -> Schedule {
        if self.has(SCHEDULED | COMPLETE) {
            return Schedule::Nothing;
        }
        self.insert(SCHEDULED);
        Schedule::Push
    }

    /// Begins the poll of a task that came up; false if it is complete or cancelled.
    #[inline]
    pub(super) fn begin_poll(&self) -> bool {
        let polled = !self.has(COMPLETE | CANCELLED);
        if polled {
            self.insert(RUNNING);
        }
        polled
    }

    /// Whether nothing at home needs the task any more.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.0.get() & (COMPLETE | ANCHORS) == COMPLETE
    }
}
