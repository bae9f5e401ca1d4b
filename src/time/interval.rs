//! Ticks at a fixed period.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::clock::checked_ns;
use super::{Instant, Sleep, sleep_until};

/// How late a tick must be for [`MissedTickBehavior::Delay`] to start anew from it. Being a little
/// late is usual, and must not add up.
const LATE_NS: u64 = 5_000_000;

/// Ticks now, and then every `period`.
///
/// # Panics
///
/// If `period` is zero, or outside a runtime.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `start`, and then every `period`.
///
/// # Panics
///
/// If `period` is zero, or outside a runtime.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must not be zero");
    let next = Box::pin(sleep_until(start));
    Interval { next, period, missed_tick_behavior: MissedTickBehavior::Burst }
}

/// What an [`Interval`] does about ticks whose time passed while nobody asked for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Gives them all, one after the other without a pause, until it has caught up.
    #[default]
    Burst,
    /// Gives one, and counts the period from then on. Late means by 5 ms or by a period, whichever
    /// is shorter.
    Delay,
    /// Gives one, and goes on at the next multiple of the period.
    Skip,
}

/// Ticks at a fixed period; made by [`interval`] and [`interval_at`].
///
/// Dropping it ends it.
#[derive(Debug)]
pub struct Interval {
    /// Boxed, so that an interval can be polled wherever it is.
    next: Pin<Box<Sleep>>,
    period: Duration,
    missed_tick_behavior: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick and says for when it was due, which is not always now.
    ///
    /// Dropping the future loses no tick: the next call gives it.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick), for hand-written futures: the waker is the one of the last call.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.next.as_mut().poll(cx));
        let due_ns = self.next.deadline_ns().expect("a sleep that never ends is not ready");
        let due = Instant::from_std(self.next.timers().clock().instant_at(due_ns));
        let next_ns = self.after(due_ns);
        self.next.as_ref().reset_ns(next_ns);
        Poll::Ready(due)
    }

    /// Counts a period from now to the next tick.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Has the next tick now.
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// Has the next tick when `after` has passed.
    pub fn reset_after(&mut self, after: Duration) {
        let now_ns = self.next.timers().now_ns();
        self.next.as_ref().reset_ns(checked_ns(after).and_then(|ns| now_ns.checked_add(ns)));
    }

    /// Has the next tick at `deadline`.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.next.as_mut().reset(deadline);
    }

    /// The time from one tick to the next.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What is done about missed ticks; at first [`MissedTickBehavior::Burst`].
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed_tick_behavior
    }

    /// Chooses what is done about missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed_tick_behavior = behavior;
    }

    /// The tick after the one that was due at `due_ns` and is given now; `None` if the clock has no
    /// such time.
    fn after(&self, due_ns: u64) -> Option<u64> {
        let period_ns = checked_ns(self.period)?;
        let late_ns = || self.next.timers().now_ns().saturating_sub(due_ns);
        let pause_ns = match self.missed_tick_behavior {
            MissedTickBehavior::Burst => period_ns,
            MissedTickBehavior::Delay => match late_ns() {
                late_ns if late_ns > LATE_NS.min(period_ns) => late_ns.checked_add(period_ns)?,
                _ => period_ns,
            },
            MissedTickBehavior::Skip => {
                let late_ns = late_ns();
                (late_ns - late_ns % period_ns).checked_add(period_ns)?
            }
        };
        due_ns.checked_add(pause_ns)
    }
}
