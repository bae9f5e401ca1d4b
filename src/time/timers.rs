//! A core's timers: the wheel of those who wait for a time, and the clock they wait by.
//!
//! The worker drives it (`alarm`, `expire`, `auto_advance`), futures arm and disarm. Wakers are user
//! code in all they do (clone, wake, drop), and may use the timers: a clone is made before the wheel
//! is touched, and whatever leaves the wheel is dropped or woken after.

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::clock::Clock;
use super::lists::{Node, Place};
use super::wheel::Wheel;
use crate::sys::plain::ClockId;

/// What the thread is in. The guards own it, so the thread's end has nothing to drop: without a
/// destructor the cell can be used by those of others, such as a runtime in a thread local.
type Current = Option<ManuallyDrop<Rc<Timers>>>;

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(None) };
}

/// The slack by default: what Linux allows itself for a thread that sleeps. A wake-up of an idle core costs some 20 us
/// of CPU (`micro`, `timer_fire_1k`, the bare ring).
pub(crate) const SLACK: Duration = Duration::from_micros(50);

/// See the file's head.
pub(crate) struct Timers {
    /// At the end of time, and empty, once the runtime is gone.
    wheel: Wheel<Waker>,
    closed: Cell<bool>,
    clock: Clock,
    /// How much later than its deadline a timer may be fired on purpose, where that saves a wake-up.
    slack_ns: u64,
}

/// When the kernel should end a wait, by the clock of its own that the timers go by.
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
    /// No timers, a slack, and a clock that reads 0 and runs by one of the kernel's.
    pub(crate) fn new(clock: ClockId, slack: Duration) -> Rc<Self> {
        let slack_ns = u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX);
        let (wheel, clock) = (Wheel::new(), Clock::new(clock));
        Rc::new(Self { wheel, closed: Cell::new(false), clock, slack_ns })
    }

    /// Makes these the thread's current timers until the guard is dropped, which restores those
    /// before.
    pub(crate) fn enter(self: &Rc<Self>) -> EnterGuard {
        EnterGuard { previous: CURRENT.replace(Some(ManuallyDrop::new(Rc::clone(self)))) }
    }

    /// The clock's reading: nanoseconds since the clock was made.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Moves the wakers of all due timers to the end of `expired`, for the caller to wake. With no
    /// timers the clock is not read. They are `live()` at most.
    pub(crate) fn expire(&self, expired: &mut Vec<Waker>) {
        if self.live() > 0 {
            self.wheel.advance(self.clock.now_ns(), expired);
        }
    }

    /// The wait that the kernel should end; `None` without timers, or while the clock is paused and
    /// no real time will do.
    ///
    /// `expire` may find nothing then if an earlier timer was cancelled, once for each that was.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        let latest_ns = self.wheel.next_deadline_ns()?.saturating_add(self.slack_ns);
        Some(Alarm {
            at_ns: self.clock.kernel_ns_at(self.wheel.gathered_deadline_ns(self.slack_ns)?)?,
            latest_ns: self.clock.kernel_ns_at(latest_ns)?,
        })
    }

    /// Which of the kernel's clocks these timers go by, and what it says now.
    pub(crate) fn kernel_clock(&self) -> (ClockId, u64) {
        (self.clock.id(), self.clock.kernel_ns())
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
        let next_ns = self.wheel.next_deadline_ns().filter(|_| self.is_paused());
        next_ns.inspect(|ns| self.clock.advance_to(*ns)).is_some()
    }

    /// The number of timers in the wheel.
    #[inline]
    pub(crate) fn live(&self) -> usize {
        self.wheel.live()
    }

    /// Drops all wakers that wait and takes no more: the end of the runtime.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let mut wakers = Vec::with_capacity(self.live());
        self.wheel.clear(&mut wakers);
        drop(wakers);
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
    #[inline]
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

    /// Has `waker` moved out by the first `expire` at or after the node's deadline, which is this.
    /// False if the wait is over, see `ended`.
    ///
    /// The clock is not read: a deadline counts as passed when the last `expire` was later, and the
    /// next finds the rest.
    #[inline]
    pub(super) fn arm(&self, node: Pin<&Node<Waker>>, deadline_ns: u64, waker: Waker) -> bool {
        let is_coming = deadline_ns > self.wheel.now_ns();
        if is_coming {
            self.insert(node, deadline_ns, waker);
        } else {
            refuse(waker);
        }
        is_coming
    }

    /// As `arm`, but a deadline that has passed also waits for the next `expire`.
    pub(super) fn arm_always(&self, node: Pin<&Node<Waker>>, waker: Waker) -> bool {
        if !self.closed.get() {
            self.insert(node, node.deadline_ns().max(self.wheel.now_ns()), waker);
        }
        !self.closed.get()
    }

    #[inline]
    fn insert(&self, node: Pin<&Node<Waker>>, deadline_ns: u64, waker: Waker) {
        // It had none: a node that was released has given it away, and one that is idle has not got it yet. So there is
        // nothing to drop, nor a place for the code that would.
        let none = ManuallyDrop::new(node.replace(Some(waker)));
        debug_assert!(none.is_none(), "only a node that is queued has a waker");
        self.wheel.insert_at(node, deadline_ns);
    }

    /// Has the waker of an armed node, if it is that, moved out at another deadline.
    ///
    /// Put off, it stays where it is, and is moved on when it comes up there: so a deadline that each message puts off
    /// is moved once in its time (`micro`, `timer_reset`). The kernel's timer is left for it anyway. But a paused clock
    /// would be seen to stop there.
    #[inline]
    pub(super) fn rearm(&self, node: Pin<&Node<Waker>>, deadline_ns: u64) {
        let is_armed = node.place() == Place::Queued;
        if is_armed && deadline_ns >= node.deadline_ns() && !self.is_paused() {
            return node.set_deadline_ns(deadline_ns);
        }
        self.wheel.remove(&node, Place::Idle);
        node.set_deadline_ns(deadline_ns);
        if is_armed {
            self.wheel.insert(node);
        }
    }

    /// Why a timer is not in the wheel, or not any more.
    pub(super) fn ended(&self) -> Ended {
        if self.closed.get() { Ended::Closed } else { Ended::Elapsed }
    }

    /// Has `waker` instead of the one that was armed; the same one costs nothing. False if the wait is over.
    pub(super) fn renew(&self, node: &Node<Waker>, waker: &Waker) -> bool {
        if node.place() == Place::Queued && node.has(|present| present.will_wake(waker)) {
            return true;
        }
        // The clone, being user code, may run the timer out or the runtime down.
        let waker = waker.clone();
        let is_armed = node.place() == Place::Queued;
        // Either way one of the two is dropped, when the node is as it will be.
        drop(if is_armed { node.replace(Some(waker)) } else { Some(waker) });
        is_armed
    }

    /// Ends a wait, and puts the node into another `place`. Its waker stays in it, if it was not moved out before.
    #[inline]
    pub(super) fn disarm(&self, node: &Node<Waker>, place: Place) {
        self.wheel.remove(node, place);
    }
}

/// Apart, so that the common way is short enough to be inlined.
#[cold]
#[inline(never)]
fn refuse(waker: Waker) {
    drop(waker);
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
        drop(left.map(ManuallyDrop::into_inner));
    }
}
