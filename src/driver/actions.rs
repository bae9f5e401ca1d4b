//! What reaping leaves to be done once nothing is borrowed: wakers to call, payloads to drop, cancels to send.
//!
//! No waker is called and no value of the user's is dropped while the driver is borrowed, so a waker or a
//! destructor may itself submit, drop and wake.

use std::task::Waker;

use super::slots::Key;
use super::starved::{Place, Starved};

#[derive(Debug)]
pub(super) enum Action {
    /// The slot's last completion came and nobody will take it: release its payload, free the slot.
    Release(Key),
    Cancel(Key),
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
}

impl Actions {
    /// The waker is called at the end of this turn.
    #[inline]
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    /// As [`wake`](Self::wake), if there is one.
    #[inline]
    pub(crate) fn wake_taken(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            self.wake(waker);
        }
    }

    /// The waker is called, after those that came before it, when there is a buffer to receive into.
    #[cold]
    pub(crate) fn wake_when_fed(&mut self, waker: Waker) -> Place {
        self.starved.push(waker)
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

    pub(super) fn release(&mut self, key: Key) {
        self.others.push(Action::Release(key));
    }
}
