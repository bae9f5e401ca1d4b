//! The behaviour of sleeps, intervals and timeouts in virtual time, under a ten-line loop.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::timers::{SLACK, Timers};
use super::*;
use crate::sys::plain::{ClockId, monotonic_ns};

mod wakers;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn expire(timers: &Timers) -> usize {
    let mut expired = Vec::new();
    timers.expire(&mut expired);
    let count = expired.len();
    expired.into_iter().for_each(Waker::wake);
    count
}

/// What a worker does, with one task: poll, fire timers, and when idle let paused time run.
fn block_on<F: Future>(timers: &Rc<Timers>, future: F) -> F::Output {
    let _entered = timers.enter();
    let (wakes, waker) = counter();
    let mut future = pin!(future);
    loop {
        let seen = wakes.get();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while wakes.get() == seen {
            if expire(timers) == 0 && wakes.get() == seen {
                let paused = timers.is_paused();
                assert!(timers.auto_advance() || !paused, "nothing will ever wake the task");
            }
        }
    }
}

/// Runs `future` with the clock paused, and checks that it left no timer behind.
fn in_virtual_time<F: Future>(future: F) -> F::Output {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let output = block_on(&timers, async {
        pause();
        future.await
    });
    assert_eq!(timers.live(), 0);
    output
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn panic_text<R>(f: impl FnOnce() -> R) -> String {
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).err().expect("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).into(),
    }
}

#[test]
fn a_sleep_ends_at_its_deadline_to_the_nanosecond_of_virtual_time() {
    in_virtual_time(async {
        for ns in [1, 16_383, 16_384, 16_385, 1_000_000, 3_600_000_000_000, u64::MAX / 2] {
            let start = Instant::now();
            sleep(Duration::from_nanos(ns)).await;
            assert_eq!(start.elapsed(), Duration::from_nanos(ns));
        }
        let deadline = Instant::now() + SECOND;
        sleep_until(deadline).await;
        assert_eq!(Instant::now(), deadline);
    });
}

#[test]
fn a_sleep_in_real_time_is_never_short() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    for us in [1, 20, 300, 2000] {
        let start = std::time::Instant::now();
        block_on(&timers, async { sleep(Duration::from_micros(us)).await });
        assert!(start.elapsed() >= Duration::from_micros(us));
    }
}

#[test]
fn zero_and_past_are_over_at_the_first_poll_and_take_no_timer() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let earlier = Instant::now();
    assert_eq!(poll_once(&mut Box::pin(sleep(Duration::ZERO))), Poll::Ready(()));
    let mut past = Box::pin(sleep_until(earlier));
    assert!(past.is_elapsed());
    assert_eq!(poll_once(&mut past), Poll::Ready(()));
    assert_eq!(poll_once(&mut past), Poll::Ready(()), "ready once, ready always");
    assert_eq!(past.deadline(), Some(earlier));
    assert_eq!(timers.live(), 0);
}

#[test]
fn a_sleep_first_polled_after_its_deadline_was_expired_is_over_at_once() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    pause();
    let (_, waker) = counter();
    let mut late = Box::pin(sleep(SECOND));
    let mut other = Box::pin(sleep(2 * SECOND));
    assert!(Pin::new(&mut other).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(!late.is_elapsed());
    assert!(timers.auto_advance());
    assert_eq!(expire(&timers), 1);
    assert!(late.is_elapsed());
    assert_eq!((poll_once(&mut late), timers.live()), (Poll::Ready(()), 0));
}

