//! A core that looks for work before it sleeps.

use std::future::poll_fn;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::channel::{mpsc, spsc};
use annulus::runtime::metrics;
use annulus::time::sleep;

use crate::support::settled::{pair, run_with, turn};
use crate::support::thread::{this_thread, wait_until_asleep};

/// Waits until the waker was given to `elsewhere` and called from there.
async fn woken_by(elsewhere: &std::sync::mpsc::Sender<Waker>) {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        elsewhere.send(cx.waker().clone()).expect("it wakes");
        Poll::Pending
    })
    .await;
}

#[test]
fn a_spinning_core_is_woken_without_a_system_call() {
    run_with(Builder::new().spin(Duration::from_secs(600)), async || {
        let (give, wakers) = std::sync::mpsc::channel::<Waker>();
        let waking = std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        turn().await;
        let before = metrics().enters;
        for _ in 0..30 {
            woken_by(&give).await;
        }
        assert_eq!(metrics().enters, before);
        drop(give);
        waking.join().expect("no panic");
    });
}

#[test]
fn a_spinning_core_sees_completions_and_timers() {
    run_with(Builder::new().spin(Duration::from_secs(600)), async || {
        let (stream, mut far) = pair();
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            far.write_all(b"late").expect("room");
        });
        let chunk = stream.recv().await.expect("whole").expect("bytes");
        assert_eq!(&*chunk, b"late");
        writing.join().expect("no panic");
        let start = Instant::now();
        sleep(Duration::from_millis(2)).await;
        assert!(start.elapsed() >= Duration::from_millis(2));
    });
}

#[test]
fn a_core_that_found_nothing_sleeps_and_is_rung() {
    run_with(Builder::new().spin(Duration::from_micros(50)), async || {
        let (give, wakers) = std::sync::mpsc::channel::<Waker>();
        let waking = std::thread::spawn(move || {
            for waker in wakers {
                std::thread::sleep(Duration::from_millis(1));
                waker.wake();
            }
        });
        let before = metrics().enters;
        for _ in 0..20 {
            woken_by(&give).await;
        }
        assert!(metrics().enters > before, "it slept");
        drop(give);
        waking.join().expect("no panic");
    });
}

const BURSTS: u64 = 20;

/// What a core asks of the kernel while another thread sends it `size` messages at a time, long after it has taken
/// those before: once it sleeps, if it is to.
async fn enters_between_bursts(size: u64, is_to_sleep: bool) -> u64 {
    let (mut sender, mut receiver) = spsc::channel(64);
    let (taken, all_taken) = std::sync::mpsc::channel();
    let (receiving, waits) = (this_thread(), Arc::<AtomicBool>::default());
    let is_waiting = Arc::clone(&waits);
    assert_eq!(sender.try_send_many(&mut (0..size)), Ok(size as usize));
    let sending = std::thread::spawn(move || {
        for () in all_taken {
            match is_to_sleep {
                true => wait_until_asleep(receiving, || is_waiting.load(Ordering::SeqCst)),
                false => std::thread::sleep(Duration::from_millis(2)),
            }
            is_waiting.store(false, Ordering::SeqCst);
            assert_eq!(sender.try_send_many(&mut (0..size)), Ok(size as usize));
        }
    });
    turn().await;
    let before = metrics().enters;
    for _ in 0..BURSTS {
        for number in 0..size {
            assert_eq!(receiver.recv().await, Some(number));
        }
        taken.send(()).expect("it sends");
        // From here to the next message it does not sleep over anything else.
        waits.store(true, Ordering::SeqCst);
    }
    let enters = metrics().enters - before;
    drop(taken);
    sending.join().expect("no panic");
    enters
}

#[test]
fn a_core_whose_channel_was_busy_is_handed_more_without_a_system_call() {
    run_with(Builder::new().channel_spin(Duration::from_secs(600)), async || {
        assert_eq!(enters_between_bursts(64, false).await, 0);
    });
}

#[test]
fn a_core_whose_channel_had_little_to_do_sleeps_at_once() {
    run_with(Builder::new().channel_spin(Duration::from_secs(600)), async || {
        assert!(enters_between_bursts(1, true).await >= BURSTS - 1, "it slept");
    });
}

#[test]
fn a_core_that_is_told_not_to_look_sleeps_however_busy_its_channel_was() {
    run_with(Builder::new().channel_spin(Duration::ZERO), async || {
        assert!(enters_between_bursts(64, true).await >= BURSTS - 1, "it slept");
    });
}

#[test]
fn a_core_that_waits_for_room_looks_for_it() {
    run_with(Builder::new().channel_spin(Duration::from_secs(600)), async || {
        let (sender, mut receiver) = mpsc::channel(64);
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let receiving = std::thread::spawn(move || {
            for () in asked {
                std::thread::sleep(Duration::from_millis(2));
                assert_eq!(receiver.drain().count(), 64);
            }
            assert_eq!(receiver.drain().count(), 64);
        });
        turn().await;
        let before = metrics().enters;
        for round in 0..20 {
            for number in 0..64 {
                if round > 0 && number == 0 {
                    ask.send(()).expect("it receives");
                }
                sender.send(number).await.expect("it receives");
            }
        }
        assert_eq!(metrics().enters, before);
        drop(ask);
        receiving.join().expect("no panic");
    });
}
