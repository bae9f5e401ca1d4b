//! Waiting for a time: one deadline, one entry in the wheel while somebody waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Instant;
use super::clock::checked_ns;
use super::entries::Key;
use super::timers::{Ended, Timers};

/// Waits until `duration` has passed.
///
/// Never less; more by however long the core is busy or takes to wake up, and by up to 50 us where
/// other timers are due so soon after that one wake-up does for all.
/// Zero is over at the first poll. A duration that leads beyond the clock's 584 years, as
/// `Duration::MAX` does, never ends.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let timers = Timers::expect_current();
    let now_ns = timers.now_ns();
    let deadline_ns = checked_ns(duration).and_then(|ns| now_ns.checked_add(ns));
    Sleep::new(timers, deadline_ns, now_ns)
}

/// Waits until `deadline`; one that has passed is over at the first poll.
///
/// Otherwise as [`sleep`].
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    let timers = Timers::expect_current();
    let deadline_ns = timers.clock().ns_at(deadline.into_std());
    let now_ns = timers.now_ns();
    Sleep::new(timers, deadline_ns, now_ns)
}

/// A future that is ready when its deadline has passed; made by [`sleep`] and [`sleep_until`].
///
/// It belongs to the runtime it was made in, wherever it is polled. Ready once, it stays ready
/// until it is [reset](Self::reset). Dropping it ends the wait, at a constant cost.
/// It is `Unpin`: the wheel holds the waker, and nothing points at the future.
///
/// # Panics
///
/// When polled after its runtime was shut down and before its deadline: nobody is left to wake it.
#[must_use = "a sleep waits only when awaited"]
pub struct Sleep {
    timers: Rc<Timers>,
    /// Of no meaning while the state is `Never`.
    deadline_ns: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The deadline is beyond the clock.
    Never,
    /// Not in the wheel: not polled yet.
    Idle,
    /// In the wheel, or moved out of it by `expire`.
    Armed(Key),
    Elapsed,
}

impl Sleep {
    #[inline]
    fn new(timers: Rc<Timers>, deadline_ns: Option<u64>, now_ns: u64) -> Self {
        let state = match deadline_ns {
            None => State::Never,
            Some(deadline_ns) if deadline_ns <= now_ns => State::Elapsed,
            Some(_) => State::Idle,
        };
        Self { timers, deadline_ns: deadline_ns.unwrap_or(u64::MAX), state }
    }

    /// A sleep that ends with the next `expire` at or after `deadline_ns`, even if that has passed.
    pub(super) fn armed(timers: Rc<Timers>, deadline_ns: u64, waker: Waker) -> Self {
        let state = timers.arm_always(deadline_ns, waker).map_or(State::Idle, State::Armed);
        Self { timers, deadline_ns, state }
    }

    /// When the wait ends, or `None` if it never does.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_ns().map(|ns| Instant::from_std(self.timers.clock().instant_at(ns)))
    }

    /// Whether the deadline has passed by the clock.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        match self.state {
            State::Never => false,
            State::Elapsed => true,
            State::Idle | State::Armed(_) => self.deadline_ns <= self.timers.now_ns(),
        }
    }

    /// Waits for another deadline instead, also after the first has passed.
    ///
    /// A task that waits need not poll again: it will be woken at the new deadline.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.get_mut();
        this.reset_ns(this.timers.clock().ns_at(deadline.into_std()));
    }

    /// As `reset`, by the clock's reading; `None` is never. The clock is not read.
    pub(super) fn reset_ns(&mut self, deadline_ns: Option<u64>) {
        let waker = self.disarm(State::Never);
        let Some(deadline_ns) = deadline_ns else { return };
        self.deadline_ns = deadline_ns;
        let armed = waker.and_then(|waker| self.timers.arm_always(deadline_ns, waker));
        self.state = armed.map_or(State::Idle, State::Armed);
    }

    /// What `poll` does but the first time; apart, so that the first has fewer registers to save.
    #[inline(never)]
    fn poll_again(&mut self, waker: &Waker) -> Poll<()> {
        let ended = match &self.state {
            State::Never => return Poll::Pending,
            State::Elapsed => return Poll::Ready(()),
            State::Idle => self.timers.ended(),
            State::Armed(key) => match self.timers.renew(key, waker) {
                Ok(()) => return Poll::Pending,
                Err(ended) => ended,
            },
        };
        match ended {
            Ended::Elapsed => {}
            Ended::Closed => assert!(
                self.deadline_ns <= self.timers.now_ns(),
                "the runtime of this timer is gone: nothing can end the wait. \
                 Await it inside the `annulus::run` or `Runtime::block_on` it was made in",
            ),
        }
        drop(self.disarm(State::Elapsed));
        Poll::Ready(())
    }

    /// Leaves the wheel; the waker that was there.
    #[inline]
    fn disarm(&mut self, state: State) -> Option<Waker> {
        match std::mem::replace(&mut self.state, state) {
            State::Armed(key) => self.timers.disarm(key),
            State::Never | State::Idle | State::Elapsed => None,
        }
    }

    /// The deadline by the clock's reading, or `None` if there is none.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        match self.state {
            State::Never => None,
            State::Idle | State::Armed(_) | State::Elapsed => Some(self.deadline_ns),
        }
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Idle = self.state
            && let Some(key) = self.timers.arm(self.deadline_ns, cx.waker().clone())
        {
            self.state = State::Armed(key);
            return Poll::Pending;
        }
        self.get_mut().poll_again(cx.waker())
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        drop(self.disarm(State::Elapsed));
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
