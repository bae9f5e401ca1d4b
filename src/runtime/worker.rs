//! The loop: the only file that holds the I/O column and the scheduling column at once.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::enter::Entered;
use super::metrics::Metrics;
use super::stall::Watch;
use crate::blocking::Pool;
use crate::channel::adaptive_spin::AdaptiveSpin;
use crate::channel::later as channel;
use crate::driver::{Driver, Key, Leaked};
use crate::executor::Executor;
use crate::op::bell::Listen;
use crate::op::timeout::{Rearm, Timeout};
use crate::sys::eventfd::Bell;
use crate::task::Root;
use crate::time::timers::Timers;

/// How often a spinning core looks for work between two looks at the clock.
const SPINS: u32 = 16;

/// A core: what runs, what is in the kernel, what is due.
#[derive(Debug)]
pub(super) struct Worker {
    driver: Rc<Driver>,
    executor: Rc<Executor>,
    timers: Rc<Timers>,
    blocking: Blocking,
    bell: Bell,
    bell_armed: Rc<Cell<bool>>,
    alarm: Alarm,
    /// Completions of the last turn: so many more polls are due, or what they wake would pile up.
    reaped: Cell<u32>,
    /// Wakers of timers that are due; kept for its memory.
    expired: RefCell<Vec<Waker>>,
    spin: Spin,
    /// Who is told of polls that take long; nobody by default, and then no poll is timed.
    pub(super) watch: Option<Watch>,
    ends: Ends,
}

/// How long to look for work before a sleep.
#[derive(Debug)]
pub(super) struct Spin {
    /// Before each; zero for not at all.
    pub(super) always_ns: u64,
    /// Where channels are busy.
    pub(super) adaptive: AdaptiveSpin,
}

/// How a core ends that nobody shuts down.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) shutdown_deadline: Duration,
    pub(super) on_leak: Option<LeakHook>,
}

/// What to do with the report of a shutdown that nobody waits for.
pub(super) struct LeakHook(pub(super) Box<dyn Fn(&Leaked)>);

impl std::fmt::Debug for LeakHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeakHook")
    }
}

/// The pool for what blocks.
#[derive(Debug)]
pub(super) struct Blocking {
    pub(super) pool: Pool,
    /// It was made for this runtime, and ends with it.
    pub(super) is_own: bool,
}

impl Blocking {
    fn close(&self) {
        if self.is_own {
            self.pool.close();
        }
    }

    /// How many jobs still run after that time.
    fn end(&self, deadline: Duration) -> usize {
        if self.is_own { self.pool.end(deadline) } else { 0 }
    }
}

/// The one timer in the kernel, for the earliest deadline of the wheel.
#[derive(Debug)]
struct Alarm {
    key: Cell<Option<Key>>,
    deadline_ns: Cell<u64>,
    /// Cleared when it fires.
    armed: Rc<Cell<bool>>,
}

