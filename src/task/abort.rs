//! A handle that aborts a task from any thread.
//!
//! # Safety rules
//!
//! By number, those of `task`. The handle owns a counted reference in the form of a waker (rule 1).
#![allow(unsafe_code, reason = "room 4: reads the header behind a waker")]

use std::fmt;
use std::task::Waker;

use super::header::{Header, TaskPtr};
use super::id::Id;
use super::waker;
use crate::loom::atomic::Ordering;

/// Aborts one task, from any thread.
///
/// ```
/// fn is_send_and_sync<T: Send + Sync>() {}
/// is_send_and_sync::<annulus::task::AbortHandle>();
/// is_send_and_sync::<annulus::task::JoinError>();
/// ```
///
/// It keeps neither the future nor the output alive, only a little memory. Dropping it does nothing.
#[derive(Clone)]
pub struct AbortHandle {
    /// Counts the reference, and makes the handle `Send` and `Sync` for the reasons that wakers are.
    waker: Waker,
}

impl AbortHandle {
    /// `waker` is one of `waker::counted`.
    pub(super) fn new(waker: Waker) -> Self {
        Self { waker }
    }

    fn task(&self) -> TaskPtr {
        // SAFETY: the waker is one of ours.
        unsafe { waker::task_of(&self.waker) }
    }

    fn header(&self) -> &Header {
        // SAFETY: rule 1; the waker keeps the task.
        unsafe { self.task().header() }
    }

    /// Asks the runtime to drop the task's future instead of polling it again.
    ///
    /// Returns at once: the future is dropped on the thread of its runtime, when the task comes up next there.
    /// After the task has finished there is no effect.
    pub fn abort(&self) {
        // SAFETY: rule 1; the waker keeps the task.
        unsafe { self.task().abort() };
    }

    /// Whether the task has finished, be it with an output, a panic or a cancellation.
    pub fn is_finished(&self) -> bool {
        self.header().finished.load(Ordering::Acquire)
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.header().id
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
