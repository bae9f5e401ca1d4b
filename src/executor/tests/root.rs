//! The root: a turn in the queue and a waker, without a future.

use super::probe::Bench;

#[test]
fn a_root_starts_woken_and_takes_turns() {
    let bench = Bench::new();
    let root = bench.executor.root();
    assert!(root.take_woken() && !root.take_woken());
    assert_eq!(bench.counts(), (0, 1), "a root is no task");
    root.waker().wake_by_ref();
    root.waker().wake_by_ref();
    assert!(!root.take_woken(), "not before its turn");
    assert_eq!(bench.executor.run_batch(0), 1);
    assert!(root.take_woken() && !root.take_woken());
    drop(root);
    assert_eq!(bench.counts(), (0, 0));
    bench.end_empty();
}

#[test]
fn a_root_may_go_while_it_is_queued_and_its_wakers_live() {
    let bench = Bench::new();
    let root = bench.executor.root();
    let waker = root.waker().clone();
    waker.wake_by_ref();
    drop(root);
    assert_eq!(bench.executor.run_batch(0), 1);
    waker.wake_by_ref();
    assert!(!bench.executor.has_ready());
    let elsewhere = std::thread::spawn(move || {
        waker.wake_by_ref();
        drop(waker.clone());
        waker.wake();
    });
    elsewhere.join().expect("no panic");
    bench.run();
    assert_eq!(bench.counts(), (0, 0));
    bench.end_empty();
}

#[test]
fn a_root_outlives_the_shutdown() {
    let bench = Bench::new();
    let root = bench.executor.root();
    bench.executor.shutdown();
    root.waker().wake_by_ref();
    let freed = bench.end();
    assert_eq!(freed.load(std::sync::atomic::Ordering::SeqCst), 0, "the root holds it");
    root.waker().wake_by_ref();
    drop(root);
    assert_eq!(freed.load(std::sync::atomic::Ordering::SeqCst), 1);
}
