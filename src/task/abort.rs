//! The handle that can only end a task.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::fmt;

use super::header::TaskRef;
use super::id::Id;

/// Ends a task from anywhere. Dropping it has no effect on the task.
///
/// ```
/// fn send<T: Send + Sync>() {}
/// send::<annulus::task::AbortHandle>();
/// ```
pub struct AbortHandle {
    /// Counted.
    task: TaskRef,
}

// SAFETY: rules 1 and 2: the handle counts, and uses only what other threads may use unless it is at home.
unsafe impl Send for AbortHandle {}
// SAFETY: as above; every method takes the task by a shared reference.
unsafe impl Sync for AbortHandle {}

impl AbortHandle {
    /// On the home thread of the task.
    pub(super) fn new(task: TaskRef) -> Self {
        task.retain();
        Self { task }
    }

    /// Asks for the task's end. From another thread the wish travels to the task's own; the future is dropped
    /// there. No effect on a task that is over, or whose runtime is.
    pub fn abort(&self) {
        self.task.cancel();
    }

    /// True if the task is over: it returned, panicked or was cancelled.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.task.id
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> Self {
        Self::new(self.task)
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        self.task.release();
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
