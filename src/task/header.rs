//! What every task has in common, at the start of its allocation.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::cell::Cell;
use std::ptr::NonNull;
use std::task::Waker;

use super::cell::Table;
use super::id::Id;
use super::refs::{Last, Refs};
use super::state::{CANCELLED, COMPLETE, Schedule, State};
use crate::executor::{self, Executor, Node, Shared};
use crate::loom::atomic::{AtomicBool, AtomicPtr, Ordering};

/// See the table of threads in `task`.
#[repr(C)]
pub(crate) struct Header {
    pub(super) table: &'static Table,
    shared: NonNull<Shared>,
    pub(super) refs: Refs,
    /// The next in the ready queue.
    pub(crate) next: Cell<Option<TaskRef>>,
    /// The next in the inbox; belongs to whoever set `queued`.
    next_in_inbox: AtomicPtr<Self>,
    /// The neighbours in the executor's list of all tasks.
    pub(crate) owned_previous: Cell<Option<TaskRef>>,
    pub(crate) owned_next: Cell<Option<TaskRef>>,
    pub(super) join_waker: Cell<Option<Waker>>,
    pub(super) id: Id,
    pub(super) state: State,
    /// The task is in the inbox, or about to be put there.
    queued: AtomicBool,
    /// Somebody abroad wants the task to end.
    abort: AtomicBool,
    /// The task is over; for handles abroad.
    finished: AtomicBool,
}

const _: () = assert!(size_of::<Header>() <= 96, "a task costs this much beyond its future");

/// A pointer to a task's header that the holder has a reason to trust (rule 1 of `task`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskRef(pub(super) NonNull<Header>);

impl Header {
    pub(super) fn new(table: &'static Table, shared: NonNull<Shared>, id: Id, flags: u8) -> Self {
        Self {
            table,
            shared,
            refs: Refs::new(),
            next: Cell::new(None),
            next_in_inbox: AtomicPtr::new(std::ptr::null_mut()),
            owned_previous: Cell::new(None),
            owned_next: Cell::new(None),
            join_waker: Cell::new(None),
            id,
            state: State::new(flags),
            queued: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        }
    }

    pub(super) fn mark_finished(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}

// SAFETY: the link is the header's own, and `queued` lets one pusher at a time use it.
unsafe impl Node for Header {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next_in_inbox
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::ops::Deref for TaskRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: rule 1: whoever holds a `TaskRef` keeps the task allocated meanwhile.
        unsafe { self.0.as_ref() }
    }
}

impl TaskRef {
    /// The executor that this thread has entered, if the task is at home there.
    #[inline]
    pub(super) fn home<R>(self, at_home: impl FnOnce(Option<&Executor>) -> R) -> R {
        executor::with_entered(|entered| {
            at_home(entered.filter(|executor| executor.shared() == self.shared))
        })
    }

    /// Makes sure that the task is polled again.
    #[inline]
    pub(super) fn wake(self) {
        let abroad = self.home(|executor| match executor {
            Some(executor) => {
                self.schedule(executor);
                false
            }
            None => true,
        });
        if abroad {
            self.post();
        }
    }

    /// Puts the task into the ready queue, unless it is there or over; at home.
    #[inline]
    pub(super) fn schedule(self, executor: &Executor) {
        match self.state.schedule() {
            Schedule::Push => executor.push_ready(self),
            Schedule::Nothing => {}
        }
    }

    /// Sends the task to its home; from anywhere.
    #[cold]
    fn post(self) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.refs.retain_abroad();
        // SAFETY: rule 6.
        let shared = unsafe { self.shared.as_ref() };
        // SAFETY: rule 1: the inbox's reference was just counted; only the one who set `queued` pushes.
        let posted = unsafe { shared.post(self.0) };
        if !posted {
            // The home is gone, and with it the future.
            self.release_abroad();
        }
    }

    /// Takes a task out of the inbox: what was wanted abroad happens here; at home.
    pub(crate) fn arrive(node: NonNull<Header>, executor: &Executor) {
        let task = Self(node);
        // Cleared before the task is scheduled: a wake from here on sends it again. A swap, because it has to see
        // what the wakers wrote that found the flag set.
        task.queued.swap(false, Ordering::AcqRel);
        if task.abort.load(Ordering::Acquire) {
            task.state.insert(CANCELLED);
        }
        task.schedule(executor);
        task.release_home();
    }

    /// As [`arrive`](Self::arrive), for an inbox that is being closed.
    pub(crate) fn discard(node: NonNull<Header>) {
        let task = Self(node);
        task.queued.swap(false, Ordering::AcqRel);
        task.release_home();
    }

    /// Asks for the task's end; from anywhere. Its future is dropped by the loop.
    pub(super) fn cancel(self) {
        let abroad = self.home(|executor| match executor {
            Some(executor) => {
                if !self.state.has(COMPLETE) {
                    self.state.insert(CANCELLED);
                    self.schedule(executor);
                }
                false
            }
            None => true,
        });
        if abroad {
            self.abort.store(true, Ordering::Release);
            self.post();
        }
    }

    /// Counts a handle.
    #[inline]
    pub(super) fn retain(self) {
        self.home(|executor| match executor {
            Some(_) => self.refs.retain_home(),
            None => self.refs.retain_abroad(),
        });
    }

    /// Gives a counted handle up. The last one frees the task.
    #[inline]
    pub(super) fn release(self) {
        let last = self.home(|executor| match executor {
            Some(_) => self.refs.release_home(),
            None => self.refs.release_abroad(),
        });
        if last == Last::Yes {
            self.free();
        }
    }

    /// As [`release`](Self::release), on the home thread.
    fn release_home(self) {
        if self.refs.release_home() == Last::Yes {
            self.free();
        }
    }

    fn release_abroad(self) {
        if self.refs.release_abroad() == Last::Yes {
            self.free();
        }
    }

    /// Frees the task if nothing at home needs it and no handle is left; on the home thread.
    pub(crate) fn settle(self) {
        if self.state.is_settled() && !self.refs.is_merged() && self.refs.merge() == Last::Yes {
            self.free();
        }
    }

    #[cold]
    fn discard_memory(self) {
        let (shared, layout) = (self.shared, self.table.layout);
        // SAFETY: rule 1: we are the last to know the task; rule 3: it holds no value any more.
        unsafe { executor::free_memory(self.0.cast(), layout) };
        // SAFETY: rule 6: the count that the task held.
        unsafe { Shared::release(shared) };
    }

    fn free(self) {
        let recycled = self.home(|executor| match executor {
            Some(executor) => {
                executor.recycle(self.0.cast(), self.table.layout);
                true
            }
            None => false,
        });
        if !recycled {
            self.discard_memory();
        }
    }
}
