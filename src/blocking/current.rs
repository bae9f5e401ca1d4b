//! The pool of the runtime that the thread is in.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use super::pool::Pool;

/// The guards own it, so the thread's end has nothing to drop: as for the executor's.
type Current = Option<ManuallyDrop<Pool>>;

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(None) };
}

/// That of the runtime this thread entered last, or `None` outside all.
pub(crate) fn get() -> Option<Pool> {
    CURRENT.with_borrow(|current| current.as_deref().cloned())
}

/// Makes `pool` the current one until the guard is dropped; then it is again what was before.
pub(crate) fn enter(pool: &Pool) -> EnterGuard {
    EnterGuard { previous: CURRENT.replace(Some(ManuallyDrop::new(pool.clone()))) }
}

/// The thread is inside a runtime with a pool while this exists.
#[must_use = "dropping the guard leaves the pool"]
#[derive(Debug)]
pub(crate) struct EnterGuard {
    previous: Current,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        // What is taken out may be the last handle: it is dropped after the cell is free again.
        let left = CURRENT.replace(self.previous.take());
        drop(left.map(ManuallyDrop::into_inner));
    }
}
