//! The futures that wait for a job: bare, and as a task.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::crew::{Crew, Place};
use super::job::{Awaited, Job, Refusal, Verdict};
use crate::task::{Unstoppable, running_abort_handle};

/// A job on its way to a thread and back.
pub(crate) struct Wait<R: Send + 'static> {
    crew: Arc<Crew>,
    job: Arc<dyn Awaited<R>>,
    place: Place,
    when_dropped: WhenDropped,
}

/// What a drop does to a job that is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenDropped {
    /// It is taken back.
    TakeBack,
    /// It is run, and its result dropped.
    Run,
}

impl<R: Send + 'static> Wait<R> {
    /// Queues nothing yet.
    pub(super) fn new(
        crew: &Arc<Crew>,
        work: impl FnOnce() -> R + Send + 'static,
        when_dropped: WhenDropped,
    ) -> Self {
        Self {
            crew: Arc::clone(crew),
            job: Arc::new(Job::new(work)),
            place: Place::New,
            when_dropped,
        }
    }

    /// Queues the job if there is room, or takes its place in line.
    pub(super) fn submit(&mut self, waker: &Waker) {
        let job = Arc::clone(&self.job);
        self.place = self.crew.submit(job, self.place, waker);
    }

    /// It has its place with a thread; before, it is one of those that wait for room.
    pub(crate) fn is_queued(&self) -> bool {
        self.place == Place::Queued
    }

    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<Verdict<R>> {
        if self.place != Place::Queued {
            self.submit(cx.waker());
        }
        match self.place {
            Place::Queued => self.job.poll(cx),
            Place::New | Place::Waiting(_) => Poll::Pending,
        }
    }
}

impl<R: Send + 'static> Future for Wait<R> {
    type Output = io::Result<R>;

    /// A panic of the job goes on here.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        match ready!(self.poll_verdict(cx)) {
            Ok(Ok(output)) => Poll::Ready(Ok(output)),
            Ok(Err(payload)) => resume_unwind(payload),
            Err(refusal) => Poll::Ready(Err(refusal.into())),
        }
    }
}

impl<R: Send + 'static> Drop for Wait<R> {
    fn drop(&mut self) {
        match self.place {
            Place::New => {}
            Place::Waiting(ticket) => self.crew.leave(ticket),
            Place::Queued => {
                if self.when_dropped == WhenDropped::TakeBack && self.job.take_back() {
                    let job = Arc::clone(&self.job);
                    self.crew.withdraw(job);
                } else {
                    self.job.detach();
                }
            }
        }
    }
}

impl<R: Send + 'static> fmt::Debug for Wait<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The future of the task that stands for a job.
pub(super) struct Stand<R: Send + 'static>(pub(super) Wait<R>);

impl<R: Send + 'static> Unstoppable for Stand<R> {
    fn is_unstoppable(&self) -> bool {
        self.0.place == Place::Queued && self.0.job.has_begun()
    }
}

impl<R: Send + 'static> Future for Stand<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        match ready!(self.0.poll_verdict(cx)) {
            Ok(Ok(output)) => Poll::Ready(output),
            // The task catches it again, for its handle; the panic hook has seen it on the job's thread.
            Ok(Err(payload)) => resume_unwind(payload),
            Err(Refusal::Closed) => {
                // The pool went before the job came up: that is a cancellation.
                running_abort_handle().abort();
                Poll::Pending
            }
            Err(refusal @ Refusal::NoThread(_)) => {
                resume_unwind(Box::new(io::Error::from(refusal).to_string()))
            }
        }
    }
}
