//! How much a task may do in one poll before it has to let others run.
//!
//! A future that finds its resource always ready (a channel never empty, a socket never dry) would hold the core.
//! So each such resource calls [`proceed`] first, and after [`PER_POLL`] times in one poll it says `Pending`, with
//! the task already woken.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// What one poll may use up.
pub(crate) const PER_POLL: u64 = 128;
/// Not inside a task: more than anything uses up.
const UNLIMITED: u64 = u64::MAX;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(UNLIMITED) };
}

/// Begins a poll.
#[inline]
pub(crate) fn reset() {
    LEFT.set(PER_POLL);
}

/// Ends the last poll: what runs now is no task.
#[inline]
pub(crate) fn lift() {
    LEFT.set(UNLIMITED);
}

/// Uses up one unit; `false` if none was left.
#[inline]
pub(crate) fn spend() -> bool {
    spend_by(1)
}

/// Uses up so many units; `false`, and none of them, if there were not so many.
#[inline]
fn spend_by(units: u64) -> bool {
    // Looked up once: that is a call of its own.
    LEFT.with(|left| {
        let rest = left.get().checked_sub(units);
        // Not stored where none is used up: a store in each case takes four instructions more of a lock (`local`).
        if let Some(rest) = rest {
            left.set(rest);
        }
        rest.is_some()
    })
}

/// Uses up one unit. `Pending`: none was left, and `cx` has been woken; return `Pending` too.
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<()> {
    proceed_by(1, cx)
}

/// As [`proceed`], of so many units, at most [`PER_POLL`]: none is used up if there are not so many.
#[inline]
pub(crate) fn proceed_by(units: u64, cx: &mut Context<'_>) -> Poll<()> {
    if spend_by(units) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Sets what is left, and puts the former amount back when dropped.
#[derive(Debug)]
pub(super) struct Restore(u64);

impl Restore {
    /// No limit until dropped.
    pub(super) fn unlimited() -> Self {
        Self(LEFT.replace(UNLIMITED))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

pin_project! {
    /// The future of [`unconstrained`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

/// Lets `future` do as much in one poll as it likes.
///
/// Without it, what is always ready yields to other tasks after 128 steps. A future that never waits then
/// holds the core. Dropping the returned future drops `future`.
pub fn unconstrained<F>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _restore = Restore::unlimited();
        self.project().future.poll(cx)
    }
}

/// Uses up one of the 128 steps that a task may do in one poll, and yields if none is left.
///
/// For loops of pure computation inside a task. Outside one it does nothing. Dropping the future has no effect.
pub async fn consume_budget() {
    poll_fn(proceed).await;
}

/// Lets every other task that is ready run before this one goes on.
///
/// Dropping the future has no effect.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
