//! Loom models of the two protocols that cross threads, run on the real executor.
//!
//! Sleeping is modelled by a mutex and a condition variable behind `unpark`, as a ring's wait is: if a wake-up
//! is lost, loom reports a deadlock.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{Poll, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::executor::Executor;
use crate::loom::Bell;

/// One turn of a worker: run what is ready and arrived; sleep if that was nothing.
fn turn(executor: &Executor, bell: &Bell) {
    executor.take_inbox();
    if executor.run_batch(0) == 0 && executor.begin_sleep() {
        bell.wait();
        executor.end_sleep();
    }
}

/// A task that waits until `target` was reached, and the waker of its first poll.
fn waiting(
    executor: &Executor,
    reached: &Arc<AtomicUsize>,
    target: usize,
) -> (Rc<Cell<bool>>, Waker) {
    let (done, slot) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None)));
    let (inside, inside_slot, reached) = (Rc::clone(&done), Rc::clone(&slot), Arc::clone(reached));
    drop(executor.spawn(poll_fn(move |cx| {
        inside_slot.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        if reached.load(Ordering::Relaxed) < target {
            return Poll::Pending;
        }
        inside.set(true);
        Poll::Ready(())
    })));
    executor.run_batch(0);
    let waker = slot.borrow_mut().take().expect("polled");
    (done, waker)
}

/// What the models end with: the executor goes, and then its memory.
fn end(executor: Rc<Executor>) {
    let freed: StdArc<StdAtomicUsize> = executor.home().freed();
    drop(executor);
    assert_eq!(freed.load(StdOrdering::SeqCst), 1);
}

#[test]
fn loom_two_wakers_lose_no_wake_up() {
    loom::model(|| {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        let entered = executor.enter();
        let reached = Arc::new(AtomicUsize::new(0));
        let (done, waker) = waiting(&executor, &reached, 2);
        let threads = [waker.clone(), waker].map(|waker| {
            let reached = Arc::clone(&reached);
            thread::spawn(move || {
                // Relaxed on purpose: the wake has to publish it.
                reached.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        while !done.get() {
            turn(&executor, &bell);
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        executor.take_inbox();
        executor.run_batch(0);
        drop(entered);
        end(executor);
    });
}

#[test]
fn loom_two_tasks_share_the_inbox() {
    loom::model(|| {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        let entered = executor.enter();
        let tasks = [(); 2].map(|()| {
            let reached = Arc::new(AtomicUsize::new(0));
            let (done, waker) = waiting(&executor, &reached, 1);
            let thread = thread::spawn(move || {
                reached.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            });
            (done, thread)
        });
        while !tasks.iter().all(|(done, _)| done.get()) {
            turn(&executor, &bell);
        }
        for (_, thread) in tasks {
            thread.join().expect("no panic");
        }
        drop(entered);
        end(executor);
    });
}

#[test]
fn loom_a_wake_publishes_what_came_before_it() {
    loom::model(|| {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        let entered = executor.enter();
        let reached = Arc::new(AtomicUsize::new(0));
        let (done, waker) = waiting(&executor, &reached, 2);
        let thread = thread::spawn({
            let reached = Arc::clone(&reached);
            move || {
                for _ in 0..2 {
                    reached.fetch_add(1, Ordering::Relaxed);
                    waker.wake_by_ref();
                }
            }
        });
        while !done.get() {
            turn(&executor, &bell);
        }
        thread.join().expect("no panic");
        drop(entered);
        end(executor);
    });
}

#[test]
fn loom_shutdown_meets_wakes() {
    loom::model(|| {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        let freed = executor.home().freed();
        let entered = executor.enter();
        let reached = Arc::new(AtomicUsize::new(0));
        let (done, waker) = waiting(&executor, &reached, 9);
        let threads = [waker.clone(), waker].map(|waker| {
            thread::spawn(move || {
                waker.wake_by_ref();
                drop(waker);
            })
        });
        executor.take_inbox();
        executor.run_batch(0);
        drop(entered);
        drop(executor);
        assert!(!done.get());
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(freed.load(StdOrdering::SeqCst), 1, "freed once, and by the last");
    });
}

#[test]
fn loom_an_abort_from_elsewhere_arrives() {
    loom::model(|| {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        let entered = executor.enter();
        let handle = executor.spawn(std::future::pending::<()>());
        executor.run_batch(0);
        let aborter = handle.abort_handle();
        let threads =
            [aborter.clone(), aborter].map(|aborter| thread::spawn(move || aborter.abort()));
        while !handle.is_finished() {
            turn(&executor, &bell);
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        drop(handle);
        executor.take_inbox();
        drop(entered);
        end(executor);
    });
}

#[test]
fn loom_completion_meets_foreign_drops() {
    loom::model(|| {
        let executor = Executor::new(Waker::noop().clone(), 8);
        let freed = executor.home().freed();
        let entered = executor.enter();
        let slot = Rc::new(RefCell::new(None));
        let inside = Rc::clone(&slot);
        let mut polled = false;
        let handle = executor.spawn(poll_fn(move |cx| {
            inside.borrow_mut().replace(cx.waker().clone());
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        }));
        executor.run_batch(0);
        let waker: Waker = slot.borrow_mut().take().expect("polled");
        waker.wake_by_ref();
        // Made at home, cloned and dropped abroad, while home completes and merges.
        let threads = [waker.clone(), waker].map(|waker| {
            thread::spawn(move || {
                let second = waker.clone();
                drop(waker);
                drop(second);
            })
        });
        executor.run_batch(0);
        drop(handle);
        drop(slot.borrow_mut().take());
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(executor.home().allocated(), 0, "freed exactly once");
        drop(entered);
        drop(executor);
        assert_eq!(freed.load(StdOrdering::SeqCst), 1);
    });
}