impl Worker {
    pub(super) fn new(
        driver: Rc<Driver>,
        executor: Rc<Executor>,
        timers: Rc<Timers>,
        blocking: Blocking,
        bell: Bell,
        spin: Spin,
        ends: Ends,
    ) -> Self {
        let alarm = Alarm { key: Cell::new(None), deadline_ns: Cell::new(0), armed: Rc::default() };
        Self {
            driver,
            executor,
            timers,
            blocking,
            bell,
            bell_armed: Rc::default(),
            alarm,
            reaped: Cell::new(0),
            expired: RefCell::default(),
            spin,
            watch: None,
            ends,
        }
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(super) fn executor(&self) -> &Rc<Executor> {
        &self.executor
    }

    /// Makes this runtime the current one of the thread.
    pub(super) fn enter(&self) -> Entered {
        Entered::new(&self.driver, &self.executor, &self.timers, &self.blocking.pool)
    }

    /// One turn of the loop. One system call, more only if more is staged than the submission queue holds; none if
    /// there is nothing to ask the kernel.
    pub(super) fn turn(&self, root: &Root) -> io::Result<()> {
        // Poll what is ready, at most a tick's budget of it, and what the last turn's completions woke.
        match &self.watch {
            None => self.executor.run_batch(self.reaped.get()),
            Some(watch) => self.run_batch_watched(watch),
        };
        // Take wakes that other threads sent.
        self.executor.take_inbox();
        // Wake what is due.
        self.fire_timers();
        // Submit everything that was pushed; sleep in the same call if nothing is ready.
        self.flush_or_sleep(root)?;
        // Take what the kernel finished, and only then, with nothing borrowed, wake.
        self.reaped.set(self.driver.reap());
        self.driver.act();
        Ok(())
    }

    #[cold]
    fn run_batch_watched(&self, watch: &Watch) -> u32 {
        self.executor.run_batch_watched(self.reaped.get(), |task, poll| {
            let polling = Watch::begin(Some(task));
            let polled = poll();
            watch.end(polling, &self.driver);
            polled
        })
    }

    fn flush_or_sleep(&self, root: &Root) -> io::Result<()> {
        // Whoever began to wait for a message of this turn while it was sent.
        channel::settle();
        if root.is_woken() || self.executor.has_ready() || self.driver.has_more() {
            return if self.driver.needs_enter() { self.driver.enter(0, None) } else { Ok(()) };
        }
        if self.timers.is_paused() && self.timers.auto_advance() {
            return Ok(());
        }
        if self.spin()? {
            return Ok(());
        }
        self.arm_bell();
        self.arm_alarm();
        if !self.executor.begin_sleep() {
            return Ok(());
        }
        let result = self.driver.enter(1, None);
        self.executor.end_sleep();
        result
    }

    /// Looks for work for a while, if that is wanted before this sleep; whether there is any.
    #[inline]
    fn spin(&self) -> io::Result<bool> {
        let adaptive_ns = self.spin.adaptive.wanted_ns();
        let spin_ns = self.spin.always_ns.max(adaptive_ns);
        if spin_ns == 0 {
            return Ok(false);
        }
        if self.driver.needs_enter() {
            self.driver.enter(0, None)?;
        }
        let found = self.look_for_work(spin_ns);
        if adaptive_ns > 0 {
            self.spin.adaptive.tell(found);
        }
        Ok(found)
    }

    /// Looks for work for so long; whether there is any. Its instructions are not those of any work (`echo`,
    /// `--scripted`), so it stays a function.
    #[cold]
    #[inline(never)]
    fn look_for_work(&self, spin_ns: u64) -> bool {
        let now_ns = || self.timers.kernel_clock().1;
        let give_up_ns = now_ns().saturating_add(spin_ns);
        let due_ns = self.timers.alarm().map_or(u64::MAX, |wanted| wanted.at_ns);
        loop {
            for _ in 0..SPINS {
                if self.executor.has_arrivals() {
                    // Here, and not in the next turn: another core may be waiting for an answer.
                    self.executor.take_inbox();
                    return true;
                }
                if self.driver.has_more() || self.driver.needs_enter() {
                    return true;
                }
                std::hint::spin_loop();
            }
            let now_ns = now_ns();
            if now_ns >= give_up_ns.min(due_ns) {
                return now_ns >= due_ns;
            }
        }
    }

    fn fire_timers(&self) {
        if self.timers.live() == 0 {
            return;
        }
        let mut expired = self.expired.take();
        self.timers.expire(&mut expired);
        let mut wakers = expired.drain(..);
        while wakers.len() > 0 {
            // A waker that panics loses nobody else's wake-up.
            self.driver.catching(|| wakers.by_ref().for_each(Waker::wake));
        }
        drop(wakers);
        self.expired.replace(expired);
    }

    /// Keeps a poll of the bell in the ring, so that a ring from another thread ends a sleep.
    fn arm_bell(&self) {
        if !self.bell_armed.get() {
            let armed = Rc::clone(&self.bell_armed);
            let _ = self.driver.stand(Listen { bell: self.bell.clone(), armed });
        }
    }

    /// Sees to it that the kernel's timer fires in time for the wheel's earliest deadline. A timer that is armed for
    /// an earlier time stays: it costs one wake-up.
    fn arm_alarm(&self) {
        if self.timers.live() == 0 {
            return;
        }
        let Some(wanted) = self.timers.alarm() else {
            return;
        };
        let armed = self.alarm.armed.get();
        if armed && self.alarm.deadline_ns.get() <= wanted.latest_ns {
            return;
        }
        let (clock, now_ns) = self.timers.kernel_clock();
        let after_ns = wanted.at_ns.saturating_sub(now_ns);
        match self.alarm.key.get().filter(|_| armed) {
            Some(key) => drop(self.driver.stand(Rearm::new(key, after_ns))),
            None => {
                let timeout = Timeout::new(after_ns, clock, Rc::clone(&self.alarm.armed));
                self.alarm.key.set(self.driver.stand(timeout).ok());
            }
        }
        self.alarm.deadline_ns.set(wanted.at_ns);
    }

    pub(super) fn metrics(&self) -> Metrics {
        Metrics::read(&self.driver, &self.executor, &self.timers, &self.blocking.pool)
    }

    /// Ends the core. The order of the list is the order of the steps.
    pub(super) fn shutdown(&self, deadline: Duration) -> Result<(), Leaked> {
        let _entered = self.enter();
        let start = Instant::now();
        // 1. No new task; every task is dropped here, on its own thread, with the runtime entered.
        self.executor.shutdown();
        channel::settle();
        // 2. Timers that are held outside of tasks fire no more.
        self.timers.close();
        // 3. No new blocking job; those that no thread has begun with are dropped.
        self.blocking.close();
        // 4. No new operation; all are cancelled and their completions counted in; then the ring goes.
        let closed = self.driver.close(deadline);
        // 5. What is left of the time is for the blocking jobs under way; then they are left behind.
        match self.blocking.end(deadline.saturating_sub(start.elapsed())) {
            0 => closed,
            blocking_jobs => Err(match closed {
                Ok(()) => Leaked { count: 0, kinds: Vec::new(), blocking_jobs },
                Err(leaked) => Leaked { blocking_jobs, ..leaked },
            }),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.driver.is_open() {
            return;
        }
        if let Err(leaked) = self.shutdown(self.ends.shutdown_deadline)
            && let Some(LeakHook(hook)) = &self.ends.on_leak
        {
            hook(&leaked);
        }
    }
}

/// A runtime cannot run inside another one's loop, which would not turn meanwhile.
pub(crate) fn check_not_nested() -> io::Result<()> {
    if crate::driver::current::get().is_none() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this thread is already inside an annulus runtime, whose tasks would wait for this one: \
         await the future there, or start the second runtime on a thread of its own",
    ))
}
