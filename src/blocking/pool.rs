//! The handle of a pool, and its settings.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::crew::{Crew, Metrics, Settings};
use super::future::{Stand, Wait, WhenDropped};
use crate::task::{self, JoinHandle};

/// Threads for work that blocks, bounded in their number and in what waits for them.
///
/// Each runtime has one of its own, which [`spawn_blocking`](super::spawn_blocking) uses and
/// [`Builder`](crate::Builder) sets. A pool that is made here is for work that should not compete with that (slow
/// devices, long computations), or is shared by several runtimes:
/// [`Builder::blocking_pool`](crate::Builder::blocking_pool).
///
/// ```
/// use annulus::blocking::Pool;
///
/// let reports = Pool::builder().name("reports").threads_max(2).build();
/// annulus::run(async {
///     let sum = reports.spawn(|| (1..=100u64).sum::<u64>());
///     assert_eq!(sum.await?, 5050);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Clones are handles of the same pool. When the last is dropped, jobs that no thread has begun with are cancelled, and
/// threads end when they are done with theirs; nobody waits for that. [`shutdown`](Self::shutdown) waits.
#[derive(Clone, Debug)]
pub struct Pool {
    owner: Arc<Owner>,
}

/// What all handles of a pool share, and its threads do not.
#[derive(Debug)]
struct Owner {
    crew: Arc<Crew>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.crew.close();
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// A pool with the defaults of [`PoolBuilder`].
    pub fn new() -> Self {
        PoolBuilder::new().build()
    }

    /// The settings of a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    pub(super) fn crew(&self) -> &Arc<Crew> {
        &self.owner.crew
    }

    /// Runs a closure on a thread of this pool. All else is as for [`spawn_blocking`](super::spawn_blocking).
    ///
    /// # Panics
    ///
    /// Outside a runtime, which the handle belongs to.
    #[track_caller]
    pub fn spawn<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        spawn_on(self.crew(), work, "annulus::blocking::Pool::spawn")
    }

    /// What the pool holds now.
    pub fn metrics(&self) -> Metrics {
        self.crew().metrics()
    }

    /// Closes the pool, whoever else has a handle, and waits until its threads are gone, at most for `deadline`.
    ///
    /// Jobs that no thread has begun with are cancelled. Blocks the thread: not for a core that serves.
    ///
    /// # Errors
    ///
    /// [`LeftBehind`] if a job still ran at the deadline. Its thread ends when the job does.
    pub fn shutdown(self, deadline: Duration) -> Result<(), LeftBehind> {
        match self.end(deadline) {
            0 => Ok(()),
            jobs => Err(LeftBehind { jobs }),
        }
    }

    /// See [`shutdown`](Self::shutdown); how many jobs still run.
    pub(crate) fn end(&self, deadline: Duration) -> usize {
        self.crew().close();
        // A deadline past the end of the clock is none.
        let longest = Duration::from_secs(u32::MAX.into());
        self.crew().wait(Instant::now() + deadline.min(longest))
    }

    /// Cancels the jobs that no thread has begun with, and refuses new ones; waits for nobody.
    pub(crate) fn close(&self) {
        self.crew().close();
    }
}

/// See [`spawn_blocking`](super::spawn_blocking).
#[track_caller]
pub(super) fn spawn_on<F, R>(crew: &Arc<Crew>, work: F, name: &str) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let mut wait = Wait::new(crew, work, WhenDropped::TakeBack);
    // At once, not when the task comes up; but not in a runtime that ends, which drops the task here.
    if task::accepts_tasks(name) {
        wait.submit(Waker::noop());
    }
    task::spawn_unstoppable(Stand(wait), name)
}

/// Jobs that still ran at the deadline of [`Pool::shutdown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// How many.
    pub jobs: usize,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocking jobs did not end in time; their threads run on", self.jobs)
    }
}

impl std::error::Error for LeftBehind {}

/// The settings of a [`Pool`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct PoolBuilder {
    settings: Settings,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl PoolBuilder {
    /// The defaults, which each setting names.
    pub fn new() -> Self {
        Self {
            settings: Settings {
                name: "annulus-pool".to_owned(),
                threads_max: 64,
                queue_max: 1024,
                idle_timeout: Duration::from_secs(10),
                stack_size: None,
            },
        }
    }

    /// What the threads are called, before a hyphen and a number: "annulus-pool" by default. The kernel keeps 15 bytes.
    ///
    /// # Panics
    ///
    /// If it holds a zero byte.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(!name.contains('\0'), "the name of a thread holds no zero byte");
        self.settings.name = name;
        self
    }

    /// The most threads, 64 by default; they are made when jobs come and no thread is idle.
    ///
    /// Sockets and files wait in the ring, so what is left for threads is the look-up of names and what a program
    /// brings itself: many of these wait for something slow, and few compute. For computations as many threads as
    /// processors are enough.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn threads_max(mut self, threads: usize) -> Self {
        assert!(threads > 0, "a pool has at least one thread");
        self.settings.threads_max = threads;
        self
    }

    /// The most jobs that wait for a thread in the queue, 1024 by default. Further ones wait on their own core, first
    /// come first served, and take up nothing here but a ticket.
    ///
    /// The queue is what threads can take without asking a core; more than keeps them at work between two turns of a
    /// loop is of no use.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn queue_max(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "a queue holds at least one job");
        self.settings.queue_max = jobs;
        self
    }

    /// How long a thread without work stays, 10 seconds by default: to make one takes some ten times as long as to
    /// wake one, and an idle one holds little but its stack.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.settings.idle_timeout = time;
        self
    }

    /// Bytes of each thread's stack; by default what std gives, 2 MiB, of which only what is used takes up memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = Some(bytes);
        self
    }

    /// Makes the pool, without a thread yet. Its threads will run on the processors that this thread may use now.
    #[must_use]
    pub fn build(self) -> Pool {
        Pool { owner: Arc::new(Owner { crew: Crew::new(self.settings) }) }
    }
}