#[test]
fn a_deadline_beyond_the_clock_is_never_and_takes_no_timer() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let beyond = Instant::now() + Duration::from_secs(1 << 35);
    for mut never in
        [sleep(Duration::MAX), sleep(Duration::from_nanos(u64::MAX)), sleep_until(beyond)]
            .map(Box::pin)
    {
        assert_eq!(poll_once(&mut never), Poll::Pending);
        assert_eq!((never.deadline(), never.is_elapsed()), (None, false));
        assert_eq!(timers.live(), 0);
        // A reset brings it back to the living.
        never.as_mut().reset(Instant::now() + SECOND);
        assert_eq!(poll_once(&mut never), Poll::Pending);
        assert_eq!(timers.live(), 1);
    }
    assert_eq!(poll_once(&mut Box::pin(timeout(Duration::MAX, pending::<()>()))), Poll::Pending);
    let mut interval = interval(Duration::MAX);
    assert!(poll_once(&mut pin!(interval.tick())).is_ready());
    assert_eq!(poll_once(&mut pin!(interval.tick())), Poll::Pending);
    assert_eq!(timers.live(), 0);
}

#[test]
fn dropping_a_sleep_removes_its_timer_and_its_waker() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let (count, waker) = counter();
    let mut first = Box::pin(sleep(SECOND));
    assert_eq!(timers.live(), 0, "a timer is armed by the first poll");
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!((timers.live(), Arc::strong_count(&count)), (1, 3));
    drop(first);
    assert_eq!((timers.live(), Arc::strong_count(&count)), (0, 2));
}

#[test]
fn the_waker_of_the_last_poll_is_woken_and_the_same_one_is_not_cloned_again() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    pause();
    let (count, waker) = counter();
    let (other_count, other_waker) = counter();
    let mut sleep = Box::pin(sleep(SECOND));
    for _ in 0..3 {
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(Arc::strong_count(&count), 3);
    }
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&other_waker)).is_pending());
    assert_eq!((Arc::strong_count(&count), Arc::strong_count(&other_count)), (2, 3));
    assert!(timers.auto_advance());
    assert_eq!((expire(&timers), count.get(), other_count.get()), (1, 0, 1));
    assert_eq!(poll_once(&mut sleep), Poll::Ready(()));
}

#[test]
fn reset_moves_the_deadline_of_a_waiting_task_without_another_poll() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    pause();
    let (count, waker) = counter();
    let start = Instant::now();
    let mut sleep = Box::pin(sleep(SECOND));
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    sleep.as_mut().reset(start + 3 * SECOND);
    assert_eq!((sleep.deadline(), timers.live()), (Some(start + 3 * SECOND), 1));
    assert!(timers.auto_advance());
    assert_eq!((expire(&timers), count.get(), start.elapsed()), (1, 1, 3 * SECOND));
    assert_eq!(poll_once(&mut sleep), Poll::Ready(()));

    // Elapsed, and armed for the past: both wait as told.
    sleep.as_mut().reset(start + 4 * SECOND);
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    sleep.as_mut().reset(start);
    assert_eq!((expire(&timers), count.get()), (1, 2));
    assert_eq!(poll_once(&mut sleep), Poll::Ready(()));
    assert_eq!(timers.live(), 0);
}

#[test]
fn a_sleep_that_is_put_off_by_a_clock_that_runs_wakes_its_task_once_and_not_early() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let (count, waker) = counter();
    let start = Instant::now();
    let mut sleep = Box::pin(sleep_until(start + Duration::from_millis(1)));
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    for ms in 1..=5 {
        sleep.as_mut().reset(start + Duration::from_millis(ms));
        assert_eq!((sleep.deadline(), timers.live()), (Some(start + Duration::from_millis(ms)), 1));
    }
    let early = timers.alarm().expect("a timer").latest_ns;
    while count.get() == 0 {
        expire(&timers);
    }
    assert!(start.elapsed() >= Duration::from_millis(5) && monotonic_ns() > early);
    assert_eq!((count.get(), timers.live(), poll_once(&mut sleep)), (1, 0, Poll::Ready(())));

    // Brought forward, it does not wait for the time it had.
    sleep.as_mut().reset(Instant::now() + 3600 * SECOND);
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    sleep.as_mut().reset(start);
    assert_eq!((expire(&timers), poll_once(&mut sleep)), (1, Poll::Ready(())));
}

