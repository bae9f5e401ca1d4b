//! The future of one operation: it submits at its first poll, waits, and takes the result.
//!
//! Dropping it never blocks and frees nothing that the kernel may still write to: the operation stays in its slot.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Driver;
use super::operation::{Operation, Outcome};
use super::slots::{Key, Polled};

/// An operation as a future.
pub(crate) struct Op<T: Operation> {
    driver: Rc<Driver>,
    stage: Stage<T>,
}

enum Stage<T> {
    Unsubmitted(T),
    InFlight(Key),
    Taken,
}

// The operation is moved into its slot before the kernel sees it; nothing here is ever pinned.
impl<T: Operation> Unpin for Op<T> {}

impl<T: Operation> Op<T> {
    pub(crate) fn new(driver: Rc<Driver>, operation: T) -> Self {
        Self { driver, stage: Stage::Unsubmitted(operation) }
    }

    fn poll_in_flight(&mut self, key: Key, cx: &Context<'_>) -> Poll<T::Output> {
        match self.driver.poll::<T>(key, cx.waker()) {
            Polled::Done(operation, cqe) => {
                self.stage = Stage::Taken;
                Poll::Ready(operation.complete(cqe.into()))
            }
            Polled::Pending(stale) => {
                drop(stale);
                Poll::Pending
            }
            Polled::Lost => unreachable!("a future's slot stays until the future takes its result"),
        }
    }
}

impl<T: Operation> Future for Op<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        if let Stage::InFlight(key) = self.stage {
            return self.poll_in_flight(key, cx);
        }
        let Stage::Unsubmitted(operation) = std::mem::replace(&mut self.stage, Stage::Taken) else {
            panic!("an operation was polled after it gave its result");
        };
        match self.driver.submit(operation, cx.waker().clone()) {
            Ok(key) => {
                self.stage = Stage::InFlight(key);
                Poll::Pending
            }
            Err(operation) => Poll::Ready(operation.complete(Outcome::gone())),
        }
    }
}

impl<T: Operation> Drop for Op<T> {
    fn drop(&mut self) {
        if let Stage::InFlight(key) = self.stage {
            self.driver.abandon(key);
        }
    }
}

impl<T: Operation> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Unsubmitted(_) => "unsubmitted",
            Stage::InFlight(_) => "in flight",
            Stage::Taken => "taken",
        };
        f.debug_struct("Op").field("kind", &T::KIND).field("stage", &stage).finish()
    }
}
