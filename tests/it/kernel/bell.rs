//! POLL_ADD of the bell: how another thread ends a core's sleep.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use annulus::runtime::metrics;

use crate::support::settled::{run, turn};

#[test]
fn each_wake_from_another_thread_ends_a_sleep() {
    run(async || {
        for pause_us in [0, 1, 10, 100, 1000, 10_000].repeat(5) {
            let count = Arc::new(AtomicUsize::new(0));
            let mut thread = None;
            poll_fn(|cx| {
                if count.load(Ordering::SeqCst) == 1 {
                    return Poll::Ready(());
                }
                let (counted, waker) = (Arc::clone(&count), cx.waker().clone());
                thread.get_or_insert_with(|| {
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_micros(pause_us));
                        counted.store(1, Ordering::SeqCst);
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
            thread.expect("it was polled").join().unwrap();
        }
    });
}

#[test]
fn a_core_that_nobody_rings_makes_no_system_call() {
    run(async || {
        let before = metrics().enters;
        let mut thread = None;
        poll_fn(|cx| {
            if thread.is_some() {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread = Some(std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                waker.wake();
            }));
            Poll::Pending
        })
        .await;
        let enters = metrics().enters - before;
        assert!(enters <= 4, "{enters} calls while asleep");
        thread.expect("it was polled").join().unwrap();
    });
}

#[test]
fn each_sleep_that_a_ring_ends_is_one_call() {
    run(async || {
        const RINGS: u64 = 200;
        let (give, wakers) = std::sync::mpsc::channel::<std::task::Waker>();
        let ringer = std::thread::spawn(move || {
            for waker in wakers {
                std::thread::sleep(Duration::from_micros(300));
                waker.wake();
            }
        });
        turn().await;
        let before = metrics().enters;
        for _ in 0..RINGS {
            let mut is_woken = false;
            poll_fn(|cx| {
                if is_woken {
                    return Poll::Ready(());
                }
                is_woken = true;
                give.send(cx.waker().clone()).expect("it rings");
                Poll::Pending
            })
            .await;
        }
        let enters = metrics().enters - before;
        assert!(enters <= RINGS + RINGS / 4, "{enters} calls for {RINGS} sleeps");
        drop(give);
        ringer.join().unwrap();
    });
}
