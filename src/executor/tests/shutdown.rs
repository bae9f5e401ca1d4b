//! The end of an executor, and what lives longer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::probe::{Bench, OnDrop, Probe, poll_once};
use crate::task::{JoinHandle, spawn};

#[test]
fn it_drops_every_future_wherever_it_is() {
    let bench = Bench::new();
    let (fresh, fresh_seen) = Probe::pending(9);
    let (idle, idle_seen) = Probe::pending(9);
    let (woken, woken_seen) = Probe::pending(9);
    let mut idle = spawn(idle);
    drop(spawn(woken));
    bench.run();
    drop(spawn(fresh));
    woken_seen.take_waker().wake();
    assert!(poll_once(&mut idle).is_pending());
    bench.executor.shutdown();
    assert_eq!(fresh_seen.counts(), (0, 1, 0));
    assert_eq!(idle_seen.counts(), (1, 1, 0));
    assert_eq!(woken_seen.counts(), (1, 1, 0));
    assert!(matches!(poll_once(&mut idle), Poll::Ready(Err(error)) if error.is_cancelled()));
    drop((idle, idle_seen.take_waker()));
    bench.executor.shutdown();
    bench.end_empty();
}

#[test]
fn spawns_and_wakes_of_the_dying_come_to_nothing() {
    let bench = Bench::new();
    let drops = Rc::new(Cell::new(0));
    let handles: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
    let (other, other_seen) = Probe::pending(9);
    drop(spawn(other));
    for _ in 0..5 {
        let (drops, handles) = (Rc::clone(&drops), Rc::clone(&handles));
        let other = Rc::clone(&other_seen);
        let guard = OnDrop(move || {
            let count = Rc::clone(&drops);
            let inner = OnDrop(move || count.set(count.get() + 1));
            handles.borrow_mut().push(spawn(async move {
                let _inner = inner;
                unreachable!("never polled");
            }));
            assert!(handles.borrow().last().expect("pushed").is_finished());
            other.waker.borrow().as_ref().expect("polled").wake_by_ref();
            drops.set(drops.get() + 100);
        });
        drop(spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }));
    }
    bench.run();
    bench.executor.shutdown();
    assert_eq!((drops.get(), other_seen.counts()), (505, (1, 1, 0)));
    assert_eq!((bench.executor.live_tasks(), bench.executor.has_ready()), (0, false));
    for mut handle in handles.borrow_mut().drain(..) {
        assert!(matches!(poll_once(&mut handle), Poll::Ready(Err(error)) if error.is_cancelled()));
    }
    drop(other_seen.take_waker());
    bench.end_empty();
}

#[test]
fn a_drop_that_panics_stops_nothing() {
    let bench = Bench::new();
    let handles: Vec<_> = (0..3)
        .map(|_| {
            let guard = OnDrop(|| panic!("boom"));
            spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            })
        })
        .collect();
    bench.run();
    bench.executor.shutdown();
    assert_eq!((bench.counts(), bench.executor.caught_panics()), ((0, 3), 3));
    for mut handle in handles {
        assert!(matches!(poll_once(&mut handle), Poll::Ready(Err(error)) if error.is_panic()));
    }
    bench.end_empty();
}

#[test]
fn a_handle_outlives_the_executor() {
    let bench = Bench::new();
    let (done, done_seen) = Probe::pending(0);
    let (idle, idle_seen) = Probe::pending(1);
    let (mut done, mut idle, unread) = (spawn(done), spawn(idle), spawn(async { vec![1] }));
    bench.run();
    drop((done_seen.take_waker(), idle_seen.take_waker()));
    let freed = bench.end();
    assert_eq!(freed.load(Ordering::SeqCst), 0, "three tasks hold the home");

    idle.abort();
    assert!(done.is_finished() && idle.is_finished() && unread.is_finished());
    let aborter = idle.abort_handle();
    assert!(matches!(poll_once(&mut done), Poll::Ready(Ok(_))));
    assert_eq!(done_seen.counts(), (1, 1, 1));
    assert!(matches!(poll_once(&mut idle), Poll::Ready(Err(error)) if error.is_cancelled()));
    drop((done, idle, unread));
    assert_eq!(freed.load(Ordering::SeqCst), 0, "the abort handle");
    assert!(aborter.is_finished());
    aborter.abort();
    drop(aborter);
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_task_may_own_handles_of_others_and_of_itself() {
    let bench = Bench::new();
    let slot: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let inside = Rc::clone(&slot);
    let own = spawn(async move {
        let _own = inside.borrow_mut().take();
        std::future::pending::<()>().await;
    });
    slot.replace(Some(own));
    let other = spawn(std::future::pending::<()>());
    drop(spawn(async move {
        assert!(other.await.expect_err("cancelled").is_cancelled());
    }));
    bench.run();
    bench.end_empty();
}
