//! Waiting for a time: one deadline, and a place in the wheel while somebody waits.
//!
//! # Safety rules
//!
//! 1. Pinned within. The node of a pinned sleep is pinned: a sleep is not `Unpin`, because its node is not; nothing
//!    here moves the node or gives it out by `&mut`, and the drop of a sleep does not either.
#![allow(unsafe_code, reason = "room 6: a projection with an inlined drop")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Instant;
use super::clock::checked_ns;
use super::lists::{Node, Place};
use super::timers::{Ended, Timers};

/// Waits until `duration` has passed.
///
/// Never less; more by however long the core is busy or takes to wake up, and by up to 50 us
/// ([`Builder::timer_slack`](crate::Builder::timer_slack)) where other timers are due so soon after that one wake-up
/// does for all.
/// Zero is over at the first poll. A duration that leads beyond the clock's 584 years, as
/// `Duration::MAX` does, never ends.
///
/// # Panics
///
/// Outside a runtime.
#[inline]
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
///
/// It holds its place in the runtime's wheel itself, so it must be pinned to be polled and is not `Unpin`, as
/// tokio's is not. Where it is awaited that is so; to poll it again and again, as in a `select!` in a loop, pin it
/// first:
///
/// ```
/// use std::pin::pin;
/// use annulus::time::{Duration, interval, sleep};
///
/// annulus::run(async {
///     let mut end = pin!(sleep(Duration::from_millis(10)));
///     let mut ticks = interval(Duration::from_millis(3));
///     let mut count = 0;
///     loop {
///         annulus::select! {
///             _ = ticks.tick() => count += 1,
///             () = end.as_mut() => break,
///         }
///     }
///     assert!(count > 0);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Panics
///
/// When polled after its runtime was shut down and before its deadline: nobody is left to wake it.
#[must_use = "a sleep waits only when awaited"]
pub struct Sleep {
    // First, so that its waker is dropped while the timers are there.
    node: Node<Waker>,
    timers: Rc<Timers>,
}

impl Sleep {
    #[inline]
    fn new(timers: Rc<Timers>, deadline_ns: Option<u64>, now_ns: u64) -> Self {
        let place = match deadline_ns {
            None => Place::Never,
            Some(deadline_ns) if deadline_ns <= now_ns => Place::Released,
            Some(_) => Place::Idle,
        };
        Self { node: Node::new(deadline_ns.unwrap_or(u64::MAX), place), timers }
    }

    #[inline]
    fn node(self: Pin<&Self>) -> Pin<&Node<Waker>> {
        // SAFETY: rule 1.
        unsafe { self.map_unchecked(|this| &this.node) }
    }

    /// One that is to be armed.
    pub(super) fn idle(timers: Rc<Timers>, deadline_ns: u64) -> Self {
        Self { node: Node::new(deadline_ns, Place::Idle), timers }
    }

    /// Has it end with the next `expire` at or after its deadline, even if that has passed.
    pub(super) fn arm(self: Pin<&Self>, waker: Waker) {
        self.timers.arm_always(self.node(), waker);
    }

    /// When the wait ends, or `None` if it never does.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_ns().map(|ns| Instant::from_std(self.timers.clock().instant_at(ns)))
    }

    /// Whether the deadline has passed by the clock.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.deadline_ns().is_some_and(|deadline_ns| deadline_ns <= self.timers.now_ns())
    }

    /// Waits for another deadline instead, also after the first has passed.
    ///
    /// A task that waits need not poll again: it will be woken at the new deadline.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let deadline_ns = self.timers.clock().ns_at(deadline.into_std());
        self.into_ref().reset_ns(deadline_ns);
    }

    /// As `reset`, by the clock's reading; `None` is never. The clock is not read.
    pub(super) fn reset_ns(self: Pin<&Self>, deadline_ns: Option<u64>) {
        match deadline_ns {
            Some(deadline_ns) => self.timers.rearm(self.node(), deadline_ns),
            None => {
                self.timers.disarm(&self.node, Place::Never);
                drop(self.node.replace(None));
            }
        }
    }

    /// What `poll` does but the first time; apart, so that the first has fewer registers to save.
    #[inline(never)]
    fn poll_again(&self, waker: &Waker) -> Poll<()> {
        match self.node.place() {
            Place::Never => return Poll::Pending,
            Place::Queued if self.timers.renew(&self.node, waker) => return Poll::Pending,
            Place::Queued | Place::Idle | Place::Released => {}
        }
        match self.timers.ended() {
            Ended::Elapsed => {}
            Ended::Closed => assert!(
                self.node.deadline_ns() <= self.timers.now_ns(),
                "the runtime of this timer is gone: nothing can end the wait. \
                 Await it inside the `annulus::run` or `Runtime::block_on` it was made in",
            ),
        }
        // Not queued any more, if it was: else `renew` would have had it so.
        self.timers.disarm(&self.node, Place::Released);
        Poll::Ready(())
    }

    /// The deadline by the clock's reading, or `None` if there is none.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        (self.node.place() != Place::Never).then(|| self.node.deadline_ns())
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }
}

impl Future for Sleep {
    type Output = ();

    // Some 200 bytes where it is awaited, for 19 instructions of 199 (`micro`, `timer_create_cancel`, with the shorter
    // chain of `Wheel::insert_at`).
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.into_ref();
        if this.node.place() == Place::Idle {
            // Read first, and known from the making where both are inlined. The clone is user code, but cannot reach
            // this sleep, which is borrowed.
            let deadline_ns = this.node.deadline_ns();
            let waker = cx.waker().clone();
            if this.timers.arm(this.node(), deadline_ns, waker) {
                return Poll::Pending;
            }
        }
        this.get_ref().poll_again(cx.waker())
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.timers.disarm(&self.node, Place::Released);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
