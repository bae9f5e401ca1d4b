//! A signal that is given once and reaches every thread.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

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
    signal: Arc<Mutex<Signal>>,
}

#[derive(Default)]
struct Signal {
    given: bool,
    /// Who waits, by a number that `numbers` counts: one place a future.
    waiting: BTreeMap<u64, Waker>,
    numbers: u64,
}

impl Stop {
    /// A signal that was not given.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the signal, from any thread. The second time has no effect.
    pub fn stop(&self) {
        let mut signal = self.lock();
        signal.given = true;
        let waiting = std::mem::take(&mut signal.waiting);
        drop(signal);
        for waker in waiting.into_values() {
            // A waker that panics loses nobody else's wake-up.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        self.lock().given
    }

    /// Resolves when the signal was given. Dropping the future leaves nothing behind.
    pub fn stopped(&self) -> Stopped {
        Stopped { stop: self.clone(), number: None }
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
    /// The place among those who wait.
    number: Option<u64>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Cloning runs code of the user's, so nothing is locked.
        let waker = cx.waker().clone();
        let this = &mut *self;
        let mut signal = this.stop.lock();
        if signal.given {
            drop(signal);
            return Poll::Ready(());
        }
        let number = *this.number.get_or_insert_with(|| {
            signal.numbers += 1;
            signal.numbers
        });
        let stale = signal.waiting.insert(number, waker);
        drop(signal);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        // A statement of its own: the waker is dropped when the lock is free again.
        let waker = self.stop.lock().waiting.remove(&number);
        drop(waker);
    }
}
