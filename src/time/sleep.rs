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
use super::timers::{Timers, Wait};

/// Waits until `duration` has passed.
///
/// Never less; more by up to a tick of the timers (16.4 us) and by however long the core is busy.
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
    Sleep::new(timers, State::at(deadline_ns, now_ns))
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
    Sleep::new(timers, State::at(deadline_ns, now_ns))
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
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The deadline is beyond the clock.
    Never,
    /// Not in the wheel: not polled yet.
    Idle {
        deadline_ns: u64,
    },
    /// In the wheel, or moved out of it by `expire`.
    Armed {
        deadline_ns: u64,
        key: Key,
    },
    Elapsed {
        deadline_ns: u64,
    },
}

impl State {
    fn at(deadline_ns: Option<u64>, now_ns: u64) -> Self {
        match deadline_ns {
            None => Self::Never,
            Some(deadline_ns) if deadline_ns <= now_ns => Self::Elapsed { deadline_ns },
            Some(deadline_ns) => Self::Idle { deadline_ns },
        }
    }
}

impl Sleep {
    /// A sleep that ends with the next `expire` at or after `deadline_ns`, even if that has passed.
    pub(super) fn armed(timers: Rc<Timers>, deadline_ns: u64, waker: Waker) -> Self {
        let state = match timers.arm_always(deadline_ns, waker) {
            Wait::Armed(key) => State::Armed { deadline_ns, key },
            Wait::Elapsed | Wait::Closed => State::Idle { deadline_ns },
        };
        Self::new(timers, state)
    }

    fn new(timers: Rc<Timers>, state: State) -> Self {
        Self { timers, state }
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
            State::Elapsed { .. } => true,
            State::Idle { deadline_ns } | State::Armed { deadline_ns, .. } => {
                deadline_ns <= self.timers.now_ns()
            }
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
        let waker = match self.state {
            State::Armed { key, .. } => self.timers.disarm(key),
            _ => None,
        };
        self.state = match deadline_ns {
            None => State::Never,
            Some(deadline_ns) => State::Idle { deadline_ns },
        };
        if let (Some(waker), Some(deadline_ns)) = (waker, deadline_ns)
            && let Wait::Armed(key) = self.timers.arm_always(deadline_ns, waker)
        {
            self.state = State::Armed { deadline_ns, key };
        }
    }

    /// The deadline by the clock's reading, or `None` if there is none.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        match self.state {
            State::Never => None,
            State::Idle { deadline_ns }
            | State::Armed { deadline_ns, .. }
            | State::Elapsed { deadline_ns } => Some(deadline_ns),
        }
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline_ns, wait) = match self.state {
            State::Never => return Poll::Pending,
            State::Elapsed { .. } => return Poll::Ready(()),
            State::Idle { deadline_ns } => (deadline_ns, self.timers.arm(deadline_ns, cx.waker())),
            State::Armed { deadline_ns, key } => (deadline_ns, self.timers.renew(key, cx.waker())),
        };
        match wait {
            Wait::Armed(key) => {
                self.state = State::Armed { deadline_ns, key };
                return Poll::Pending;
            }
            Wait::Elapsed => {}
            Wait::Closed => assert!(
                deadline_ns <= self.timers.now_ns(),
                "the runtime of this timer is gone: nothing can end the wait. \
                 Await it inside the `annulus::run` or `Runtime::block_on` it was made in",
            ),
        }
        self.state = State::Elapsed { deadline_ns };
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Armed { key, .. } = self.state {
            drop(self.timers.disarm(key));
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
