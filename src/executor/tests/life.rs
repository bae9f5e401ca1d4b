//! One task at a time: spawn, wake, complete, and what is counted meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::probe::{Bench, CountWakes, Probe, poll_once};
use crate::executor::{Executor, current, yield_now};
use crate::task::{id, spawn, try_id};

#[test]
fn a_task_runs_to_its_end() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(1);
    let mut handle = bench.executor.spawn(probe);
    assert_eq!((seen.counts(), bench.counts()), ((0, 0, 0), (1, 1)));
    assert_eq!(handle.references(), 0);

    assert_eq!(bench.executor.run_batch(0), 1);
    assert_eq!((seen.counts(), bench.counts()), ((1, 0, 0), (1, 1)));
    assert_eq!(handle.references(), 1, "the waker that the probe keeps");
    assert!(!handle.is_finished() && !bench.executor.has_ready());
    assert!(poll_once(&mut handle).is_pending());

    seen.take_waker().wake();
    assert!(bench.executor.has_ready());
    assert_eq!(handle.references(), 0, "being queued counts nothing");
    assert_eq!(bench.executor.run_batch(0), 1);
    assert_eq!((seen.counts(), bench.counts()), ((2, 1, 0), (0, 1)));
    assert!(handle.is_finished());

    let Poll::Ready(Ok(output)) = poll_once(&mut handle) else { panic!("finished") };
    assert_eq!(seen.counts(), (2, 1, 0));
    drop(output);
    assert_eq!(seen.counts(), (2, 1, 1));
    drop(handle);
    assert_eq!(bench.counts(), (0, 1), "the probe's last waker keeps the memory");
    drop(seen.take_waker());
    assert_eq!((bench.counts(), bench.executor.home().cached()), ((0, 0), 1));
    bench.end_empty();
}

#[test]
fn memory_is_used_again() {
    let bench = Bench::new();
    for _ in 0..10 {
        drop(spawn(async {}));
        assert_eq!(bench.run(), 1);
        assert_eq!((bench.counts(), bench.executor.home().cached()), ((0, 0), 1));
    }
    drop(spawn(async { [0_u8; 4096] }));
    bench.run();
    assert_eq!(bench.executor.home().cached(), 1, "large tasks are not kept");
    for _ in 0..3000 {
        drop(spawn(async {}));
    }
    assert_eq!(bench.counts(), (3000, 3000));
    bench.run();
    assert_eq!((bench.counts(), bench.executor.home().cached()), ((0, 0), 1024), "the bound");
    bench.end_empty();
}

#[test]
fn over_aligned_futures_and_outputs_work() {
    #[repr(align(256))]
    struct Wide(u8);
    let bench = Bench::new();
    let wide = Wide(7);
    let mut handle = spawn(async move {
        yield_now().await;
        assert_eq!((&raw const wide).addr() % 256, 0);
        wide
    });
    bench.run();
    let Poll::Ready(Ok(wide)) = poll_once(&mut handle) else { panic!("finished") };
    assert_eq!(wide.0, 7);
    drop(handle);
    bench.end_empty();
}

#[test]
fn wakes_before_the_poll_are_one() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(5);
    let handle = spawn(probe);
    bench.run();
    let waker = seen.take_waker();
    for _ in 0..10 {
        waker.wake_by_ref();
    }
    assert_eq!(bench.run(), 1);
    assert_eq!(seen.counts(), (2, 0, 0));
    drop((handle, waker, seen.take_waker()));
    bench.end_empty();
}

#[test]
fn a_wake_from_inside_the_poll_queues_the_task_again() {
    let bench = Bench::with_budget(1);
    let (probe, seen) = Probe::new({
        let mut left = 3;
        move |cx| {
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            left -= 1;
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }
    });
    drop(spawn(probe));
    for polls in 1..=2 {
        assert_eq!(bench.executor.run_batch(0), 1);
        assert_eq!((seen.counts(), bench.counts()), ((polls, 0, 0), (1, 1)));
    }
    assert_eq!(bench.executor.run_batch(0), 1);
    assert_eq!((seen.counts(), bench.counts()), ((3, 1, 1), (0, 1)));
    drop(seen.take_waker());
    assert_eq!(bench.counts(), (0, 1), "complete, and still queued");
    assert_eq!(bench.executor.run_batch(0), 1, "popped for nothing");
    assert_eq!((seen.counts(), bench.counts()), ((3, 1, 1), (0, 0)));
    bench.end_empty();
}

#[test]
fn a_wake_after_completion_does_nothing() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(0);
    let handle = spawn(probe);
    bench.run();
    seen.waker.borrow().as_ref().expect("polled").wake_by_ref();
    assert!(!bench.executor.has_ready());
    drop(handle);
    seen.waker.borrow().as_ref().expect("polled").wake_by_ref();
    seen.take_waker().wake();
    assert!(!bench.executor.has_ready());
    assert_eq!(bench.counts(), (0, 0));
    bench.end_empty();
}

