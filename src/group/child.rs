//! A child of a group: its future, wrapped so that the group learns how it ended.

use std::any::Any;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::error::Failure;
use super::scope::Shared;
use crate::task::{self, JoinError};

pin_project! {
    /// See the file's head.
    pub(super) struct Child<F, E> {
        // `None` only while it is dropped.
        #[pin]
        future: Option<F>,
        group: Rc<Shared<E>>,
        aborts: u32,
        // Its place among those that wait, once it does.
        key: Option<usize>,
    }

    impl<F, E> PinnedDrop for Child<F, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if needs_drop::<F>() {
                let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
                if let Err(payload) = dropped {
                    this.group.fail(panicked(payload));
                }
            }
            if let Some(key) = this.key.take() {
                this.group.remove(key);
            }
            this.group.leave();
        }
    }
}

impl<F, E> Child<F, E> {
    #[inline]
    pub(super) fn new(future: F, group: &Rc<Shared<E>>) -> Self {
        let aborts = group.enter();
        Self { future: Some(future), group: Rc::clone(group), aborts, key: None }
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for Child<F, E> {
    type Output = T;

    /// A child that fails, or finds itself aborted, never ends by itself: it aborts its own task.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut().filter(|_| this.group.aborts() == *this.aborts)
        else {
            task::running_abort_handle().abort();
            return Poll::Pending;
        };
        let failure = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => {
                if this.key.is_none() {
                    *this.key = Some(this.group.insert(task::running_abort_handle()));
                    // What it did in its first poll may have aborted it, before there was a handle.
                    if this.group.aborts() != *this.aborts {
                        task::running_abort_handle().abort();
                    }
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(output))) => return Poll::Ready(output),
            Ok(Poll::Ready(Err(error))) => Failure::Error(error),
            Err(payload) => panicked(payload),
        };
        this.group.fail(failure);
        task::running_abort_handle().abort();
        Poll::Pending
    }
}

#[cold]
fn panicked<E>(payload: Box<dyn Any + Send>) -> Failure<E> {
    Failure::Panic(JoinError::panicked(task::id(), payload))
}
