//! A signal that is given once and reaches every thread.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::loom::atomic::{AtomicBool, Ordering};
use crate::loom::{Mutex, MutexGuard};

/// The request that a mesh stops, which anything may make and every shard can await.
///
/// A clone is the same signal. It cannot be taken back. Nothing happens by itself to a shard whose future does not
/// look: it has the time of [`Builder::drain`](super::Builder::drain), and is then dropped.
///
/// ```
/// use annulus::mesh::{Cores, Mesh, Stop};
///
/// let stop = Stop::new();
/// let elsewhere = stop.clone();
/// let thread = std::thread::spawn(move || elsewhere.stop());
/// Mesh::builder().cores(Cores::Count(1)).stop(&stop).run(async |shard| {
///     shard.stopped().await;
///     Ok::<_, std::io::Error>(())
/// })?;
/// thread.join().unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Stop {
    signal: Arc<Signal>,
}

#[derive(Default)]
struct Signal {
    /// Written under the lock, and read without it.
    given: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Who waits, by a number that `numbers` counts: one place a future.
    wakers: BTreeMap<u64, Waker>,
    numbers: u64,
}

impl Stop {
    /// A signal that was not given.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.signal.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the signal, from any thread. The second time has no effect.
    pub fn stop(&self) {
        let mut waiting = self.lock();
        // Release: who sees it sees what came before.
        self.signal.given.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        for waker in wakers.into_values() {
            // A waker that panics loses nobody else's wake-up.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        self.signal.given.load(Ordering::Acquire)
    }

    /// Resolves when the signal was given. Dropping the future leaves nothing behind.
    pub fn stopped(&self) -> Stopped {
        Stopped { stop: self.clone(), place: None }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_stopped", &self.is_stopped()).finish()
    }
}

/// The future of [`Stop::stopped`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Stopped {
    stop: Stop,
    /// The place among those who wait, and with whose waker.
    place: Option<(u64, Waker)>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_stopped() {
            return Poll::Ready(());
        }
        // A shard's future asks in each of its polls, and mostly with the waker that is there.
        if self.place.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // Cloning runs code of the user's, so nothing is locked.
        let (waker, own) = (cx.waker().clone(), cx.waker().clone());
        let mut waiting = self.stop.lock();
        if self.stop.is_stopped() {
            drop(waiting);
            return Poll::Ready(());
        }
        let number = self.place.as_ref().map_or(waiting.numbers + 1, |(number, _)| *number);
        waiting.numbers = waiting.numbers.max(number);
        let stale = waiting.wakers.insert(number, waker);
        drop(waiting);
        drop(stale);
        let former = self.place.replace((number, own));
        drop(former);
        Poll::Pending
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let Some((number, _)) = self.place else {
            return;
        };
        // A statement of its own: the waker is dropped when the lock is free again.
        let waker = self.stop.lock().wakers.remove(&number);
        drop(waker);
    }
}