#[test]
fn timeout_polls_the_future_first_then_the_deadline() {
    in_virtual_time(async {
        assert_eq!(timeout(Duration::ZERO, ready(7)).await, Ok(7));
        assert_eq!(timeout_at(Instant::now(), ready(7)).await, Ok(7));
        let start = Instant::now();
        let elapsed = timeout(SECOND, pending::<()>()).await.unwrap_err();
        assert_eq!(start.elapsed(), SECOND);
        assert_eq!(elapsed.to_string(), "deadline has elapsed");
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
        assert_eq!(timeout(2 * SECOND, sleep(SECOND)).await, Ok(()));
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert_eq!(
            timeout(SECOND, timeout(2 * SECOND, pending::<()>())).await.map(|_| ()),
            Err(elapsed)
        );
        assert_eq!(timeout(SECOND, ready('a')).into_inner().await, 'a');
    });
}

#[test]
fn an_interval_ticks_at_once_and_then_every_period() {
    in_virtual_time(async {
        let start = Instant::now();
        let mut interval = interval(SECOND);
        for n in 0..4 {
            assert_eq!(interval.tick().await, start + n * SECOND);
            assert_eq!(start.elapsed(), n * SECOND);
        }
        // A tick dropped half-way is not lost.
        assert!(timeout(SECOND / 2, interval.tick()).await.is_err());
        assert_eq!(interval.tick().await, start + 4 * SECOND);
        sleep(SECOND / 4).await;
        interval.reset();
        assert_eq!(interval.tick().await, start + 5 * SECOND + SECOND / 4);
        interval.reset_immediately();
        assert_eq!(interval.tick().await, Instant::now());
        interval.reset_at(start + 9 * SECOND);
        assert_eq!(interval.tick().await, start + 9 * SECOND);
        let mut later = interval_at(start + 20 * SECOND, SECOND);
        assert_eq!(later.tick().await, start + 20 * SECOND);
    });
}

#[test]
fn missed_ticks_are_given_or_left_out_as_chosen() {
    // After the tick at 0 the task is away until 3.5: what comes next, and when is it given? In
    // tenths.
    let cases = [
        (MissedTickBehavior::Burst, [(10, 35), (20, 35), (30, 35), (40, 40)]),
        (MissedTickBehavior::Delay, [(10, 35), (45, 45), (55, 55), (65, 65)]),
        (MissedTickBehavior::Skip, [(10, 35), (40, 40), (50, 50), (60, 60)]),
    ];
    for (behavior, expected) in cases {
        in_virtual_time(async {
            let start = Instant::now();
            let mut interval = interval(SECOND);
            interval.set_missed_tick_behavior(behavior);
            assert_eq!(interval.missed_tick_behavior(), behavior);
            interval.tick().await;
            advance(SECOND * 35 / 10).await;
            for (due, given) in expected {
                assert_eq!(interval.tick().await, start + SECOND * due / 10, "{behavior:?}");
                assert_eq!(start.elapsed(), SECOND * given / 10, "{behavior:?}");
            }
        });
    }
}

#[test]
fn a_little_late_is_not_missed() {
    in_virtual_time(async {
        let start = Instant::now();
        let mut interval = interval(SECOND);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0..4 {
            assert_eq!(interval.tick().await, start + n * SECOND);
            let late = start + (n + 1) * SECOND + Duration::from_millis(4);
            advance(late - Instant::now()).await;
        }
    });
}

#[test]
fn advance_returns_after_the_tasks_that_it_made_due() {
    let order = RefCell::new(Vec::new());
    in_virtual_time(async {
        let start = Instant::now();
        let mut sleeps = pin!(async {
            for n in 1..3 {
                sleep_until(start + n * SECOND).await;
                order.borrow_mut().push(format!("slept {n}"));
            }
            pending::<()>().await;
        });
        let mut advances = pin!(async {
            for n in 1..3 {
                advance(SECOND).await;
                order.borrow_mut().push(format!("advanced {n}"));
            }
        });
        // Both share a waker, so each is polled for the other's wakes too.
        poll_fn(|cx| {
            assert!(sleeps.as_mut().poll(cx).is_pending());
            advances.as_mut().poll(cx)
        })
        .await;
    });
    assert_eq!(*order.borrow(), ["slept 1", "advanced 1", "slept 2", "advanced 2"]);
}

