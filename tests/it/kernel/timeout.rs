//! TIMEOUT, the one timer that a core keeps in the kernel.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::runtime::metrics;
use annulus::time::{self, sleep, sleep_until, timeout};
use annulus::{Builder, spawn_blocking};

use crate::support::settled::{PATIENCE, joined, poll_once, run, run_with};
use crate::support::skip::skip;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_sleep_ends_not_before_its_time() {
    run(async || {
        for milliseconds in [0, 1, 3, 20] {
            let start = Instant::now();
            sleep(milliseconds * MILLISECOND).await;
            assert!(start.elapsed() >= milliseconds * MILLISECOND, "{:?}", start.elapsed());
        }
    });
}

#[test]
fn an_earlier_deadline_moves_the_timer() {
    run(async || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = time::Instant::now();
        let mut tasks = Vec::new();
        // Each is armed in a turn of its own, so each moves the timer that is in the kernel.
        for milliseconds in [400, 300, 200, 100] {
            let order = Rc::clone(&order);
            tasks.push(annulus::spawn(async move {
                sleep_until(start + milliseconds * MILLISECOND).await;
                order.borrow_mut().push(milliseconds);
            }));
            sleep(MILLISECOND).await;
        }
        joined(tasks).await;
        assert_eq!(*order.borrow(), [100, 200, 300, 400]);
    });
}

#[test]
fn an_idle_core_wakes_for_its_timer_only() {
    run(async || {
        let before = metrics().enters;
        sleep(200 * MILLISECOND).await;
        let enters = metrics().enters - before;
        assert!(enters <= 6, "{enters} calls during one sleep");
    });
}

#[test]
fn timeouts_that_are_not_reached_leave_nothing_in_the_kernel() {
    run(async || {
        for _ in 0..1000 {
            let ready = timeout(Duration::from_secs(3600), sleep(Duration::ZERO));
            ready.await.expect("at once");
        }
        assert_eq!(metrics().live_timers, 0);
        assert!(metrics().live_operations <= 2, "{:?}", metrics());
    });
}

/// By which clocks, as the kernel numbers them, timers of rings go that end in so many seconds or a little less.
fn clocks_of_timers(in_seconds: u64) -> io::Result<Vec<u32>> {
    let list = std::fs::read_to_string("/proc/timer_list")?;
    let (mut clock, mut is_of_ring, mut clocks) = (0, false, Vec::new());
    for line in list.lines() {
        if let Some(index) = line.trim().strip_prefix(".index:") {
            clock = index.trim().parse().expect("a number");
        } else if line.contains("active timers")
            || line.trim().starts_with('#') && line.contains('<')
        {
            is_of_ring = line.contains("io_timeout_fn");
        } else if let Some((_, left)) = line.split_once("[in ")
            && is_of_ring
        {
            let left_ns = left.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
            let left_s = left_ns.unwrap_or(0).div_ceil(1_000_000_000);
            if (in_seconds - PATIENCE.as_secs()..=in_seconds).contains(&left_s) {
                clocks.push(clock);
            }
        }
    }
    Ok(clocks)
}

/// The same, once the core sleeps and waits for its timer.
async fn look(in_seconds: u64) -> io::Result<Vec<u32>> {
    let looked = spawn_blocking(move || {
        let given_up = Instant::now() + PATIENCE;
        loop {
            let clocks = clocks_of_timers(in_seconds)?;
            if !clocks.is_empty() || Instant::now() > given_up {
                return Ok(clocks);
            }
            std::thread::sleep(MILLISECOND);
        }
    });
    looked.await.expect("no panic")
}

#[test]
fn the_timer_goes_by_the_clock_that_was_chosen() {
    const MONOTONIC: u32 = 0;
    const BOOTTIME: u32 = 2;
    if let Err(error) = clocks_of_timers(1000) {
        skip!("the kernel does not list its timers: {error}");
    }
    for (boottime, clock, seconds) in [(false, MONOTONIC, 123_456), (true, BOOTTIME, 234_567)] {
        let builder = Builder::new().boottime(boottime);
        run_with(builder, async || {
            let mut far = pin!(sleep(Duration::from_secs(seconds)));
            assert!(poll_once(&mut far).await.is_pending());
            assert_eq!(look(seconds).await.expect("a list"), [clock]);
            // It is moved, and keeps its clock.
            let mut nearer = pin!(sleep(Duration::from_secs(seconds / 2)));
            assert!(poll_once(&mut nearer).await.is_pending());
            assert_eq!(look(seconds / 2).await.expect("a list"), [clock]);
            sleep(MILLISECOND).await;
        });
    }
}

#[test]
fn the_timer_ends_with_the_last_of_those_within_the_slack() {
    if let Err(error) = clocks_of_timers(1000) {
        skip!("the kernel does not list its timers: {error}");
    }
    for (slack_s, armed_s) in [(0, 100_000), (5_000, 100_000), (10_000, 109_000)] {
        let builder = Builder::new().timer_slack(Duration::from_secs(slack_s));
        run_with(builder, async || {
            let mut first = pin!(sleep(Duration::from_secs(100_000)));
            let mut last = pin!(sleep(Duration::from_secs(109_000)));
            assert!(poll_once(&mut first).await.is_pending());
            assert!(poll_once(&mut last).await.is_pending());
            assert_eq!(look(armed_s).await.expect("a list").len(), 1, "{slack_s}");
        });
    }
}
