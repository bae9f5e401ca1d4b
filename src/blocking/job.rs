//! A job: the closure until a thread takes it, then what came of it until its future takes that.
//!
//! ```text
//! Queued --begin--> Begun --run--> Running --done--> Done --taken--> Gone
//!    |                                |
//!    | taken back,                    | its future is dropped: `Done` goes to nobody, and is dropped by the pool's
//!    v refused                        v thread
//!   Gone, Refused                    Gone
//! ```
//!
//! It begins when it leaves the queue, under the pool's lock too: a job that counts as running is not taken back.
//!
//! The lock is held for these steps alone: the closure, wakers and results are called and dropped outside it.

use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::{io, mem, thread};

use crate::loom::{Mutex, MutexGuard};

/// A job as its queue sees it.
pub(super) trait Work: Send + Sync {
    /// A thread of the pool will run it: from now on it is not taken back.
    fn begin(&self);
    /// Calls the closure, on that thread, unless it was taken back before it began; who waits for it.
    fn run(&self) -> Option<Waker>;
    /// It will not be run. Who waits is told why, and the closure dropped here.
    fn refuse(&self, why: Refusal);
}

/// A job as its future sees it.
pub(super) trait Awaited<R>: Work {
    /// Takes the result, or notes who waits for it.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Verdict<R>>;
    /// Whether a thread has begun with it.
    fn has_begun(&self) -> bool;
    /// Takes the closure back and drops it, if no thread has begun with it.
    fn take_back(&self) -> bool;
    /// Nobody will take the result: what is there is dropped here, what comes on its thread.
    fn detach(&self);
}

/// Why a job was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The pool is closed.
    Closed,
    /// There is no thread and none could be made, for this reason.
    NoThread(io::ErrorKind),
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::new(io::ErrorKind::BrokenPipe, "the blocking pool is closed"),
            Refusal::NoThread(kind) => Self::new(
                kind,
                format!(
                    "the blocking pool has no thread and can make none ({kind}): \
                     see RLIMIT_NPROC (`ulimit -u`) and the pids limit of the control group"
                ),
            ),
        }
    }
}

/// What a job that was run gave, or why it was not.
pub(super) type Verdict<R> = Result<thread::Result<R>, Refusal>;

pub(super) struct Job<F, R> {
    state: Mutex<State<F, R>>,
}

struct State<F, R> {
    stage: Stage<F, R>,
    /// Who waits.
    waker: Option<Waker>,
    /// Nobody will take the result.
    detached: bool,
}

enum Stage<F, R> {
    Queued(F),
    Begun(F),
    Running,
    Done(thread::Result<R>),
    Refused(Refusal),
    Gone,
}

impl<F, R> Job<F, R> {
    pub(super) fn new(work: F) -> Self {
        let state = State { stage: Stage::Queued(work), waker: None, detached: false };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<F, R>> {
        // Nothing of the user's runs under the lock, so a panic cannot have left it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the result where its future finds it; who waits for it. A result that nobody takes is dropped.
    fn end(&self, result: thread::Result<R>) -> Option<Waker> {
        let mut state = self.lock();
        if state.detached {
            state.stage = Stage::Gone;
            drop(state);
            // A destructor that panics must not take the thread with it.
            catching(|| drop(result));
            return None;
        }
        state.stage = Stage::Done(result);
        state.waker.take()
    }
}

impl<F: FnOnce() -> R + Send, R: Send> Work for Job<F, R> {
    fn begin(&self) {
        let mut state = self.lock();
        state.stage = match mem::replace(&mut state.stage, Stage::Gone) {
            Stage::Queued(work) => Stage::Begun(work),
            stage => stage,
        };
    }

    fn run(&self) -> Option<Waker> {
        let mut state = self.lock();
        let work = match mem::replace(&mut state.stage, Stage::Running) {
            Stage::Begun(work) => work,
            stage => {
                state.stage = stage;
                return None;
            }
        };
        drop(state);
        self.end(catch_unwind(AssertUnwindSafe(work)))
    }

    fn refuse(&self, why: Refusal) {
        let mut state = self.lock();
        let waits = matches!(state.stage, Stage::Queued(_));
        let stage = waits.then(|| mem::replace(&mut state.stage, Stage::Refused(why)));
        let waker = if waits { state.waker.take() } else { None };
        drop(state);
        wake_all(waker);
        catching(|| drop(stage));
    }
}

impl<F: FnOnce() -> R + Send, R: Send> Awaited<R> for Job<F, R> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Verdict<R>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        match mem::replace(&mut state.stage, Stage::Gone) {
            Stage::Done(result) => Poll::Ready(Ok(result)),
            Stage::Refused(why) => Poll::Ready(Err(why)),
            Stage::Gone => panic!("the future of a blocking job was polled after it was done"),
            stage => {
                state.stage = stage;
                let former = state.waker.replace(waker);
                drop(state);
                drop(former);
                Poll::Pending
            }
        }
    }

    fn has_begun(&self) -> bool {
        matches!(self.lock().stage, Stage::Begun(_) | Stage::Running | Stage::Done(_))
    }

    fn take_back(&self) -> bool {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Queued(_)) {
            return false;
        }
        let stage = mem::replace(&mut state.stage, Stage::Gone);
        let waker = state.waker.take();
        drop(state);
        drop((stage, waker));
        true
    }

    fn detach(&self) {
        let mut state = self.lock();
        state.detached = true;
        let waker = state.waker.take();
        let done = matches!(state.stage, Stage::Done(_));
        let stage = done.then(|| mem::replace(&mut state.stage, Stage::Gone));
        drop(state);
        drop((waker, stage));
    }
}

impl<F, R> fmt::Debug for Job<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// Wakes those whose turn it is.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        catching(|| waker.wake());
    }
}

/// Runs code of the user's whose panic concerns nobody.
fn catching(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // The payload's own drop may panic; what that throws is leaked.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop::<Box<dyn Any + Send>>(payload)));
        let _leaked = ManuallyDrop::new(dropped.err());
    }
}