#[test]
fn advance_is_woken_last_of_all_that_is_due() {
    /// A waker that writes its name down.
    struct Name(char, Arc<std::sync::Mutex<String>>);
    impl Wake for Name {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let order = Arc::default();
    let waker = |name| Waker::from(Arc::new(Name(name, Arc::clone(&order))));
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    pause();
    let mut one = Box::pin(sleep(SECOND));
    let mut two = Box::pin(sleep(2 * SECOND));
    let mut advanced = pin!(advance(2 * SECOND));
    assert!(Pin::new(&mut two).poll(&mut Context::from_waker(&waker('2'))).is_pending());
    assert!(Pin::new(&mut one).poll(&mut Context::from_waker(&waker('1'))).is_pending());
    assert!(advanced.as_mut().poll(&mut Context::from_waker(&waker('a'))).is_pending());
    assert_eq!(expire(&timers), 3);
    assert_eq!(*order.lock().unwrap(), "12a");
    assert!(advanced.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn those_that_are_due_together_wait_for_the_slack_and_one_alone_does_not() {
    for slack_ns in [0, 50_000, 1_000_000] {
        let timers = Timers::new(ClockId::Monotonic, Duration::from_nanos(slack_ns));
        let _entered = timers.enter();
        let mut hours = [(); 2].map(|()| Box::pin(sleep(3600 * SECOND)));
        assert!(poll_once(&mut hours[0]).is_pending());
        let alone = timers.alarm().expect("a timer");
        assert_eq!(alone.latest_ns - alone.at_ns, slack_ns);
        assert!(poll_once(&mut hours[1]).is_pending());
        let both = timers.alarm().expect("timers");
        assert_eq!((both.at_ns, both.latest_ns), (alone.latest_ns, alone.latest_ns));
    }
}

#[test]
fn the_clock_runs_on_after_resume_and_the_kernel_is_told_real_times() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    assert_eq!(timers.alarm(), None, "without a timer there is nothing to wait for");
    let mut hour = Box::pin(sleep(3600 * SECOND));
    assert!(poll_once(&mut hour).is_pending());
    let before_ns = monotonic_ns();
    let alarm = timers.alarm().expect("a timer");
    assert!((1..=3600).contains(&((alarm.at_ns - before_ns) / 1_000_000_000 + 1)));
    assert_eq!(alarm.latest_ns, alarm.at_ns + 50_000);
    assert_eq!(timers.alarm(), Some(alarm), "to the nanosecond, whenever it is asked");
    assert!(!timers.auto_advance(), "a running clock is left alone");

    pause();
    assert_eq!(timers.alarm(), None, "no real time will do");
    drop(hour);
    assert!(!timers.auto_advance(), "without a timer there is nowhere to go");
    assert!(poll_once(&mut Box::pin(advance(3600 * SECOND))).is_pending());
    let virtual_ns = timers.now_ns();
    resume();
    // An hour ahead of real time now: an hour's deadline is near.
    assert!(timers.now_ns() >= virtual_ns);
    let mut near = Box::pin(sleep(SECOND));
    assert!(poll_once(&mut near).is_pending());
    assert!(timers.alarm().expect("a timer").at_ns - before_ns < 60_000_000_000);
}

#[test]
fn one_alarm_serves_timers_that_are_due_soon_after() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let deadline = Instant::now() + SECOND;
    let due = |us| Box::pin(sleep_until(deadline + Duration::from_micros(us)));
    let mut sleeps = [0, 20, 45, 120].map(due);
    for sleep in &mut sleeps {
        assert!(poll_once(sleep).is_pending());
    }
    let alarm = timers.alarm().expect("timers");
    // In the second's slot of an upper level they are a crowd: the whole slack.
    assert_eq!(alarm.latest_ns, alarm.at_ns);
}

#[test]
fn entering_nests_and_restores() {
    let now_ns = || Timers::current().map(|timers| timers.now_ns());
    let (outer, nested) =
        (Timers::new(ClockId::Monotonic, SLACK), Timers::new(ClockId::Monotonic, SLACK));
    for timers in [&outer, &nested] {
        let _entered = timers.enter();
        pause();
    }
    outer.clock().advance_to(SECOND.as_nanos() as u64);
    nested.clock().advance_to(2 * SECOND.as_nanos() as u64);
    assert_eq!(now_ns(), None);
    let entered = outer.enter();
    let mut sleep = Box::pin(sleep(SECOND));
    {
        let _entered = nested.enter();
        assert_eq!(now_ns(), Some(2_000_000_000));
        // A future keeps to the runtime it was made in.
        assert!(poll_once(&mut sleep).is_pending());
        assert_eq!((outer.live(), nested.live()), (1, 0));
    }
    assert_eq!(now_ns(), Some(1_000_000_000));
    drop(entered);
    assert_eq!(now_ns(), None);
}

#[test]
fn after_the_runtime_is_gone_a_wait_ends_or_says_so() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let entered = timers.enter();
    pause();
    let (count, waker) = counter();
    let mut idle = Box::pin(sleep(SECOND));
    let mut armed = Box::pin(sleep(SECOND));
    assert!(Pin::new(&mut armed).poll(&mut Context::from_waker(&waker)).is_pending());
    timers.close();
    drop(entered);
    assert_eq!((timers.live(), Arc::strong_count(&count)), (0, 2), "no waker is kept");
    assert!(panic_text(|| poll_once(&mut idle)).contains("runtime of this timer is gone"));
    assert!(panic_text(|| poll_once(&mut armed)).contains("runtime of this timer is gone"));
    timers.clock().advance_to(2_000_000_000);
    assert_eq!((poll_once(&mut idle), poll_once(&mut armed)), (Poll::Ready(()), Poll::Ready(())));
}

