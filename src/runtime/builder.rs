//! The settings of a runtime: every bound of the core, with its default and its reason.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Runtime;
use super::stall::{Stall, Watch};
use super::worker::{Blocking, Ends, LeakHook, Spin, Worker};
use crate::blocking::{Pool, PoolBuilder};
use crate::buf::PoolOptions;
use crate::channel::adaptive_spin::AdaptiveSpin;
use crate::driver::{Driver, Leaked, Limits};
use crate::executor::Executor;
use crate::sys::eventfd::Bell;
use crate::sys::plain::ClockId;
use crate::sys::setup::{Feature, Features, RingOptions};
use crate::task::{JoinError, PanicHook, waker_table};
use crate::time::timers::{SLACK, Timers};

/// The settings of a [`Runtime`].
///
/// ```
/// use std::time::Duration;
///
/// let runtime = annulus::Runtime::builder()
///     .ring_entries(128, 1024)
///     .linger(Duration::from_secs(2))
///     .build()?;
/// # drop(runtime);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    ring: RingOptions,
    pool: PoolOptions,
    limits: Limits,
    tick_budget: u32,
    spin: Duration,
    channel_spin: Duration,
    clock: ClockId,
    timer_slack: Duration,
    shutdown_deadline: Duration,
    on_leak: Option<LeakHook>,
    on_unhandled_panic: Option<PanicHook>,
    on_stall: Option<Watch>,
    blocking: PoolBuilder,
    blocking_pool: Option<Pool>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults, which each setting names.
    pub fn new() -> Self {
        Self {
            ring: RingOptions {
                submission_entries: 256,
                completion_entries: 2048,
                kernel_workers_max: [16, 16],
                features: Features::all(),
            },
            pool: PoolOptions {
                small_size: 4096,
                small_count: 4096,
                large_size: 65536,
                large_count: 1024,
                bulk_size: 512 * 1024,
                bulk_count: 64,
                stream_share: 16,
            },
            limits: Limits {
                undelivered_max: 256 * 1024,
                untaken_max: 256,
                linger: Duration::from_secs(5),
                lingering_max: 1024,
                direct_depth: 128,
                registered_pools: 16,
            },
            tick_budget: 64,
            spin: Duration::ZERO,
            channel_spin: Duration::from_micros(50),
            clock: ClockId::Monotonic,
            timer_slack: SLACK,
            shutdown_deadline: Duration::from_secs(5),
            on_leak: None,
            on_unhandled_panic: None,
            on_stall: None,
            blocking: PoolBuilder::new(),
            blocking_pool: None,
        }
    }

    /// Entries of the submission and of the completion queue: 256 and 2048 by default.
    ///
    /// Neither may be zero, and the completions not fewer than the submissions: the kernel refuses such a ring when
    /// it is built. More may be submitted than fits; it goes in several calls. The completion queue should hold at
    /// least four times the submissions, because a receive or accept that outruns it has to be armed anew. Both are
    /// charged to the user's `RLIMIT_MEMLOCK`: 64 bytes a submission, 16 a completion. Rounded up to a power of two
    /// by the kernel.
    #[must_use]
    pub fn ring_entries(mut self, submission: u32, completion: u32) -> Self {
        self.ring.submission_entries = submission;
        self.ring.completion_entries = completion;
        self
    }

    /// The most kernel threads for operations that block: on files (16 by default), and on everything else (16).
    #[must_use]
    pub fn kernel_workers(mut self, files: u32, others: u32) -> Self {
        self.ring.kernel_workers_max = [files, others];
        self
    }

    /// Small receive buffers: bytes of each and their count, 4096 bytes and 4096 of them by default. Streams start with
    /// them.
    ///
    /// # Panics
    ///
    /// If the size or the count is zero, or the count is above 32768.
    #[must_use]
    pub fn small_buffers(mut self, size: u32, count: u16) -> Self {
        check_buffers(size, count);
        self.pool.small_size = size;
        self.pool.small_count = count;
        self
    }

    /// Large receive buffers: bytes of each and their count, 65536 bytes and 1024 of them by default. A stream whose
    /// messages fill small ones gets them. Memory is taken up only as it is first used: a core pays for as many as it
    /// ever held at once, and for three for each stream that receives with them, up to 64.
    ///
    /// # Panics
    ///
    /// As for [`small_buffers`](Self::small_buffers).
    #[must_use]
    pub fn large_buffers(mut self, size: u32, count: u16) -> Self {
        check_buffers(size, count);
        self.pool.large_size = size;
        self.pool.large_count = count;
        self
    }

    /// Receive buffers for bulk: bytes of each and their count, 512 KiB and 64 of them by default. A stream that fills
    /// large ones and has more to give receives with these, one at a time and only what it asks for, while there is one
    /// for it and [`undelivered_max`](Self::undelivered_max) is no less than half of it; otherwise with large ones.
    /// Memory is taken up only as it is first used: a core pays for as many as it ever held at once.
    ///
    /// # Panics
    ///
    /// As for [`small_buffers`](Self::small_buffers).
    #[must_use]
    pub fn bulk_buffers(mut self, size: u32, count: u16) -> Self {
        check_buffers(size, count);
        self.pool.bulk_size = size;
        self.pool.bulk_count = count;
        self
    }

    /// Buffers that one stream may hold, in its chunks: 16 by default. What it receives beyond that is copied to
    /// the heap, as for every stream when less than a quarter of the buffers is left. A socket of messages, which has
    /// many peers and a buffer for each message, may hold 16 times as many.
    #[must_use]
    pub fn stream_share(mut self, buffers: u32) -> Self {
        self.pool.stream_share = buffers;
        self
    }

    /// Bytes of one stream that may wait untaken, 256 KiB by default. Then its receive is paused, and the peer sees
    /// a full window. What the kernel had already delivered comes on top. For sockets of messages, which lose what the
    /// kernel then drops, see [`UdpSocket`](crate::net::UdpSocket).
    #[must_use]
    pub fn undelivered_max(mut self, bytes: usize) -> Self {
        self.limits.undelivered_max = bytes;
        self
    }

    /// Connections of one listener that may wait untaken, 256 by default. The others wait in the kernel's backlog.
    /// What the kernel had already accepted comes on top, at most what was in the backlog.
    #[must_use]
    pub fn untaken_max(mut self, connections: usize) -> Self {
        self.limits.untaken_max = connections;
        self
    }

    /// How long a stream that was dropped while sending may go on, 5 seconds by default. Then it is reset; the sends
    /// of a socket of messages are cancelled.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.limits.linger = time;
        self
    }

    /// How many dropped streams may go on sending at once, 1024 by default. One more is reset at once.
    #[must_use]
    pub fn lingering_max(mut self, streams: usize) -> Self {
        self.limits.lingering_max = streams;
        self
    }

    /// Reads and writes of [`DirectFile`](crate::fs::DirectFile)s that are in the kernel at once, 128 by default.
    /// Further ones wait, first come first served. A disk takes only so many at a time, and the core waits in the
    /// system call that hands it one more: set it to the length of the disk's queue (`/sys/block/*/queue/nr_requests`)
    /// over the number of cores that use it, or below.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn direct_depth(mut self, operations: usize) -> Self {
        assert!(operations > 0, "with no operation at once none would ever begin");
        self.limits.direct_depth = operations;
        self
    }

    /// How many [`RegisteredPool`](crate::fs::RegisteredPool)s there may be at once, 16 by default.
    ///
    /// # Panics
    ///
    /// If it is zero or above 16384.
    #[must_use]
    pub fn registered_pools(mut self, pools: u16) -> Self {
        assert!((1..=1 << 14).contains(&pools), "the count of registered pools is 1 to 16384");
        self.limits.registered_pools = pools;
        self
    }

    /// Tasks that are polled before the loop looks at the kernel again, 64 by default. As many come on top as it
    /// brought completions the last time, so that what these wake does not pile up.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn tick_budget(mut self, polls: u32) -> Self {
        assert!(polls > 0, "a tick must poll at least one task");
        self.tick_budget = polls;
        self
    }

    /// How long the loop looks for work before it sleeps, when it has run out of it: not at all by default.
    ///
    /// While it looks, neither a completion nor another thread has to wake it, which saves both sides a system call and
    /// the switch of threads. The processor is busy meanwhile, and so is lost to everybody else: it is worth it on one
    /// that nobody else uses.
    #[must_use]
    pub fn spin(mut self, time: Duration) -> Self {
        self.spin = time;
        self
    }

    /// Whether timers count the time for which the machine is suspended: they do not by default.
    ///
    /// By default they go by `CLOCK_MONOTONIC`, which stands still meanwhile: after a night on a suspended machine, a
    /// sleep of an hour still has the rest of its hour before it. With this they go by `CLOCK_BOOTTIME`, and so do
    /// [`time::Instant`](crate::time::Instant)s: what became due meanwhile is over as soon as the machine wakes up. No
    /// timer wakes it up. Either clock is left alone when somebody sets the time of day.
    ///
    /// ```
    /// use annulus::time::{Duration, sleep};
    ///
    /// let runtime = annulus::Runtime::builder().boottime(true).build()?;
    /// // A lease that others count on: it must not be taken for valid after a suspension.
    /// runtime.block_on(async { sleep(Duration::from_millis(1)).await });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn boottime(mut self, boottime: bool) -> Self {
        self.clock = if boottime { ClockId::Boottime } else { ClockId::Monotonic };
        self
    }

    /// How late a timer may be on purpose, where others are due so soon after it that one wake-up does for all: 50
    /// microseconds by default, which is what Linux allows a thread that sleeps (`PR_SET_TIMERSLACK`).
    ///
    /// A wake-up of a core that sleeps costs some 20 us of its processor, more than all else of a timer. A thousand
    /// sleeps in 100 ms cost 0.3 to 0.4 as much with a slack of 1 ms as by default, and were 0.6 ms late (`rivals`,
    /// `timer-1k`). A timer with none soon after it is not made to wait, nor any on a core that is awake; none fires
    /// early, and a clock that is [paused](crate::time::pause()) goes from one to the next.
    ///
    /// ```
    /// use annulus::time::{Duration, sleep};
    ///
    /// // Thousands of idle connections with a timeout each, which need not end to the millisecond.
    /// let runtime = annulus::Runtime::builder().timer_slack(Duration::from_millis(10)).build()?;
    /// runtime.block_on(async { sleep(Duration::from_millis(1)).await });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = slack;
        self
    }

    /// How long the loop looks for work before it sleeps when a busy end of a [channel](crate::channel) waits: 50
    /// microseconds by default, about what it takes to wake a core that sleeps; zero for not at all.
    ///
    /// An end is busy that has moved at least 64 messages since it last waited. Looks in a row that find nothing have
    /// the next 1, 3, 7 and at last 63 such sleeps go without. [`spin`](Self::spin) is for every sleep; the longer
    /// counts.
    #[must_use]
    pub fn channel_spin(mut self, time: Duration) -> Self {
        self.channel_spin = time;
        self
    }

    /// How long dropping the runtime may wait for the kernel and for blocking jobs, 5 seconds by default; for half of
    /// that writes under way are left to finish, as at [`Runtime::shutdown`].
    #[must_use]
    pub fn shutdown_deadline(mut self, time: Duration) -> Self {
        self.shutdown_deadline = time;
        self
    }

    /// What to do when dropping the runtime had to leak memory or leave a thread behind. Nothing by default.
    #[must_use]
    pub fn on_leak(mut self, hook: impl Fn(&Leaked) + 'static) -> Self {
        self.on_leak = Some(LeakHook(Box::new(hook)));
        self
    }

    /// What to do with a panic of a task that nobody can take any more. By default it is counted, in
    /// [`Metrics::unhandled_panics`](super::Metrics::unhandled_panics), and the core goes on.
    ///
    /// A panic is taken by whoever awaits the [`JoinHandle`](crate::task::JoinHandle), the set or the group; it is
    /// unhandled when the handle of the task was dropped, before or after, or a group in the midst of its end. The hook
    /// gets it on the thread of the runtime, with the task's id and name; outside the runtime, if a handle is dropped
    /// there. A task of another shard is told of on that shard, or on the handle's if it was dropped after the task
    /// had ended. It may log, count, cancel a token that ends the service, or abort the process; what it throws is
    /// caught and counted.
    ///
    /// Nothing is silent by default either: std's own panic hook has said on stderr where and why, at the time of the
    /// panic. A task that *returns* an error which nobody looks at is no failure here, for to the runtime it is a value
    /// like any other; a [`task_group`](crate::task::task_group()) looks.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    ///
    /// let seen = Rc::new(RefCell::new(Vec::new()));
    /// let log = Rc::clone(&seen);
    /// let runtime = annulus::Runtime::builder()
    ///     .on_unhandled_panic(move |error| log.borrow_mut().push(error.to_string()))
    ///     .build()?;
    /// runtime.block_on(async {
    ///     drop(annulus::task::Builder::new().name("worker").spawn(async { panic!("out of work") }));
    ///     annulus::task::yield_now().await;
    /// });
    /// assert!(seen.borrow()[0].ends_with("(worker) panicked with message \"out of work\""));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn on_unhandled_panic(mut self, hook: impl Fn(JoinError) + 'static) -> Self {
        self.on_unhandled_panic = Some(PanicHook(Rc::new(hook)));
        self
    }

    /// What to do when a poll took longer than `limit`, and so kept everything else of its core waiting: a loop without
    /// an await, a lock of std's, a call that blocks. The hook is told after that poll whose it was; it may log or
    /// count, and what it throws is caught and counted. asyncio's debug mode warns of such polls
    /// (`slow_callback_duration`).
    ///
    /// Nobody is told by default, and no poll is timed: timing takes two looks at the clock for each, some 40 ns. Not
    /// watched are a task that never comes back, and the first poll of a call from another core.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = annulus::Runtime::builder()
    ///     .on_stall(Duration::from_millis(10), |stall| eprintln!("{stall}"))
    ///     .build()?;
    /// runtime.block_on(async {
    ///     // "the main future kept its core for 20.07ms"
    ///     std::thread::sleep(Duration::from_millis(20));
    /// });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn on_stall(mut self, limit: Duration, hook: impl Fn(Stall) + 'static) -> Self {
        self.on_stall = Some(Watch::new(limit, hook));
        self
    }

    /// The most threads of the blocking pool, 64 by default: see
    /// [`PoolBuilder::threads_max`](crate::blocking::PoolBuilder::threads_max).
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking = self.blocking.threads_max(threads);
        self
    }

    /// The most blocking jobs that wait in the queue, 1024 by default; further ones wait on this core, first come
    /// first served: see [`PoolBuilder::queue_max`](crate::blocking::PoolBuilder::queue_max).
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn blocking_queue(mut self, jobs: usize) -> Self {
        self.blocking = self.blocking.queue_max(jobs);
        self
    }

    /// How long a thread of the blocking pool stays without work, 10 seconds by default: see
    /// [`PoolBuilder::idle_timeout`](crate::blocking::PoolBuilder::idle_timeout).
    #[must_use]
    pub fn blocking_idle(mut self, time: Duration) -> Self {
        self.blocking = self.blocking.idle_timeout(time);
        self
    }

    /// Uses this pool for what blocks, which several runtimes may share, instead of one of its own: the settings above
    /// have no effect then. The end of the runtime takes its queued jobs back, and does not wait for those that run.
    ///
    /// ```
    /// use annulus::blocking::Pool;
    ///
    /// let pool = Pool::builder().threads_max(8).build();
    /// let runtime = annulus::Runtime::builder().blocking_pool(&pool).build()?;
    /// assert_eq!(runtime.block_on(async {
    ///     annulus::spawn_blocking(|| 6 * 7).await
    /// })?, 42);
    /// assert_eq!(pool.metrics().threads, 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn blocking_pool(mut self, pool: &Pool) -> Self {
        self.blocking_pool = Some(pool.clone());
        self
    }

    /// Does without a kernel feature, as on a kernel that lacks it.
    #[must_use]
    pub fn disable(mut self, feature: Feature) -> Self {
        self.ring.features.disable(feature);
        self
    }

    /// Makes the runtime, for this thread.
    ///
    /// # Errors
    ///
    /// Why this machine gives no ring, with the cure: io_uring off or filtered (`PermissionDenied`), no io_uring in
    /// the kernel or one older than 6.1 (`Unsupported`), too little lockable memory (`OutOfMemory`), no descriptor
    /// left.
    pub fn build(self) -> io::Result<Runtime> {
        self.build_pinned(|| Ok(()))
    }

    /// As [`build`](Self::build), with a call that pins the thread: the ring is made after it, near its processor, and
    /// the threads for what blocks go where this one may before.
    pub(crate) fn build_pinned(self, pin: impl FnOnce() -> io::Result<()>) -> io::Result<Runtime> {
        let blocking = match self.blocking_pool {
            Some(pool) => Blocking { pool, is_own: false },
            None => Blocking { pool: self.blocking.build(), is_own: true },
        };
        pin()?;
        let driver = Driver::new(&self.ring, self.pool, self.limits)?;
        driver.trust(waker_table());
        let bell = Bell::new()?;
        let executor = Executor::new(bell.waker(), self.tick_budget);
        if let Some(hook) = self.on_unhandled_panic {
            executor.set_panic_hook(hook);
        }
        let timers = Timers::new(self.clock, self.timer_slack);
        let ends = Ends { shutdown_deadline: self.shutdown_deadline, on_leak: self.on_leak };
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let adaptive = AdaptiveSpin::new(ns(self.channel_spin));
        let spin = Spin { always_ns: ns(self.spin), adaptive };
        let mut worker = Worker::new(driver, executor, timers, blocking, bell, spin, ends);
        worker.watch = self.on_stall;
        Ok(Runtime { worker })
    }
}

fn check_buffers(size: u32, count: u16) {
    assert!(size > 0, "a receive buffer has at least one byte");
    assert!((1..=1 << 15).contains(&count), "the count of receive buffers is 1 to 32768");
}
