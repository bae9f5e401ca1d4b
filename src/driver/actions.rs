//! What reaping leaves to be done once nothing is borrowed: wakers to call, payloads to drop, cancels to send.
//!
//! No waker of the user's is called and no value of the user's is dropped while the driver is borrowed, so a waker or a
//! destructor may itself submit, drop and wake. The wakers of tasks are known by their table, and are called at once.

use std::any::Any;
use std::ptr;
use std::task::{RawWakerVTable, Waker};

use super::slots::Key;
use super::starved::{Place, Starved};
use super::wakers::Wakers;

#[derive(Debug)]
pub(super) enum Action {
    /// The slot's last completion came and nobody will take it: release its payload, free the slot.
    Release(Key),
    Cancel(Key),
    Drop(Box<dyn Any>),
}

/// Which wakers run no code of the user's and do not touch the driver, in whatever is done with them: those with this
/// table. None, if it is null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trusted(*const RawWakerVTable);

impl Default for Trusted {
    fn default() -> Self {
        Self(ptr::null())
    }
}

impl Trusted {
    pub(super) fn new(table: &'static RawWakerVTable) -> Self {
        Self(table)
    }

    #[inline]
    pub(super) fn covers(self, waker: &Waker) -> bool {
        ptr::eq(waker.vtable(), self.0)
    }
}

/// The lists. Their memory is reused from turn to turn; a completion adds at most one action, and a wake for each task
/// that waits for the same resource.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(super) wakers: Vec<Waker>,
    pub(super) others: Vec<Action>,
    pub(super) starved: Starved,
    /// Operations that ended of those of which only so many are in the kernel at once.
    pub(super) ended_bounded: usize,
    pub(super) trusted: Trusted,
}

impl Actions {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
            && self.others.is_empty()
            && self.starved.is_empty()
            && self.ended_bounded == 0
    }

    /// The waker is called: at once if it is trusted, else at the end of this turn.
    #[inline]
    pub(crate) fn wake(&mut self, waker: Waker) {
        if self.trusted.covers(&waker) { waker.wake() } else { self.wakers.push(waker) }
    }

    /// Calls the waker if it is trusted, which may be used again then; false otherwise.
    #[inline]
    pub(crate) fn wake_keeping(&self, waker: &Waker) -> bool {
        let trusted = self.trusted.covers(waker);
        if trusted {
            waker.wake_by_ref();
        }
        trusted
    }

    /// As [`wake`](Self::wake), if there is one, which stays where it is if it is trusted.
    #[inline]
    pub(super) fn wake_in_place(&mut self, waker: &mut Option<Waker>) {
        if let Some(present) = waker
            && !self.wake_keeping(present)
        {
            self.wakers.extend(waker.take());
        }
    }

    /// As [`wake`](Self::wake), if there is one.
    #[inline]
    pub(crate) fn wake_taken(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            self.wake(waker);
        }
    }

    /// The wakers are called, after those that came before them, when there is a buffer to receive into.
    #[cold]
    pub(crate) fn wake_when_fed(&mut self, wakers: Wakers) -> Place {
        self.starved.push(wakers)
    }

    /// A bounded operation ended: at the end of this turn another one may begin.
    #[inline]
    pub(crate) fn end_bounded(&mut self) {
        self.ended_bounded += 1;
    }

    /// The operation is cancelled at the end of this turn.
    pub(crate) fn cancel(&mut self, key: Key) {
        self.others.push(Action::Cancel(key));
    }

    /// The value is dropped at the end of this turn, because its drop touches the driver.
    #[cold]
    pub(crate) fn drop_later(&mut self, value: impl Any) {
        self.others.push(Action::Drop(Box::new(value)));
    }

    pub(super) fn release(&mut self, key: Key) {
        self.others.push(Action::Release(key));
    }
}
