//! The future of one operation on an open file.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::driver::{InFlight, Operation, Outcome, WhenDropped};
use crate::op::open_file::OpenFile;

/// Submits the operation at its first poll and takes its result; dropped before, it leaves an orphan to the file.
///
/// An operation that changes the file first tells the error of an orphaned write, and does nothing then.
pub(super) struct Operating<F: Deref<Target = OpenFile>, T: Operation> {
    file: F,
    /// The operation, until it moves into its slot.
    waiting: Option<T>,
    in_flight: InFlight<T>,
}

// The operation moves into its slot before the kernel sees it; nothing here is ever pinned.
impl<F: Deref<Target = OpenFile>, T: Operation> Unpin for Operating<F, T> {}

impl<F: Deref<Target = OpenFile>, T: Operation> Operating<F, T> {
    /// The operation holds `file`.
    #[inline]
    pub(super) fn new(file: F, operation: T) -> Self {
        Self { file, waiting: Some(operation), in_flight: InFlight::new() }
    }

    #[inline]
    fn submit(&mut self, cx: &Context<'_>) -> Poll<T::Output> {
        if T::WHEN_DROPPED == WhenDropped::Finish
            && let Some(error) = self.file.take_lost()
        {
            return Poll::Ready(self.refuse(error));
        }
        let unwinding = Submitting { file: &self.file, waiting: &mut self.waiting };
        let submitted = self.in_flight.submit(self.file.driver(), unwinding.waiting, cx);
        let _submitted = ManuallyDrop::new(unwinding);
        submitted
    }

    /// Nobody waits for the operation any more.
    #[cold]
    fn leave(&mut self) {
        self.file.orphan();
        self.in_flight.abandon(self.file.driver());
        self.waiting = None;
    }

    /// The operation fails, and is not submitted.
    #[cold]
    fn refuse(&mut self, error: io::Error) -> T::Output {
        let operation = self.waiting.take().expect("an operation was polled after its end");
        operation.complete(Outcome { result: Err(error) })
    }
}

/// Should a buffer panic as it is asked where it lies, its operation, which has left its place, has ended as an orphan.
struct Submitting<'a, T> {
    file: &'a OpenFile,
    waiting: &'a mut Option<T>,
}

impl<T> Drop for Submitting<'_, T> {
    fn drop(&mut self) {
        if self.waiting.is_none() {
            self.file.orphan();
        }
    }
}

impl<F: Deref<Target = OpenFile>, T: Operation> Future for Operating<F, T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let this = &mut *self;
        if this.in_flight.is_submitted() {
            this.in_flight.poll_result(this.file.driver(), cx)
        } else {
            this.submit(cx)
        }
    }
}

impl<F: Deref<Target = OpenFile>, T: Operation> Drop for Operating<F, T> {
    #[inline]
    fn drop(&mut self) {
        // Mostly it has ended, and there is nothing to be done.
        if self.in_flight.is_submitted() || self.waiting.is_some() {
            self.leave();
        }
    }
}

impl<F: Deref<Target = OpenFile>, T: Operation> fmt::Debug for Operating<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operating").field("kind", &T::KIND).finish_non_exhaustive()
    }
}

/// An operation that was checked; if it was found wrong, it ends with the error at its first poll.
#[derive(Debug)]
pub(super) struct Checked<F: Deref<Target = OpenFile>, T: Operation> {
    operating: Operating<F, T>,
    refused: Option<io::Error>,
}

impl<F: Deref<Target = OpenFile>, T: Operation> Checked<F, T> {
    /// See [`Operating::new`].
    #[inline]
    pub(super) fn new(file: F, operation: T, checked: io::Result<()>) -> Self {
        Self { operating: Operating::new(file, operation), refused: checked.err() }
    }
}

impl<F: Deref<Target = OpenFile>, T: Operation> Future for Checked<F, T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        match self.refused.take() {
            None => Pin::new(&mut self.operating).poll(cx),
            Some(error) => Poll::Ready(self.operating.refuse(error)),
        }
    }
}

/// Waits until no operation is under way whose future was dropped.
pub(super) async fn quiet(file: &OpenFile) {
    poll_fn(|cx| file.poll_quiet(cx)).await;
}

/// As [`quiet`], and tells the error of a dropped write, once.
pub(super) async fn settle(file: &OpenFile) -> io::Result<()> {
    quiet(file).await;
    file.take_lost().map_or(Ok(()), Err)
}