#[test]
fn a_hundred_thousand_clones() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(1);
    let handle = spawn(probe);
    bench.run();
    let wakers = vec![seen.take_waker(); 100_000];
    assert_eq!(handle.references(), 100_000);
    assert!(wakers[0].will_wake(&wakers[99_999]));
    for waker in &wakers[..50_000] {
        waker.wake_by_ref();
    }
    for waker in wakers {
        waker.wake();
    }
    assert_eq!((handle.references(), bench.run()), (0, 1));
    drop((handle, seen.take_waker()));
    bench.end_empty();
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_woken() {
    let bench = Bench::new();
    let log = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b", "c"] {
        let log = Rc::clone(&log);
        drop(spawn(async move {
            for turn in 0..3 {
                log.borrow_mut().push((turn, name));
                yield_now().await;
            }
        }));
    }
    bench.run();
    let expected: Vec<_> = (0..3).flat_map(|turn| ["a", "b", "c"].map(|n| (turn, n))).collect();
    assert_eq!(*log.borrow(), expected);
    bench.end_empty();
}

#[test]
fn a_batch_is_what_was_ready_and_no_more_than_the_budget() {
    let executor = Executor::new(Waker::noop().clone(), 4);
    let _guard = executor.enter();
    for _ in 0..6 {
        drop(spawn(async { drop(spawn(async {})) }));
    }
    assert_eq!([(); 4].map(|()| executor.run_batch(0)), [4, 4, 4, 0]);
    assert!(!executor.has_ready());
    for _ in 0..9 {
        drop(spawn(async {}));
    }
    assert_eq!([3, 0, 0].map(|woken| executor.run_batch(woken)), [7, 2, 0]);
}

#[test]
fn the_join_waker_is_replaced_and_woken_once() {
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(1);
    let mut handle = spawn(probe);
    let counters: [Arc<CountWakes>; 2] = Default::default();
    let wakers = counters.each_ref().map(|counter| Waker::from(Arc::clone(counter)));
    for waker in [&wakers[0], &wakers[0], &wakers[1]] {
        let mut cx = std::task::Context::from_waker(waker);
        assert!(std::pin::Pin::new(&mut handle).poll(&mut cx).is_pending());
    }
    assert_eq!(counters.each_ref().map(Arc::strong_count), [2, 3], "one is registered");
    bench.run();
    seen.take_waker().wake();
    bench.run();
    assert_eq!(counters.each_ref().map(|counter| counter.count()), [0, 1]);
    assert_eq!(counters.each_ref().map(Arc::strong_count), [2, 2]);
    drop((handle, seen.take_waker()));
    bench.end_empty();
}

#[test]
#[should_panic(expected = "after it gave its result")]
fn a_handle_gives_its_result_once() {
    let bench = Bench::new();
    let mut handle = spawn(async {});
    bench.run();
    assert!(poll_once(&mut handle).is_ready());
    let _ = poll_once(&mut handle);
}

#[test]
#[should_panic(expected = "outside a runtime")]
fn spawn_needs_a_runtime() {
    drop(spawn(async {}));
}

#[test]
fn ids_name_the_running_task() {
    assert_eq!(try_id(), None);
    let bench = Bench::new();
    assert_eq!(try_id(), None);
    let mut handle = spawn(async { id() });
    let other = spawn(async {});
    assert_ne!(handle.id(), other.id());
    assert_eq!(handle.id(), handle.abort_handle().id());
    bench.run();
    let Poll::Ready(Ok(seen)) = poll_once(&mut handle) else { panic!("finished") };
    assert_eq!((seen, seen.to_string()), (handle.id(), handle.id().to_string()));
    drop((handle, other));
    bench.end_empty();
}

#[test]
fn executors_nest() {
    let outer = Bench::new();
    let inner = Executor::new(Waker::noop().clone(), 8);
    let (probe, seen) = Probe::pending(1);
    let handle = spawn(probe);
    outer.run();
    {
        let _guard = inner.enter();
        assert!(Rc::ptr_eq(&current().expect("entered"), &inner));
        drop(spawn(async {}));
        assert_eq!((inner.run_batch(0), outer.executor.has_ready()), (1, false));
        seen.take_waker().wake();
        assert!(!outer.executor.has_ready() && !handle.is_finished());
    }
    assert!(Rc::ptr_eq(&current().expect("entered"), &outer.executor));
    assert!(outer.executor.take_inbox(), "the inner executor was not home");
    assert_eq!(outer.run(), 1);
    assert!(handle.is_finished());
    drop((handle, seen.take_waker()));
    outer.end_empty();
    assert!(current().is_none());
}

#[test]
#[should_panic(expected = "from inside one of its tasks")]
fn a_batch_inside_a_task_is_refused() {
    let bench = Bench::new();
    let executor = Rc::clone(&bench.executor);
    let mut handle = spawn(async move { executor.run_batch(0) });
    bench.run();
    let Poll::Ready(Err(error)) = poll_once(&mut handle) else { panic!("finished") };
    std::panic::resume_unwind(error.into_panic());
}
