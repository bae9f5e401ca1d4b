//! The future of one operation on an open file.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
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
    /// Why it is not to be submitted.
    refused: Option<io::Error>,
    in_flight: InFlight<T>,
}

// The operation moves into its slot before the kernel sees it; nothing here is ever pinned.
impl<F: Deref<Target = OpenFile>, T: Operation> Unpin for Operating<F, T> {}

impl<F: Deref<Target = OpenFile>, T: Operation> Operating<F, T> {
    /// The operation holds `file`.
    #[inline]
    pub(super) fn new(file: F, operation: T) -> Self {
        Self { file, waiting: Some(operation), refused: None, in_flight: InFlight::new() }
    }

    /// As [`new`](Self::new); an operation that was found wrong ends with the error at its first poll.
    #[inline]
    pub(super) fn checked(file: F, operation: T, checked: io::Result<()>) -> Self {
        Self { file, waiting: Some(operation), refused: checked.err(), in_flight: InFlight::new() }
    }

    #[inline]
    fn submit(&mut self, cx: &Context<'_>) -> Poll<T::Output> {
        let told = match self.refused.take() {
            None if T::WHEN_DROPPED == WhenDropped::Finish => self.file.take_lost(),
            refused => refused,
        };
        if let Some(error) = told {
            let operation = self.waiting.take().expect("an operation was polled after its end");
            return Poll::Ready(operation.complete(Outcome { result: Err(error) }));
        }
        // Should a buffer panic as it is asked where it lies, its operation ends as an orphan.
        self.file.orphan();
        let submitted = self.in_flight.submit(self.file.driver(), &mut self.waiting, cx);
        self.file.adopt();
        submitted
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
        if self.in_flight.is_submitted() {
            self.file.orphan();
            self.in_flight.abandon(self.file.driver());
        } else if self.waiting.is_some() {
            self.file.orphan();
        }
    }
}

impl<F: Deref<Target = OpenFile>, T: Operation> fmt::Debug for Operating<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operating").field("kind", &T::KIND).finish_non_exhaustive()
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
