//! Wakers and abort handles on other threads, while the executor lives and after.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};

use super::probe::{Bench, Probe, poll_once};
use crate::task::spawn;

#[test]
fn a_foreign_wake_waits_in_the_inbox_and_rings_a_sleeper_once() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(3);
    let handle = spawn(probe);
    bench.run();
    let waker = seen.take_waker();
    let abroad = |waker: Waker| {
        let _ = thread::spawn(move || {
            waker.wake_by_ref();
            waker.wake();
        })
        .join();
    };
    abroad(waker.clone());
    assert_eq!((bench.rings.count(), bench.executor.has_ready()), (0, false), "not asleep");
    assert_eq!(handle.references(), 2, "ours, and the inbox");
    assert!(!bench.executor.begin_sleep(), "something arrived");
    assert!(bench.executor.take_inbox() && !bench.executor.take_inbox());
    assert_eq!((bench.run(), handle.references()), (1, 2), "ours, and the probe's");

    assert!(bench.executor.begin_sleep());
    abroad(waker.clone());
    abroad(waker.clone());
    assert_eq!(bench.rings.count(), 1);
    bench.executor.end_sleep();
    assert!(bench.executor.take_inbox());
    assert_eq!(bench.run(), 1);
    assert!(bench.executor.begin_sleep());
    bench.executor.end_sleep();
    abroad(waker);
    assert_eq!(bench.rings.count(), 1, "awake");
    assert_eq!(bench.run(), 1);
    drop((handle, seen.take_waker()));
    bench.end_empty();
}

#[test]
fn an_abort_from_another_thread_drops_the_future_at_home() {
    struct Canary(
        Arc<std::sync::Mutex<Option<ThreadId>>>,
        #[allow(dead_code, reason = "makes it !Send")] Rc<()>,
    );
    impl Drop for Canary {
        fn drop(&mut self) {
            *self.0.lock().expect("not poisoned") = Some(thread::current().id());
        }
    }
    let bench = Bench::new();
    let dropped_on = Arc::default();
    let canary = Canary(Arc::clone(&dropped_on), Rc::default());
    let mut handle = spawn(async move {
        let _canary = canary;
        std::future::pending::<()>().await;
    });
    bench.run();
    let aborter = handle.abort_handle();
    thread::spawn({
        let aborter = aborter.clone();
        move || aborter.abort()
    })
    .join()
    .expect("no panic");
    assert_eq!(*dropped_on.lock().expect("not poisoned"), None);
    assert!(!aborter.is_finished());
    bench.run();
    assert_eq!(*dropped_on.lock().expect("not poisoned"), Some(thread::current().id()));
    assert!(aborter.is_finished());
    assert!(matches!(poll_once(&mut handle), Poll::Ready(Err(error)) if error.is_cancelled()));
    drop((handle, aborter));
    bench.end_empty();
}

#[test]
fn an_abort_after_the_end_changes_nothing() {
    let bench = Bench::new();
    let mut handle = spawn(async { 3 });
    let aborter = handle.abort_handle();
    bench.run();
    thread::spawn(move || aborter.abort()).join().expect("no panic");
    bench.run();
    assert!(matches!(poll_once(&mut handle), Poll::Ready(Ok(3))));
    drop(handle);
    bench.end_empty();
}

#[test]
fn the_last_waker_dropped_abroad_frees_memory_only() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(0);
    let handle = spawn(probe);
    bench.run();
    drop(handle);
    assert_eq!((seen.counts(), bench.counts()), ((1, 1, 1), (0, 1)));
    let waker = seen.take_waker();
    thread::spawn(move || drop(waker)).join().expect("no panic");
    assert_eq!((bench.counts(), bench.executor.home().cached()), ((0, 0), 0));
    bench.end_empty();
}

/// A value that must die where it was born; its drops are counted.
struct Homebound {
    born: ThreadId,
    drops: Arc<AtomicUsize>,
    _not_send: Rc<()>,
}

impl Drop for Homebound {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.born, thread::current().id(), "dropped away from home");
    }
}

fn hammer(wakers: &[Waker], stop: &AtomicBool, seed: usize) {
    let mut random = seed * 2_654_435_761 + 1;
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let waker = &wakers[(random >> 40) % wakers.len()];
        match (random >> 33) & 7 {
            0..3 => waker.wake_by_ref(),
            3 => kept.push(waker.clone()),
            4 => kept.clear(),
            5 => {
                let waker = waker.clone();
                std::hint::black_box(waker).wake();
            }
            6 => drop(waker.clone()),
            _ => kept.pop().into_iter().for_each(Waker::wake),
        }
        if kept.len() > 64 {
            kept.clear();
        }
    }
}

#[test]
fn eight_threads_wake_clone_and_drop_during_and_after_the_executor() {
    const TASKS: usize = 16;
    for round in 0..6 {
        let bench = Bench::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let mut probes = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..TASKS {
            // Some end by themselves under fire, some live until the shutdown.
            let (probe, seen) = Probe::pending(if round % 2 == 0 { u32::MAX } else { 50 });
            let canary = Homebound {
                born: thread::current().id(),
                drops: Arc::clone(&drops),
                _not_send: Rc::default(),
            };
            handles.push(spawn(async move {
                let canary = canary;
                drop(probe.await);
                canary
            }));
            probes.push(seen);
        }
        bench.run();
        let wakers: Vec<Waker> = probes.iter().map(|seen| seen.take_waker()).collect();
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(9)));
        let threads: Vec<_> = (0..8)
            .map(|seed| {
                let (wakers, stop, start) = (wakers.clone(), Arc::clone(&stop), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    hammer(&wakers, &stop, seed + 8 * round);
                })
            })
            .collect();
        drop(wakers);
        start.wait();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(40);
        while std::time::Instant::now() < until {
            bench.executor.take_inbox();
            bench.executor.run_batch(0);
            if bench.executor.begin_sleep() {
                bench.executor.end_sleep();
            }
        }
        handles.truncate(TASKS / 2);
        let freed = bench.end();
        thread::sleep(std::time::Duration::from_millis(5));
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no panic");
        }
        drop((handles, probes));
        assert_eq!(drops.load(Ordering::SeqCst), TASKS);
        assert_eq!(freed.load(Ordering::SeqCst), 1, "every task's memory is gone");
    }
}
