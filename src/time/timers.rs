//! A core's timers: the wheel of those who wait for a time, and the clock they wait by.
//!
//! The worker drives it (`alarm`, `expire`, `auto_advance`), futures arm and disarm. Wakers are user
//! code in all they do (clone, wake, drop), so none is touched while the wheel is borrowed: a clone
//! is made before, and whatever leaves the wheel is moved out and dropped or woken after.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;

use super::clock::Clock;
use super::entries::Key;
use super::wheel::Wheel;

/// What the thread is in. The guards own it, so the thread's end has nothing to drop: without a
/// destructor the cell can be used by those of others, such as a runtime in a thread local.
type Current = Option<ManuallyDrop<Rc<Timers>>>;

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(None) };
}

/// How much later than its deadline a timer may be fired on purpose, where that saves a wake-up:
/// what Linux allows itself for a thread that sleeps. A wake-up of an idle core costs some 20 us of
/// CPU (`micro`, `timer_fire_1k`, the bare ring).
const SLACK_NS: u64 = 50_000;

/// See the file's head.
pub(crate) struct Timers {
    /// `None` once the runtime is gone.
    wheel: RefCell<Option<Wheel<Waker>>>,
    clock: Clock,
}

/// When the kernel should end a wait, by `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// By then the earliest timer is due, and what is due soon after it.
    pub(crate) at_ns: u64,
    /// A wait that ends by then will do as well.
    pub(crate) latest_ns: u64,
}

/// Why a wait is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// The deadline has passed.
    Elapsed,
    /// The runtime is gone; nobody will fire anything.
    Closed,
}

impl Timers {
    /// No timers, and a running clock that reads 0.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { wheel: RefCell::new(Some(Wheel::new())), clock: Clock::new() })
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

    /// Moves the wakers of all due timers to the end of `expired`, for the caller to wake. With no
    /// timers the clock is not read. They are `live()` at most.
    pub(crate) fn expire(&self, expired: &mut Vec<Waker>) {
        if let Some(wheel) = self.wheel.borrow_mut().as_mut().filter(|wheel| wheel.live() > 0) {
            wheel.advance(self.clock.now_ns(), expired);
        }
    }

    /// The wait that the kernel should end; `None` without timers, or while the clock is paused and
    /// no real time will do.
    ///
    /// `expire` may find nothing then if an earlier timer was cancelled, once for each that was.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let wheel = self.wheel.borrow();
        let wheel = wheel.as_ref().filter(|wheel| wheel.live() > 0)?;
        let latest_ns = wheel.next_deadline_ns()?.saturating_add(SLACK_NS);
        Some(Alarm {
            at_ns: self.clock.monotonic_at(wheel.gathered_deadline_ns(SLACK_NS)?)?,
            latest_ns: self.clock.monotonic_at(latest_ns)?,
        })
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
        let next_ns = self.wheel.borrow().as_ref().and_then(Wheel::next_deadline_ns);
        let next_ns = next_ns.filter(|_| self.is_paused());
        next_ns.inspect(|ns| self.clock.advance_to(*ns)).is_some()
    }

    /// The number of timers in the wheel.
    #[inline]
    pub(crate) fn live(&self) -> usize {
        self.wheel.borrow().as_ref().map_or(0, Wheel::live)
    }

    /// Drops all wakers and takes no more: the end of the runtime.
    pub(crate) fn close(&self) {
        // A statement of its own: the wakers are dropped when the borrow has ended.
        let wheel = self.wheel.take();
        drop(wheel);
    }

    /// The thread's current timers, if a runtime is entered.
    #[inline]
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with(|cell| {
            let current = cell.take();
            let cloned = current.as_deref().cloned();
            cell.set(current);
            cloned
        })
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

    /// Has `waker` moved out by the first `expire` at or after `deadline_ns`. `None` if the wait is
    /// over, see `ended`.
    ///
    /// The clock is not read: a deadline counts as passed when the last `expire` was later, and the
    /// next finds the rest.
    #[inline]
    pub(super) fn arm(&self, deadline_ns: u64, waker: Waker) -> Option<Key> {
        // Where the waker is not kept, it is dropped after the guard.
        let mut wheel = self.wheel.borrow_mut();
        let wheel = wheel.as_mut().filter(|wheel| deadline_ns > wheel.now_ns())?;
        Some(wheel.insert_coming(deadline_ns, waker))
    }

    /// As `arm`, but a deadline that has passed also waits for the next `expire`.
    pub(super) fn arm_always(&self, deadline_ns: u64, waker: Waker) -> Option<Key> {
        Some(self.wheel.borrow_mut().as_mut()?.insert(deadline_ns, waker))
    }

    /// Why a timer is not in the wheel, or not any more.
    pub(super) fn ended(&self) -> Ended {
        if self.wheel.borrow().is_none() { Ended::Closed } else { Ended::Elapsed }
    }

    /// Has `waker` instead of the one that was armed; the same one costs nothing.
    pub(super) fn renew(&self, key: &Key, waker: &Waker) -> Result<(), Ended> {
        match self.wheel.borrow_mut().as_mut().map(|wheel| wheel.get_mut(key)) {
            None => return Err(Ended::Closed),
            Some(None) => return Err(Ended::Elapsed),
            Some(Some(present)) if present.will_wake(waker) => return Ok(()),
            Some(Some(_)) => {}
        }
        // The clone, being user code, may run the timer out or the runtime down.
        let mut replaced = waker.clone();
        match self.wheel.borrow_mut().as_mut().map(|wheel| wheel.get_mut(key)) {
            None => Err(Ended::Closed),
            Some(None) => Err(Ended::Elapsed),
            Some(Some(present)) => {
                std::mem::swap(present, &mut replaced);
                Ok(())
            }
        }
    }

    /// Ends a wait: the waker, if it was not moved out before.
    #[inline]
    pub(super) fn disarm(&self, key: Key) -> Option<Waker> {
        self.wheel.borrow_mut().as_mut().and_then(|wheel| wheel.remove(key))
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("wheel", &self.wheel).field("clock", &self.clock).finish()
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
