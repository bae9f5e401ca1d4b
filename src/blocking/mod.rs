//! Threads for work that blocks, and for work that computes for long.
//!
//! A core turns its loop between the polls of its tasks, so a call that blocks, or a computation of more than some
//! hundred microseconds, holds up every connection of the core. [`spawn_blocking`] has a thread of a bounded pool do
//! it, and the task waits as for any other:
//!
//! ```
//! annulus::run(async {
//!     let text = annulus::spawn_blocking(|| std::fs::read_to_string("/proc/self/stat")).await??;
//!     assert!(text.starts_with(char::is_numeric));
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! # Work that computes
//!
//! There are three places for it, and none is right for all:
//!
//! - **here, in pieces:** up to some hundred microseconds at a time, with a [`yield_now`](crate::task::yield_now)
//!   between; what the tasks of the core share needs no lock;
//! - **the pool:** what is moved into the closure is computed on another processor while the loop turns. There the
//!   threads compete with the cores for processors, and the kernel shares them out. For long computations make a
//!   [`Pool`] of their own with a few threads, so that they do not hold up the look-up of names:
//!
//!   ```
//!   use annulus::blocking::Pool;
//!
//!   let computing = Pool::builder().name("compute").threads_max(2).build();
//!   annulus::run(async {
//!       let pieces = (0..4u64).map(|piece| {
//!           computing.spawn(move || (piece * 1000..(piece + 1) * 1000).sum::<u64>())
//!       });
//!       let mut sum = 0;
//!       for piece in pieces.collect::<Vec<_>>() {
//!           sum += piece.await?;
//!       }
//!       assert_eq!(sum, (0..4000).sum());
//!       Ok::<_, std::io::Error>(())
//!   })
//!   # .unwrap();
//!   ```
//!
//! - **a core that serves nobody:** for a stream of such work that also does I/O a thread with a runtime of its own, or
//!   a shard of a [mesh](crate::mesh) that only the others [call](crate::mesh::Shard::call).
//!
//! # The life of a job
//!
//! A job is queued at once if the queue has room, else it waits for room on its own core, first come first served;
//! nothing spins. A thread takes it, or one is made for it as long as the pool may have more. If the system refuses to
//! make a thread the job waits for one of the others; if there is none, the handle gives a
//! [`JoinError`](crate::task::JoinError) whose panic says why. Threads bear the pool's name and a number, take no
//! signal, and run on the processors that the maker of the pool was allowed, wherever a core is pinned.
//!
//! | event | before a thread has begun with the job | afterwards |
//! | --- | --- | --- |
//! | the handle is dropped | it is run | it runs on, its result is dropped |
//! | `abort` | the closure is dropped, the handle says cancelled | no effect |
//! | the closure panics | | the handle gives the panic |
//! | the runtime ends | the closure is dropped, the handle says cancelled | the runtime's own pool is waited for until the deadline; then the thread is left behind and [`Leaked::blocking_jobs`](crate::runtime::Leaked::blocking_jobs) counts it. A [`Pool`] that was made elsewhere is not waited for. The handle says cancelled |
//! | the last handle of a [`Pool`] is dropped, or it is shut down | the closure is dropped, the handle says cancelled | it runs on; `shutdown` waits for it until its deadline |
//!
//! A job that never returns keeps its thread for ever, and the process's end does not wait for it. What it may block on
//! is therefore better given a limit of its own: a socket a timeout, a lock a deadline.
//!
//! Task-local values are not seen on the pool's threads.

mod crew;
pub(crate) mod current;
mod future;
mod job;
mod pool;
#[cfg(test)]
mod tests;
mod thread;

pub use crew::Metrics;
pub(crate) use future::Wait;
use future::WhenDropped;
pub use pool::{LeftBehind, Pool, PoolBuilder};

use crate::task::JoinHandle;

/// Runs a closure that may block on a thread of the runtime's pool.
///
/// It runs also if the handle is dropped. [`JoinHandle::abort`] takes it back as long as no thread has begun with it,
/// and has no effect afterwards. See [`blocking`](crate::blocking) for the life of a job, and [`Pool`] for threads
/// other than the runtime's.
///
/// ```
/// use std::sync::mpsc;
///
/// annulus::run(async {
///     let (sender, receiver) = mpsc::channel();
///     let waits = annulus::spawn_blocking(move || receiver.recv());
///     // Meanwhile the loop turns.
///     annulus::spawn(async move { sender.send("done") });
///     assert_eq!(waits.await?, Ok("done"));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// Those of the handle: a [`JoinError`](crate::task::JoinError) that is cancelled, or has the panic of the closure, or
/// a text that says why no thread could be made for it.
///
/// # Panics
///
/// Outside a runtime; also on the pool's own threads.
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    const NAME: &str = "annulus::spawn_blocking";
    pool::spawn_on(expect(NAME).crew(), work, NAME)
}

/// Waits for a closure on a thread of the runtime's pool, without a task for it. The function `name` is named in the
/// panic outside a runtime.
///
/// Nothing happens before the first poll. Dropped while it waits for room, the closure is not run; afterwards it is,
/// and what it returns is dropped on the thread. A panic of the closure goes on in the poll.
///
/// # Errors
///
/// The pool is closed, or no thread could be made and there is none.
#[track_caller]
pub(crate) fn run<F, R>(name: &str, work: F) -> Wait<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Wait::new(expect(name).crew(), work, WhenDropped::Run)
}

/// As [`run`], for a closure that changes nothing: dropped before a thread has begun with it, it is not run.
#[track_caller]
pub(crate) fn query<F, R>(
    name: &str,
    work: F,
) -> impl Future<Output = std::io::Result<R>> + use<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Wait::new(expect(name).crew(), work, WhenDropped::TakeBack)
}

/// The pool of this thread's runtime.
#[track_caller]
fn expect(name: &str) -> Pool {
    current::get().unwrap_or_else(|| {
        panic!(
            "{name} was called outside a runtime: call it inside `annulus::run`, \
             `Runtime::block_on`, or a task spawned there"
        )
    })
}
