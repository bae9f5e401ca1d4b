//! A task that another thread sent: on the way there, at work, and its outcome on the way back.
//!
//! The work, the outcome and the waker of whoever waits lie in one parcel. It travels to the target's inbox, is
//! held by the task there, and travels back with the outcome to the inbox of the runtime that sent it, so that
//! waking the one who waits is a wake at home. What was sent from outside a runtime stays, and the waker is called
//! from the target.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::executor::{self, budget};
use crate::loom::{Mutex, MutexGuard};
use crate::task::{self, AbortHandle, Address, Deliver, JoinError, Parcel, Posted};

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

/// The content of the parcel.
struct Errand<F, T> {
    /// Where the outcome is waited for; `None` outside a runtime.
    origin: Option<Address>,
    state: Mutex<State<F, T>>,
}

struct State<F, T> {
    stage: Stage<F, T>,
    /// Cleared when nobody will take the outcome.
    wanted: bool,
    /// Who waits for the outcome.
    waker: Option<Waker>,
}

enum Stage<F, T> {
    /// The work has not begun.
    Sent(F),
    /// It is under way, and can be aborted.
    Running(AbortHandle),
    Done(Outcome<T>),
    /// The work never began and nobody waits, or the outcome was taken.
    Empty,
}

impl<F, T> Errand<F, T> {
    /// No code of the user's runs while the guard lives.
    fn lock(&self) -> MutexGuard<'_, State<F, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the outcome; what to drop, and whether somebody wants it.
    fn settle(&self, outcome: Outcome<T>) -> (Stage<F, T>, bool) {
        let mut state = self.lock();
        match state.wanted {
            true => (std::mem::replace(&mut state.stage, Stage::Done(outcome)), true),
            false => {
                let stage = std::mem::replace(&mut state.stage, Stage::Empty);
                drop(state);
                report(outcome);
                (stage, false)
            }
        }
    }

    fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Drops an outcome that nobody takes; a panic is told, like that of a task without a handle.
fn report<T>(outcome: Outcome<T>) {
    match outcome {
        Err(RemoteError::Task(error)) if error.is_panic() => task::report_panic(error),
        outcome => drop(outcome),
    }
}

impl<F, T> Deliver for Errand<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn arrive(parcel: Parcel<Self>) {
        let is_outward = matches!(parcel.lock().stage, Stage::Sent(_));
        if is_outward {
            drop(task::spawn(visit(Visit { parcel: Some(parcel) })));
        } else {
            // It is back, or was not wanted any more when it came.
            parcel.wake();
        }
    }
}

/// The parcel while its task lives. Dropping it is the end of a task that did not finish.
struct Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    /// `None` once the outcome is on its way.
    parcel: Option<Parcel<Errand<F, T>>>,
}

/// The task itself.
async fn visit<F, T>(mut visit: Visit<F, T>)
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let Some(work) = visit.begin() else {
        return;
    };
    let mut work = pin!(async move { work().await });
    let outcome = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => {
            Poll::Ready(Err(RemoteError::Task(JoinError::panicked(task::id(), payload))))
        }
    })
    .await;
    visit.end(outcome);
}

impl<F, T> Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    /// The work, unless it was given up on the way.
    fn begin(&self) -> Option<F> {
        let running = Stage::Running(task::running_abort_handle());
        let parcel = self.parcel.as_ref()?;
        let mut state = parcel.lock();
        match std::mem::replace(&mut state.stage, running) {
            Stage::Sent(work) => Some(work),
            stage => {
                let running = std::mem::replace(&mut state.stage, stage);
                drop(state);
                drop(running);
                None
            }
        }
    }

    /// Sends the outcome back.
    fn end(&mut self, outcome: Outcome<T>) {
        let Some(parcel) = self.parcel.take() else {
            return;
        };
        let (before, is_wanted) = parcel.settle(outcome);
        drop(before);
        if !is_wanted {
            return;
        }
        let parcel = match parcel.origin {
            Some(_) => parcel.send_to(|errand| errand.origin.as_ref().expect("it is never taken")),
            None => Err(parcel),
        };
        if let Err(parcel) = parcel {
            parcel.wake();
        }
    }
}

