//! One core: a ring, an executor and a wheel, and the loop that holds them.
//!
//! `builder` sets the limits, `worker` is the loop, `enter` makes a runtime the current one, `metrics` counts,
//! `handle` and `remote` take work from other threads, `stall` finds what keeps the core for long.

mod builder;
mod enter;
mod handle;
mod metrics;
#[cfg(all(test, loom))]
mod models;
mod remote;
mod stall;
mod worker;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub use builder::Builder;
pub use handle::Handle;
pub use metrics::Metrics;
pub use remote::{RemoteError, RemoteHandle};
pub use stall::Stall;
use stall::Watch;
use worker::Worker;
pub(crate) use worker::check_not_nested;

pub use crate::driver::Leaked;
use crate::executor;
pub use crate::sys::setup::Feature;
use crate::task;

/// Runs a future on this thread, on a runtime of its own, until it is done.
///
/// When the future is done, the tasks it spawned are dropped and the runtime shuts down in order. An error that
/// keeps the runtime from starting or running is returned like one of the future's own. What a shutdown had to leak
/// is not reported: for that there is [`Runtime::shutdown`].
///
/// ```
/// let sum = annulus::run(async {
///     let task = annulus::spawn(async { 20 });
///     Ok::<_, std::io::Error>(task.await? + 22)
/// })?;
/// assert_eq!(sum, 42);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
///
/// What the future returns, or why there is no io_uring here (the text names the cause and the cure), or that this
/// thread runs a runtime already.
///
/// # Panics
///
/// If the future panics; after an orderly shutdown.
pub fn run<T, E: From<io::Error>>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let runtime = Builder::new().build()?;
    check_not_nested()?;
    runtime.worker.block_on(future)?
}

/// A core's ring, tasks and timers. It stays on the thread that made it.
///
/// ```
/// let runtime = annulus::Runtime::new()?;
/// let answer = runtime.block_on(async { 42 });
/// assert_eq!(answer, 42);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Dropping it shuts down as [`shutdown`](Runtime::shutdown) does, with the builder's deadline; what that would
/// return goes to the builder's hook.
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<annulus::Runtime>();
/// ```
#[derive(Debug)]
pub struct Runtime {
    worker: Worker,
}

impl Runtime {
    /// A runtime with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As for [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new().build()
    }

    /// The settings of a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a future on this thread until it is done; spawned tasks run meanwhile and stay when it is.
    ///
    /// # Panics
    ///
    /// If the future panics, if this thread runs a runtime already, or if the ring fails for good, which it does
    /// only if its descriptor is closed behind our back.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let result = check_not_nested().and_then(|()| self.worker.block_on(future));
        match result {
            Ok(output) => output,
            Err(error) => panic!("{error}"),
        }
    }

    /// Drops every task, cancels what is in the kernel and waits until the kernel is done, at most for `deadline`.
    /// What is left of that is waited for jobs on the runtime's own blocking pool; those that no thread has begun with
    /// are dropped.
    ///
    /// Writes under way are cancelled last, when half of that time has passed; dropped streams that are still
    /// sending are reset at once.
    ///
    /// # Errors
    ///
    /// [`Leaked`] if an operation could not be ended in time: its memory is then never freed, because the kernel
    /// may still write to it. Likewise if a blocking job did not end: its thread is left behind.
    pub fn shutdown(self, deadline: Duration) -> Result<(), Leaked> {
        self.worker.shutdown(deadline)
    }

    /// Keeps the kernel's worker threads for this ring on these processors, if there are any and the kernel can.
    pub(crate) fn keep_workers_on(&self, processors: &[usize]) {
        if !processors.is_empty() {
            self.worker.driver().keep_workers_on(processors);
        }
    }

    /// What the runtime counts.
    pub fn metrics(&self) -> Metrics {
        self.worker.metrics()
    }
}

/// What the current runtime counts.
///
/// # Panics
///
/// Outside a runtime.
pub fn metrics() -> Metrics {
    metrics::current()
}

impl Worker {
    /// See [`Runtime::block_on`]. Task-local values around the call are the future's alone: none of the tasks that
    /// run meanwhile sees them.
    fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        match task::Within::current(future) {
            Ok(future) => self.turn_until(future),
            Err(future) => self.turn_until(future),
        }
    }

    /// Polls the future whenever it was woken, and turns the loop meanwhile.
    fn turn_until<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let _entered = self.enter();
        let root = self.executor().root();
        let waker = root.waker().clone();
        let mut future = pin!(future);
        loop {
            if root.take_woken() {
                executor::budget::reset();
                let watched = self.watch.as_ref().map(|watch| (watch, Watch::begin(None)));
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Some((watch, polling)) = watched {
                    watch.end(polling, self.driver());
                }
                if let Poll::Ready(output) = polled {
                    return Ok(output);
                }
            }
            self.turn(&root)?;
        }
    }
}
