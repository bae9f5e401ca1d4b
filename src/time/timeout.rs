//! A future with a deadline.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::error::Elapsed;
use super::{Instant, Sleep, sleep, sleep_until};

/// Gives `future` until `duration` has passed, counted from this call.
///
/// The future is polled first, so one that is ready in time is never lost, not even with a duration
/// of zero. A duration that leads beyond the clock's 584 years never ends and costs no timer.
///
/// # Errors
///
/// The returned future resolves to [`Elapsed`] if the deadline passes first; `future` is dropped
/// along with it.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { deadline: sleep(duration), future: future.into_future() }
}

/// Gives `future` until `deadline`; otherwise as [`timeout`].
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { deadline: sleep_until(deadline), future: future.into_future() }
}

pin_project! {
    /// A future with a deadline; made by [`timeout`] and [`timeout_at`].
    ///
    /// Dropping it drops the future within and ends the wait. It panics where that future or a
    /// [`Sleep`] does. As a `Sleep` it must be pinned to be polled by hand.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        deadline: Sleep,
        #[pin]
        future: F,
    }
}

impl<F> Timeout<F> {
    /// The future within.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future within.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// The future within, freed of its deadline.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.deadline.poll(cx).map(|()| Err(Elapsed::new()))
    }
}

impl<F: fmt::Debug> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("deadline", &self.deadline.deadline())
            .field("future", &self.future)
            .finish()
    }
}
