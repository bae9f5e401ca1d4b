//! A task that another thread sent: on the way there, at work, and its outcome on the way back.
//!
//! The work, the outcome and the waker of whoever waits lie in one parcel (`task/parcel.rs`), which travels to the
//! target's inbox, is held by the task there, and travels back.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::executor::{self, budget};
use crate::task::{self, Address, JoinError, Parcel, Ticket, Work};

/// Why a task on another runtime gave no output.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoteError {
    /// Nothing of it happened: the runtime had ended, or the task was aborted, before it began.
    NeverBegan,
    /// The task panicked, was aborted, or was dropped by the end of its runtime.
    Task(JoinError),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverBegan => {
                f.write_str("the task never began: its runtime had ended, or it was aborted")
            }
            Self::Task(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NeverBegan => None,
            Self::Task(error) => Some(error),
        }
    }
}

impl From<RemoteError> for io::Error {
    /// `BrokenPipe` for [`NeverBegan`](RemoteError::NeverBegan), `Other` for the rest.
    fn from(error: RemoteError) -> Self {
        let kind = match error {
            RemoteError::NeverBegan => io::ErrorKind::BrokenPipe,
            RemoteError::Task(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// What became of a task.
type Outcome<T> = Result<T, RemoteError>;

impl<T> task::Outcome for Outcome<T> {
    fn never_began() -> Self {
        Err(RemoteError::NeverBegan)
    }

    /// A panic is told, like that of a task without a handle.
    fn untaken(self) {
        match self {
            Err(RemoteError::Task(error)) if error.is_panic() => task::report_panic(error),
            outcome => drop(outcome),
        }
    }
}

impl<F, T> Work<Outcome<T>> for F
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    #[inline]
    fn arrive(parcel: Parcel<Self, Outcome<T>>, now: bool) {
        let visit = Visit { parcel: Some(parcel), stage: Stage::Arrived };
        task::spawn_arrived(visit.run(), now);
    }
}

/// The parcel while its task lives. Dropping it is the end of a task that did not finish.
struct Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    /// `None` once the outcome is on its way.
    parcel: Option<Parcel<F, Outcome<T>>>,
    stage: Stage,
}

enum Stage {
    Arrived,
    /// The work is polled for the first time.
    Begun(task::Id),
    /// It waits, and can be aborted.
    Waits(task::Id),
}

impl<F, T> Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    /// The task itself.
    async fn run(mut self) {
        let Some(work) = self.begin() else {
            return;
        };
        let mut work = pin!(async move { work().await });
        let outcome =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                Ok(Poll::Pending) => {
                    self.wait();
                    Poll::Pending
                }
                Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
                Err(payload) => {
                    Poll::Ready(Err(RemoteError::Task(JoinError::panicked(task::id(), payload))))
                }
            })
            .await;
        self.end(outcome);
    }

    /// The work, unless it was given up on the way.
    fn begin(&mut self) -> Option<F> {
        let work = self.parcel.as_ref()?.begin();
        match work {
            Some(_) => self.stage = Stage::Begun(task::id()),
            None => self.parcel = None,
        }
        work
    }

    /// The work waits for something: from now on it can be aborted.
    #[inline]
    fn wait(&mut self) {
        if let (Stage::Begun(id), Some(parcel)) = (&self.stage, &self.parcel) {
            let id = *id;
            parcel.goes_on_in(task::running_abort_handle());
            self.stage = Stage::Waits(id);
        }
    }

    /// Sends the outcome back.
    fn end(&mut self, outcome: Outcome<T>) {
        if let Some(parcel) = self.parcel.take() {
            parcel.settle(outcome, matches!(self.stage, Stage::Waits(_)));
        }
    }
}

impl<F, T> Drop for Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        match self.stage {
            Stage::Arrived => self.parcel.take().into_iter().for_each(Parcel::refuse),
            Stage::Begun(id) | Stage::Waits(id) => {
                self.end(Err(RemoteError::Task(JoinError::cancelled(id))));
            }
        }
    }
}

/// A task on another runtime, or on this one as seen from another thread.
///
/// Awaited, in any runtime or executor, it gives the task's output; [`wait`](Self::wait) blocks a plain thread for
/// it. Dropping it lets the task run on, and drops its output there when it comes. A panic that nobody takes goes
/// to [`Builder::on_unhandled_panic`](crate::Builder::on_unhandled_panic) of the runtime where it is noticed.
///
/// The output is dropped where the handle is if it came and was not taken.
///
/// # Panics
///
/// When polled again after it gave its result.
#[must_use = "dropping it lets the task run on, and nobody is told how it ended"]
pub struct RemoteHandle<T> {
    /// `None` once it gave its result.
    ticket: Option<Ticket<Outcome<T>>>,
}

impl<T: Send + 'static> RemoteHandle<T> {
    /// Sends `work` to the runtime of `target`; `waker` is called as if the handle had been polled with it. If the
    /// runtime is gone, the work is dropped, and what comes back says so when awaited.
    #[inline]
    pub(super) fn send<F>(target: &Address, work: F, waker: Option<Waker>) -> Result<Self, Self>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        let (parcel, ticket) = Parcel::new(work, waker);
        let handle = Self { ticket: Some(ticket) };
        match target.send(parcel) {
            Ok(()) => Ok(handle),
            Err(parcel) => {
                parcel.refuse();
                Err(handle)
            }
        }
    }
}

impl<T> RemoteHandle<T> {
    /// Asks the runtime of the task to drop its future instead of polling it again.
    ///
    /// Returns at once. A task that has not begun never does; its work is dropped here.
    pub fn abort(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.abort();
        }
    }

    /// Whether the task has finished, be it with an output, a panic or a cancellation.
    pub fn is_finished(&self) -> bool {
        self.ticket.as_ref().is_none_or(Ticket::is_done)
    }

    /// Blocks this thread until the task has finished.
    ///
    /// # Errors
    ///
    /// As awaiting it.
    ///
    /// # Panics
    ///
    /// Inside a runtime, whose core would stand still: await the handle there.
    #[track_caller]
    pub fn wait(mut self) -> Result<T, RemoteError> {
        match self.block(None) {
            Some(outcome) => outcome,
            None => unreachable!("there is no deadline"),
        }
    }

    /// Blocks this thread until the task has finished, at most for `time`.
    ///
    /// # Errors
    ///
    /// The handle, if the time has passed: the task goes on.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(mut self, time: Duration) -> Result<Result<T, RemoteError>, Self> {
        // A deadline that no clock reaches is none.
        self.block(Instant::now().checked_add(time)).ok_or(self)
    }

    #[track_caller]
    fn block(&mut self, deadline: Option<Instant>) -> Option<Result<T, RemoteError>> {
        assert!(
            executor::current().is_none(),
            "this thread is inside a runtime, which would stand still: await the handle instead"
        );
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut *self).poll(&mut cx) {
                return Some(outcome);
            }
            let Some(deadline) = deadline else {
                std::thread::park();
                continue;
            };
            match deadline.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => return None,
            }
        }
    }
}

/// Wakes a thread that blocks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, RemoteError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::proceed(cx));
        let Some(ticket) = &mut self.ticket else { polled_again() };
        ready!(ticket.poll_done(cx));
        self.ticket.take().map_or_else(|| polled_again(), |ticket| Poll::Ready(ticket.take()))
    }
}

#[cold]
fn polled_again() -> ! {
    panic!("a RemoteHandle was polled after it gave its result")
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("is_finished", &self.is_finished()).finish()
    }
}
