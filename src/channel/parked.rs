//! What one end of a channel tells the other: that it waits, or that it is gone.
//!
//! Both sides of a wait do the same two things in opposite order: an end that waits says so, then looks at the
//! ring once more; the other changes the ring, then looks whether anybody waits. With a sequentially consistent fence
//! between the two on both sides, one of them sees the other. The end that waits has its fence here; where the other
//! has its own is in `later`.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::Waker;

use crate::loom::Mutex;
use crate::loom::atomic::{AtomicU8, Ordering, fence};

const AWAKE: u8 = 0;
const WAITING: u8 = 1;
/// The end was dropped. It stays so.
const GONE: u8 = 2;

/// One end, as the other sees it: a word that changes only around a wait, so that reading it costs nothing.
#[derive(Debug)]
pub(super) struct Parked {
    word: AtomicU8,
    /// Of who waits; the last one counts.
    waker: Mutex<Option<Waker>>,
}

impl Parked {
    pub(super) fn new() -> Self {
        Self { word: AtomicU8::new(AWAKE), waker: Mutex::new(None) }
    }

    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        if self.word.load(Ordering::Relaxed) != GONE {
            return false;
        }
        // What the end did before it went is seen. Only then, so that the compiler may go on with what it knows.
        fence(Ordering::Acquire);
        true
    }

    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.word.load(Ordering::Relaxed) == WAITING
    }

    /// Says that this end waits; the caller then looks at the ring again, and calls [`stop`](Self::stop) if that is
    /// of use to it. By the end itself.
    pub(super) fn wait(&self, waker: &Waker) {
        let waker = waker.clone();
        let former = self.slot().replace(waker);
        drop(former);
        // Release: whoever takes the word finds the waker.
        self.word.store(WAITING, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Says that it does not wait after all. By the end itself.
    pub(super) fn stop(&self) {
        let _woken =
            self.word.compare_exchange(WAITING, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Wakes the end if it waits, from any thread.
    #[inline]
    pub(super) fn wake(&self) {
        if self.is_waiting() {
            self.wake_waiting();
        }
    }

    #[cold]
    fn wake_waiting(&self) {
        let taken = self.word.compare_exchange(
            WAITING,
            AWAKE,
            // Acquire: for the waker. The end may have come back and waited anew meanwhile: then it is the new waker
            // that is called, which is right too.
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if taken.is_ok() {
            let waker = self.slot().take();
            wake_all(waker);
        }
    }

    /// Says that this end is gone. The caller then wakes the other. By the end itself.
    pub(super) fn leave(&self) {
        self.word.swap(GONE, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        let waker = self.slot().take();
        drop(waker);
    }

    fn slot(&self) -> crate::loom::MutexGuard<'_, Option<Waker>> {
        // Nothing of the user's runs under the lock.
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls wakers, which may be anybody's; what one of them throws concerns no sender and no receiver.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            // The payload's own drop may panic; what that throws is leaked.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            let _leaked = ManuallyDrop::new(dropped.err());
        }
    }
}
