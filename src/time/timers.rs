//! A core's timers: the wheel of those who wait for a time, and the clock they wait by.
//!
//! The worker drives it (`next_deadline_ns`, `expire`, `auto_advance`), futures arm and disarm.
//! Wakers are user code in all they do (clone, wake, drop), so none is touched while the wheel is
//! borrowed: a clone is made before, and whatever leaves the wheel is moved out and dropped or
//! woken after.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;

use super::clock::Clock;
use super::entries::Key;
use super::wheel::{TICK_NS, Wheel};

/// What the thread is in. The guards own it, so the thread's end has nothing to drop: without a
/// destructor the cell can be used by those of others, such as a runtime in a thread local.
type Current = Option<ManuallyDrop<Rc<Timers>>>;

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(None) };
}

/// See the file's head.
pub(crate) struct Timers {
    wheel: RefCell<Wheel<Waker>>,
    clock: Clock,
    /// CLOCK_MONOTONIC when the clock read 0.
    monotonic_epoch_ns: u64,
    closed: Cell<bool>,
}

/// Where a wait stands after it was armed or renewed.
#[must_use]
#[derive(Debug)]
pub(super) enum Wait {
    /// The waker is in the wheel.
    Armed(Key),
    /// The deadline has passed.
    Elapsed,
    /// The runtime is gone; nobody will fire anything.
    Closed,
}

impl Timers {
    /// No timers, and a running clock that reads 0.
    ///
    /// `monotonic_epoch_ns` is CLOCK_MONOTONIC read just before this call. A delay between the two
    /// brings the kernel's timeouts forward by as much; a tick of it is made up for by
    /// `monotonic_deadline_ns`.
    pub(crate) fn new(monotonic_epoch_ns: u64) -> Rc<Self> {
        Rc::new(Self {
            wheel: RefCell::new(Wheel::new()),
            clock: Clock::new(),
            monotonic_epoch_ns,
            closed: Cell::new(false),
        })
    }

    /// Makes these the thread's current timers until the guard is dropped, which restores those
    /// before.
    pub(crate) fn enter(self: &Rc<Self>) -> EnterGuard {
        EnterGuard { previous: CURRENT.replace(Some(ManuallyDrop::new(Rc::clone(self)))) }
    }

    /// The clock's reading: nanoseconds since the clock was made.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// A time, by the clock, that is not after the earliest deadline; nearly always that deadline.
    ///
    /// `expire` may find nothing there if an earlier timer was cancelled, once for each that was.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        self.wheel.borrow().next_deadline_ns()
    }

    /// Moves the wakers of all due timers to the end of `expired`, for the caller to wake. With no
    /// timers the clock is not read. They are `live()` at most.
    pub(crate) fn expire(&self, expired: &mut Vec<Waker>) {
        let mut wheel = self.wheel.borrow_mut();
        if wheel.live() > 0 {
            wheel.advance(self.clock.now_ns(), expired);
        }
    }

    /// The absolute CLOCK_MONOTONIC time, in nanoseconds, at which the kernel should end a wait for
    /// `deadline_ns`.
    ///
    /// It is rounded up to the end of the tick, so deadlines of one tick share one timeout of the
    /// kernel and none comes early. `u64::MAX` while the clock is paused: then no real time will
    /// do.
    pub(crate) fn monotonic_deadline_ns(&self, deadline_ns: u64) -> u64 {
        let tick_end_ns = deadline_ns.checked_next_multiple_of(TICK_NS).unwrap_or(u64::MAX);
        match self.clock.real_ns_since_epoch(tick_end_ns) {
            Some(ns) => self.monotonic_epoch_ns.saturating_add(ns),
            None => u64::MAX,
        }
    }

    /// Whether the clock stands still.
    pub(crate) fn is_paused(&self) -> bool {
        self.clock.is_paused()
    }

    /// Moves a paused clock to the next deadline. False if it runs or there is none: nothing became
    /// due.
    ///
    /// For the worker with nothing else to do; after true it goes on with `expire`.
    pub(crate) fn auto_advance(&self) -> bool {
        let next_ns = self.next_deadline_ns().filter(|_| self.is_paused());
        next_ns.inspect(|ns| self.clock.advance_to(*ns)).is_some()
    }

    /// The number of timers in the wheel.
    pub(crate) fn live(&self) -> usize {
        self.wheel.borrow().live()
    }

    /// Drops all wakers and takes no more: the end of the runtime.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        // A statement of its own: the wakers are dropped when the borrow has ended.
        let wheel = self.wheel.replace(Wheel::new());
        drop(wheel);
    }

    /// The thread's current timers, if a runtime is entered.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(|current| current.as_deref().cloned())
    }

    /// The thread's current timers, for a constructor that cannot do without.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub(super) fn expect_current() -> Rc<Self> {
        Self::current().expect(
            "no annulus runtime is running on this thread: \
             call this inside `annulus::run` or `Runtime::block_on`, or in a task they run",
        )
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Has `waker` moved out by the first `expire` at or after `deadline_ns`.
    ///
    /// The clock is not read: a deadline counts as passed when the last `expire` was later, and the
    /// next finds the rest.
    pub(super) fn arm(&self, deadline_ns: u64, waker: &Waker) -> Wait {
        if self.closed.get() {
            return Wait::Closed;
        }
        if deadline_ns <= self.wheel.borrow().now_ns() {
            return Wait::Elapsed;
        }
        self.arm_always(deadline_ns, waker.clone())
    }

    /// As `arm`, but a deadline that has passed also waits for the next `expire`.
    pub(super) fn arm_always(&self, deadline_ns: u64, waker: Waker) -> Wait {
        if self.closed.get() {
            return Wait::Closed;
        }
        Wait::Armed(self.wheel.borrow_mut().insert(deadline_ns, waker))
    }

    /// Has `waker` instead of the one that was armed; the same one costs nothing.
    pub(super) fn renew(&self, key: Key, waker: &Waker) -> Wait {
        match self.wheel.borrow_mut().get_mut(key) {
            Some(present) if present.will_wake(waker) => return Wait::Armed(key),
            Some(_) => {}
            None => return self.ended(),
        }
        let mut replaced = waker.clone();
        let wait = match self.wheel.borrow_mut().get_mut(key) {
            Some(present) => {
                std::mem::swap(present, &mut replaced);
                Wait::Armed(key)
            }
            // The clone, being user code, may have run the timer out or the runtime down.
            None => self.ended(),
        };
        drop(replaced);
        wait
    }

    /// Takes a timer's waker out of the wheel, if it is still there.
    pub(super) fn disarm(&self, key: Key) -> Option<Waker> {
        self.wheel.borrow_mut().remove(key)
    }

    /// What became of a wait whose entry is no longer in the wheel.
    fn ended(&self) -> Wait {
        if self.closed.get() { Wait::Closed } else { Wait::Elapsed }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("wheel", &self.wheel)
            .field("clock", &self.clock)
            .field("closed", &self.closed.get())
            .finish_non_exhaustive()
    }
}

/// While it lives, its `Timers` are the thread's current ones. Guards end in the reverse order of
/// their making.
#[must_use = "the timers are left when the guard is dropped"]
#[derive(Debug)]
pub(crate) struct EnterGuard {
    previous: Current,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.previous.take());
        // The last reference may drop wakers, which may look for the current timers: only now is
        // there no borrow.
        drop(left.map(ManuallyDrop::into_inner));
    }
}
