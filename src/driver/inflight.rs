//! The future of one operation: it submits, waits, and takes the result.
//!
//! Dropping it never blocks and frees nothing that the kernel may still write to: the operation stays in its slot.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Driver;
use super::operation::{Operation, Outcome};
use super::slots::Key;
use crate::sys::Cqe;

/// How often an operation that the kernel cancelled is submitted again.
pub(super) const AGAIN_MAX: u8 = 32;

/// The place of an operation that is submitted at some time. Whoever has it knows the driver, and tells it when it is
/// dropped ([`abandon`](Self::abandon)).
pub(crate) struct InFlight<T: Operation> {
    /// `None` before it was submitted and once the result was taken.
    pub(super) key: Option<Key>,
    /// How often it was submitted again.
    again: u8,
    operation: PhantomData<T>,
}

impl<T: Operation> InFlight<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { key: None, again: 0, operation: PhantomData }
    }

    /// Submits the operation, which is moved from where it lies; its result wakes the task of `cx`. Ready with what the
    /// operation gives when the runtime is gone.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    pub(crate) fn submit(
        &mut self,
        driver: &Driver,
        operation: &mut Option<T>,
        cx: &Context<'_>,
    ) -> Poll<T::Output> {
        // With nothing borrowed: the waker is dropped as this unwinds, and what it does then is the user's.
        assert!(operation.is_some(), "an operation was polled after its end");
        self.key = driver.stage(operation, Some(driver.waker_of(cx)));
        if self.key.is_some() {
            return Poll::Pending;
        }
        let operation = operation.take().expect("an operation was polled after its end");
        Poll::Ready(operation.complete(Outcome::gone()))
    }

    /// It was submitted, and its result was not taken.
    #[inline]
    pub(crate) fn is_submitted(&self) -> bool {
        self.key.is_some()
    }

    #[inline]
    pub(crate) fn poll_result(&mut self, driver: &Driver, cx: &Context<'_>) -> Poll<T::Output> {
        let key = self.key.expect("an operation was polled after it gave its result");
        let Poll::Ready((done, cqe)) = driver.poll_answer::<T>(key, cx) else {
            return driver.left_behind::<T>();
        };
        if T::SUBMIT_AGAIN && cqe.result == -libc::ECANCELED {
            return self.submit_again(driver, done.take(), cqe, cx);
        }
        self.key = None;
        Poll::Ready(done.take().complete(cqe.into()))
    }

    /// Nobody waits for it any more.
    #[inline]
    pub(crate) fn abandon(&self, driver: &Driver) {
        if let Some(key) = self.key {
            driver.abandon(key);
        }
    }

    /// Nobody but the kernel cancels an operation whose future lives: it does when it could start no thread of its own
    /// for it, as in a storm of signals (Linux 6.1). Nothing of the operation was done then. Until it is submitted the
    /// old key, which finds nothing, says that its result was not taken.
    #[cold]
    fn submit_again(
        &mut self,
        driver: &Driver,
        operation: T,
        cqe: Cqe,
        cx: &Context<'_>,
    ) -> Poll<T::Output> {
        let unsubmitted = if self.again < AGAIN_MAX {
            self.again += 1;
            match driver.submit(operation, Some(cx.waker().clone())) {
                Ok(key) => {
                    self.key = Some(key);
                    return Poll::Pending;
                }
                // It was cancelled by the runtime's end.
                Err(operation) => operation,
            }
        } else {
            operation
        };
        self.key = None;
        Poll::Ready(unsubmitted.complete(cqe.into()))
    }
}

impl Driver {
    /// A waker of the task of `cx`, which is not cloned if its last operation has left one.
    #[inline]
    fn waker_of(&self, cx: &Context<'_>) -> Waker {
        let kept = self.under_way.borrow_mut().slots.kept_waker(cx.waker());
        // With nothing borrowed.
        kept.unwrap_or_else(|| cx.waker().clone())
    }
}

/// An operation as a future, submitted at its first poll.
pub(crate) struct Op<T: Operation> {
    driver: Rc<Driver>,
    /// The operation, until it moves into its slot.
    waiting: Option<T>,
    in_flight: InFlight<T>,
}

// The operation is moved into its slot before the kernel sees it; nothing here is ever pinned.
impl<T: Operation> Unpin for Op<T> {}

impl<T: Operation> Op<T> {
    #[inline]
    pub(crate) fn new(driver: Rc<Driver>, operation: T) -> Self {
        Self { driver, waiting: Some(operation), in_flight: InFlight::new() }
    }
}

impl<T: Operation> Future for Op<T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let this = &mut *self;
        if this.in_flight.is_submitted() {
            this.in_flight.poll_result(&this.driver, cx)
        } else {
            this.in_flight.submit(&this.driver, &mut this.waiting, cx)
        }
    }
}

impl<T: Operation> Drop for Op<T> {
    fn drop(&mut self) {
        self.in_flight.abandon(&self.driver);
    }
}

impl<T: Operation> fmt::Debug for InFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("kind", &T::KIND).field("key", &self.key).finish()
    }
}

impl<T: Operation> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("kind", &T::KIND)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