impl<F, T> Drop for Visit<F, T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        let Some(parcel) = &self.parcel else {
            return;
        };
        let error = match &parcel.lock().stage {
            Stage::Running(abort) => RemoteError::Task(JoinError::cancelled(abort.id())),
            _ => RemoteError::NeverBegan,
        };
        self.end(Err(error));
    }
}

/// What a handle asks of a task that was sent, whatever the type of its work.
trait Awaited<T>: Send + Sync {
    fn poll_outcome(&self, cx: &Context<'_>) -> Poll<Outcome<T>>;
    fn is_done(&self) -> bool;
    /// Has the task dropped, or never begun.
    fn abort(&self);
    /// Nobody will ask for the outcome.
    fn leave(&self);
}

impl<F, T> Awaited<T> for Posted<Errand<F, T>>
where
    F: Send,
    T: Send,
{
    fn poll_outcome(&self, cx: &Context<'_>) -> Poll<Outcome<T>> {
        let mut state = self.lock();
        if let Stage::Done(_) = state.stage {
            let stage = std::mem::replace(&mut state.stage, Stage::Empty);
            drop(state);
            let Stage::Done(outcome) = stage else { unreachable!("it was looked at above") };
            return Poll::Ready(outcome);
        }
        assert!(
            !matches!(state.stage, Stage::Empty),
            "a RemoteHandle was polled after it gave its result"
        );
        if state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(state);
        // Cloning runs code of the user's, so nothing is locked.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Stage::Done(_) = state.stage {
            drop(state);
            return self.poll_outcome(cx);
        }
        let stale = state.waker.replace(waker);
        drop(state);
        drop(stale);
        Poll::Pending
    }

    fn is_done(&self) -> bool {
        matches!(self.lock().stage, Stage::Done(_) | Stage::Empty)
    }

    fn abort(&self) {
        let mut state = self.lock();
        match &state.stage {
            Stage::Sent(_) => {
                let closed = Stage::Done(Err(RemoteError::NeverBegan));
                let unsent = std::mem::replace(&mut state.stage, closed);
                let waker = state.waker.take();
                drop(state);
                drop(unsent);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Stage::Running(abort) => {
                let abort = abort.clone();
                drop(state);
                abort.abort();
            }
            Stage::Done(_) | Stage::Empty => {}
        }
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.wanted = false;
        let waker = state.waker.take();
        let stage = match state.stage {
            Stage::Done(_) => std::mem::replace(&mut state.stage, Stage::Empty),
            _ => Stage::Empty,
        };
        drop(state);
        drop(waker);
        if let Stage::Done(outcome) = stage {
            report(outcome);
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
    errand: Arc<dyn Awaited<T>>,
}

impl<T: Send + 'static> RemoteHandle<T> {
    /// Sends `work` to the runtime of `target`. If that is gone, it is dropped, and what comes back says so when
    /// awaited.
    pub(super) fn send<F>(target: &Address, work: F) -> Result<Self, Self>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        let state = State { stage: Stage::Sent(work), wanted: true, waker: None };
        let parcel = Parcel::new(Errand { origin: Address::here(), state: Mutex::new(state) });
        let handle = Self { errand: parcel.ticket() };
        match target.send(parcel) {
            Ok(()) => Ok(handle),
            Err(parcel) => {
                drop(parcel.settle(Err(RemoteError::NeverBegan)));
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
        self.errand.abort();
    }

    /// Whether the task has finished, be it with an output, a panic or a cancellation.
    pub fn is_finished(&self) -> bool {
        self.errand.is_done()
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::proceed(cx));
        self.errand.poll_outcome(cx)
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        self.errand.leave();
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("is_finished", &self.is_finished()).finish()
    }
}
