//! The paused clock: hours of a test's timers in microseconds, the same way each run.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Sleep;
use super::clock::checked_ns;
use super::timers::Timers;

/// Stops the current runtime's clock, for tests.
///
/// From then on time moves in two ways: by [`advance`], and, whenever the runtime has nothing to do
/// but wait for a timer, by itself to the next deadline. Real time no longer counts: a program that
/// waits for the kernel alone still waits, and one that waits for both sees its timers first.
///
/// # Panics
///
/// If the clock is paused already, or outside a runtime.
#[track_caller]
pub fn pause() {
    let timers = Timers::expect_current();
    assert!(!timers.is_paused(), "the clock is paused already");
    timers.clock().pause();
}

/// Lets the current runtime's clock run again, from where it stands.
///
/// # Panics
///
/// If the clock is not paused, or outside a runtime.
#[track_caller]
pub fn resume() {
    let timers = Timers::expect_current();
    assert!(timers.is_paused(), "the clock is not paused: call `pause` first");
    timers.clock().resume();
}

/// Moves the current runtime's paused clock forward, and lets the timers that are due by then wake
/// their tasks first.
///
/// Each such task has been polled once when this returns. All see the time moved to: timers do not
/// fire one by one on the way. The clock is moved at the first poll; dropping the future later
/// undoes nothing. A duration beyond the clock's 584 years moves it to their end.
///
/// # Panics
///
/// If the clock is not paused, or outside a runtime.
pub async fn advance(duration: Duration) {
    let timers = Timers::expect_current();
    assert!(timers.is_paused(), "the clock is not paused: call `pause` first");
    let to_ns = timers.now_ns().saturating_add(checked_ns(duration).unwrap_or(u64::MAX));
    timers.clock().advance_to(to_ns);
    // As a timer that is due now and was armed last, we are woken after all the others.
    let mut last = pin!(Sleep::idle(timers, to_ns));
    poll_fn(|cx| {
        last.as_ref().arm(cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    last.as_mut().await;
}
