//! Giving way: `yield_now`, and the budget that makes every task do so.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::executor::budget;

/// Lets every other task that is ready run first.
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

/// Takes a unit of the task's budget, and yields if none is left.
///
/// The futures of this crate do so themselves; a loop over futures that are always ready and not of this crate may
/// call it. A task has 128 units a poll.
pub async fn consume_budget() {
    poll_fn(budget::proceed).await;
}

/// Runs a future without the budget: it may keep its core as long as it is ready.
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// See [`unconstrained`].
    #[derive(Debug)]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        budget::without(|| self.project().future.poll(cx))
    }
}
