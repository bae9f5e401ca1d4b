//! Waiting in a list until something is so.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::waiters::{Place, Waiter, Waiters};
use crate::executor::budget;

pin_project! {
    /// Asks `ready` at each poll, and waits in the list meanwhile.
    ///
    /// `ready` is told whether the waiter was released since it joined. Nothing is handed over, so dropping it loses
    /// nothing.
    #[must_use = "futures do nothing unless polled"]
    pub(super) struct Until<'a, F> {
        #[pin]
        waiter: Waiter<'a, ()>,
        ready: F,
    }
}

/// Waits until `ready` says what with. Whoever changes its answer releases all waiters of the list.
#[inline]
pub(super) fn until<F, T>(list: &Waiters<()>, ready: F) -> Until<'_, F>
where
    F: FnMut(bool) -> Option<T>,
{
    Until { waiter: Waiter::new(list, ()), ready }
}

impl<F, T> Future for Until<'_, F>
where
    F: FnMut(bool) -> Option<T>,
{
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let waiter = this.waiter.into_ref();
        if waiter.place() == Place::Out {
            ready!(budget::proceed(cx));
        }
        if let Some(output) = (this.ready)(waiter.place() == Place::Dismissed) {
            return Poll::Ready(output);
        }
        waiter.keep_waker(cx);
        // Asked again, because cloning a waker may run anything.
        if let Some(output) = (this.ready)(waiter.place() == Place::Dismissed) {
            return Poll::Ready(output);
        }
        if waiter.place() != Place::Queued {
            waiter.join();
        }
        Poll::Pending
    }
}
