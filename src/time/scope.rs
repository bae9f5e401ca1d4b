//! A body with a deadline that the body itself can move.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::error::Elapsed;
use super::{Duration, Instant, sleep, sleep_until};

/// Runs `body` until its deadline, which is `duration` after this call until the body moves it.
///
/// For work whose time is known only once it is under way: a transfer that may go on while it makes progress. Where the
/// deadline stays, [`timeout`](super::timeout()) is simpler.
///
/// ```
/// use annulus::time::{Duration, Instant, sleep, timeout_scope};
///
/// annulus::run(async {
///     let second = Duration::from_secs(1);
///     # annulus::time::pause();
///     let steps = timeout_scope(second, async |scope| {
///         for _ in 0..5 {
///             sleep(second / 2).await;
///             scope.reschedule(Some(Instant::now() + second));
///         }
///         5
///     });
///     assert_eq!(steps.await, Ok(5));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// The body is polled first: what is ready in time is never lost. Dropping the future drops the body.
///
/// # Errors
///
/// [`Elapsed`] if the deadline passes first; the body is dropped then.
///
/// # Panics
///
/// Outside a runtime, and where the body does.
#[track_caller]
pub fn timeout_scope<T>(
    duration: Duration,
    body: impl AsyncFnOnce(&TimeoutScope) -> T,
) -> impl Future<Output = Result<T, Elapsed>> {
    timeout_scope_at(sleep(duration).deadline(), body)
}

/// Runs `body` until `deadline`, or for as long as it likes if there is none; otherwise as [`timeout_scope`].
///
/// # Errors
///
/// As [`timeout_scope`].
///
/// # Panics
///
/// As [`timeout_scope`].
#[track_caller]
pub fn timeout_scope_at<T>(
    deadline: Option<Instant>,
    body: impl AsyncFnOnce(&TimeoutScope) -> T,
) -> impl Future<Output = Result<T, Elapsed>> {
    let sleep = deadline.map_or_else(|| sleep(Duration::MAX), sleep_until);
    async move {
        let scope = TimeoutScope { deadline: Cell::new(deadline), moved: Cell::new(false) };
        let mut sleep = pin!(sleep);
        let mut body = pin!(body(&scope));
        poll_fn(|cx| {
            if let Poll::Ready(output) = body.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if scope.moved.take() {
                match scope.deadline.get() {
                    Some(deadline) => sleep.as_mut().reset(deadline),
                    None => sleep.as_ref().reset_ns(None),
                }
            }
            sleep.as_mut().poll(cx).map(|()| Err(Elapsed::new()))
        })
        .await
    }
}

/// The deadline of a [`timeout_scope`], in the hands of its body, which cannot give it away:
///
/// ```compile_fail,E0521
/// use annulus::time::{Duration, timeout_scope};
///
/// annulus::run(async {
///     timeout_scope(Duration::from_secs(1), async |scope| {
///         annulus::spawn(async { scope.reschedule(None) });
///     })
///     .await?;
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
pub struct TimeoutScope {
    deadline: Cell<Option<Instant>>,
    /// Whether it was set since the timer was.
    moved: Cell<bool>,
}

impl TimeoutScope {
    /// Moves the deadline, or takes it away. One that has passed ends the body when it waits next.
    ///
    /// The runtime's timer is moved once, when the body waits, however often this is called.
    pub fn reschedule(&self, deadline: Option<Instant>) {
        self.deadline.set(deadline);
        self.moved.set(true);
    }

    /// When the body will be dropped if it has not ended, or `None` if it never is.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }
}

impl fmt::Debug for TimeoutScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutScope").field("deadline", &self.deadline.get()).finish()
    }
}
