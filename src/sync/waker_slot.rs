//! The waker of the one task that may wait at an end of a channel.

use std::cell::Cell;
use std::fmt;
use std::task::{Context, Waker};

/// Empty, or the waker of who waits.
#[derive(Default)]
pub(super) struct WakerSlot {
    /// What `waker` holds, to be looked at without taking it out.
    taken: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl WakerSlot {
    /// Keeps the waker of `cx`.
    ///
    /// Clones and drops wakers, whose code may do what is about to be waited for: look again afterwards.
    pub(super) fn keep(&self, cx: &Context<'_>) {
        // Out of the cell while the waker's own code may run.
        let kept = self.waker.take();
        let waker = match kept {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.taken.set(true);
        let stale = self.waker.replace(Some(waker));
        drop(stale);
    }

    /// Wakes who waits, if anybody does, and forgets it.
    #[inline]
    pub(super) fn wake(&self) {
        if self.taken.get() {
            self.take_and_wake();
        }
    }

    #[cold]
    fn take_and_wake(&self) {
        self.taken.set(false);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for WakerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakerSlot").field("taken", &self.taken.get()).finish_non_exhaustive()
    }
}