#[test]
fn closing_survives_wakers_that_use_the_timers_when_dropped() {
    struct Curious;
    impl Wake for Curious {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            let timers = Timers::current().expect("entered");
            assert_eq!(timers.live(), 0, "the wheel is not borrowed");
            assert!(panic_text(|| poll_once(&mut Box::pin(sleep(SECOND)))).contains("gone"));
        }
    }
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let mut sleep = Box::pin(sleep(SECOND));
    let waker = Waker::from(Arc::new(Curious));
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    timers.close();
}

#[test]
fn mistakes_are_named() {
    assert!(panic_text(|| sleep(SECOND)).contains("no annulus runtime"));
    assert!(panic_text(|| timeout(SECOND, ready(()))).contains("no annulus runtime"));
    assert!(panic_text(pause).contains("no annulus runtime"));
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    assert!(panic_text(|| interval(Duration::ZERO)).contains("must not be zero"));
    assert!(panic_text(resume).contains("not paused"));
    assert!(panic_text(|| poll_once(&mut Box::pin(advance(SECOND)))).contains("not paused"));
    pause();
    assert!(panic_text(pause).contains("paused already"));
}

#[test]
fn a_sleep_is_56_bytes() {
    assert_eq!(size_of::<Sleep>(), 56);
}

#[test]
fn a_hundred_thousand_sleeps_dropped_leave_nothing() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    let mut sleeps: Vec<_> = (1..=100_000).map(|n| Box::pin(sleep(n * SECOND))).collect();
    for sleep in &mut sleeps {
        assert!(poll_once(sleep).is_pending());
    }
    assert_eq!(timers.live(), 100_000);
    drop(sleeps);
    assert_eq!((timers.live(), timers.alarm()), (0, None));
}
