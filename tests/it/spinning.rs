//! A core that looks for work before it sleeps.

use std::future::poll_fn;
use std::io::Write;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::runtime::metrics;
use annulus::time::sleep;

use crate::support::settled::{pair, run_with, turn};

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
