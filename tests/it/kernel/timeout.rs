//! TIMEOUT, the one timer that a core keeps in the kernel.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::runtime::metrics;
use annulus::time::{self, sleep, sleep_until, timeout};

use crate::support::settled::{joined, run};

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
