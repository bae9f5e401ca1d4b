//! Foreign threads and a runtime: work that they send, and the channels of other crates between them and tasks.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use annulus::runtime::{Handle, RemoteError, metrics};
use annulus::{Builder, Runtime};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, poll_flagged, rounds, run, until};

/// Runs the body on a plain thread while the runtime turns, and gives what it gave.
async fn elsewhere<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(body);
    until(|| thread.is_finished()).await;
    thread.join().expect("no panic")
}

#[test]
fn a_handle_is_send_and_sync_and_so_is_what_it_gives() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<Handle>();
    check::<annulus::runtime::RemoteHandle<Cell<u8>>>();
    check::<RemoteError>();
}

#[test]
fn many_threads_send_work_and_wait_for_it() {
    run(async || {
        let handle = Handle::current();
        assert!(handle.is_current());
        let home = thread::current().id();
        let sum = elsewhere(move || {
            let threads: Vec<_> = (0..4u64)
                .map(|number| {
                    let handle = handle.clone();
                    thread::spawn(move || {
                        assert!(!handle.is_current());
                        let mut sum = 0;
                        for round in 0..50 {
                            let task = handle.spawn(async move || {
                                assert_eq!(thread::current().id(), home);
                                annulus::task::yield_now().await;
                                Rc::new(Cell::new(number + round)).get()
                            });
                            sum += task.wait().expect("no panic");
                        }
                        sum
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<u64>()
        });
        assert_eq!(sum.await, 4 * (49 * 50 / 2) + 50 * (1 + 2 + 3));
        assert_eq!(metrics().live_tasks, 0);
    });
}

#[test]
fn a_flood_of_spawns_is_taken_in_by_parts() {
    const SPAWNS: usize = 20_000;
    static DONE: AtomicUsize = AtomicUsize::new(0);
    run(async || {
        let handle = Handle::current();
        let flood = move || {
            for _ in 0..SPAWNS {
                drop(handle.spawn(async || DONE.fetch_add(1, Ordering::Relaxed)));
            }
        };
        // The core stands still meanwhile, so that all are sent before it looks.
        thread::spawn(flood).join().expect("no panic");
        annulus::task::yield_now().await;
        let taken = metrics().live_tasks + DONE.load(Ordering::Relaxed);
        assert!(taken <= SPAWNS / 4, "{taken} in a turn, and all else of the core waits for it");
        until(|| DONE.load(Ordering::Relaxed) == SPAWNS).await;
    });
}

#[test]
fn a_panic_is_told_to_the_thread_that_waits() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let handle = runtime.handle();
    let error = runtime.block_on(elsewhere(move || {
        handle.spawn(async || panic!("told")).wait().map(drop).expect_err("it panicked")
    }));
    assert!(matches!(error, RemoteError::Task(error) if error.is_panic()));
    assert_eq!(runtime.metrics().unhandled_panics, 0);
}

#[test]
fn what_is_sent_after_the_end_never_begins_and_is_dropped_at_once() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let handle = runtime.handle();
    drop(runtime);
    let captured = Arc::new(());
    let inside = Arc::clone(&captured);
    let task = handle.spawn(async move || drop(inside));
    assert_eq!(Arc::strong_count(&captured), 1);
    assert!(task.is_finished());
    let error = task.wait().expect_err("it is gone");
    assert!(matches!(error, RemoteError::NeverBegan));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn what_was_sent_and_had_not_begun_when_the_runtime_ended_never_does() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let handle = runtime.handle();
    let begun = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&begun);
    let task = handle.spawn(async move || inside.fetch_add(1, Ordering::SeqCst));
    drop(runtime);
    assert!(matches!(task.wait(), Err(RemoteError::NeverBegan)));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    assert_eq!(Arc::strong_count(&begun), 1, "what it captured is dropped");
}

#[test]
fn what_is_under_way_when_the_runtime_ends_is_cancelled() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let task = runtime.handle().spawn(async || pending::<()>().await);
    runtime.block_on(until(|| metrics().live_tasks == 1));
    drop(runtime);
    let error = task.wait().expect_err("it was dropped");
    assert!(matches!(error, RemoteError::Task(error) if error.is_cancelled()));
}

#[test]
fn waiting_inside_a_runtime_is_refused() {
    run(async || {
        let task = Handle::current().spawn(async || ());
        let refused = catch_unwind(AssertUnwindSafe(|| task.wait()));
        let text = refused.expect_err("it would never end");
        let text = text.downcast_ref::<&str>().expect("a text");
        assert!(text.contains("await the handle"), "{text}");
    });
}

#[test]
fn a_handle_polled_after_its_result_panics() {
    run(async || {
        let mut task = Handle::current().spawn(async || 1);
        assert_eq!((&mut task).await.expect("no panic"), 1);
        assert!(task.is_finished());
        let again = AssertUnwindSafe(|| drop(poll_flagged(&mut task)));
        assert!(catch_unwind(again).is_err(), "there is no result");
    });
}

#[test]
fn the_outcome_is_awaited_in_any_executor() {
    run(async || {
        let handle = Handle::current();
        let sum = elsewhere(move || {
            let first = futures::executor::block_on(handle.spawn(async || 1)).expect("no panic");
            let tokio = tokio::runtime::Builder::new_current_thread().build().expect("tokio");
            first + tokio.block_on(handle.call(async || 2)).expect("no panic")
        });
        assert_eq!(sum.await, 3);
    });
}

/// Row 18 of the fault table: work comes by handle from eight threads while the runtime ends and after. For wakers, see
/// `tasks`.
#[test]
fn a_runtime_ends_while_eight_threads_send_work() {
    let _leaks = LeakGuard::new();
    for _ in 0..rounds(20, 2000) {
        let builder = Builder::new().ring_entries(16, 64);
        let runtime = builder.build().expect("this machine has io_uring");
        let (dropped, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Canary(Arc<AtomicUsize>, thread::ThreadId);
        impl Drop for Canary {
            fn drop(&mut self) {
                assert_eq!(self.1, thread::current().id(), "dropped on a foreign thread");
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let start = Barrier::new(9);
        thread::scope(|scope| {
            for _ in 0..8 {
                let (handle, start) = (runtime.handle(), &start);
                let (dropped, made) = (Arc::clone(&dropped), Arc::clone(&made));
                scope.spawn(move || {
                    start.wait();
                    let mut tasks = Vec::new();
                    for number in 0..20 {
                        let (dropped, made) = (Arc::clone(&dropped), Arc::clone(&made));
                        let task = handle.spawn(async move || {
                            made.fetch_add(1, Ordering::SeqCst);
                            let canary = Canary(dropped, thread::current().id());
                            if number % 2 == 0 {
                                pending::<()>().await;
                            }
                            drop(canary);
                            number
                        });
                        match number % 3 {
                            0 => drop(task),
                            1 => task.abort(),
                            _ => tasks.push((number, task)),
                        }
                    }
                    for (number, task) in tasks {
                        match task.wait() {
                            Ok(output) => assert_eq!(output, number),
                            Err(RemoteError::NeverBegan) => {}
                            Err(RemoteError::Task(error)) => assert!(error.is_cancelled()),
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
            start.wait();
            runtime.block_on(annulus::task::yield_now());
            drop(runtime);
        });
        assert_eq!(dropped.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
    }
}

/// What each channel does, in both directions: from a plain thread to a task, and from a task to a plain thread.
const MESSAGES: u64 = 300;
const SUM: u64 = MESSAGES * (MESSAGES - 1) / 2;

#[test]
fn channels_of_tokio_join_threads_and_tasks() {
    run(async || {
        let (to_task, mut from_thread) = tokio::sync::mpsc::channel(8);
        let (to_thread, mut from_task) = tokio::sync::mpsc::channel(8);
        let (last, ended) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            for number in 0..MESSAGES {
                to_task.blocking_send(number).expect("the task is there");
            }
            drop(to_task);
            let mut sum = 0;
            while let Some(number) = from_task.blocking_recv() {
                sum += number;
            }
            last.send(sum).expect("the task is there");
        });
        let mut sum = 0;
        while let Some(number) = from_thread.recv().await {
            sum += number;
        }
        for number in 0..MESSAGES {
            to_thread.send(number).await.expect("the thread is there");
        }
        drop(to_thread);
        assert_eq!((sum, ended.await.expect("the thread is there")), (SUM, SUM));
        thread.join().expect("no panic");
    });
}

#[test]
fn a_notify_and_a_semaphore_of_tokio_wake_tasks_from_threads() {
    run(async || {
        let notify = Arc::new(tokio::sync::Notify::new());
        let permits = Arc::new(tokio::sync::Semaphore::new(0));
        let (notifier, giver) = (Arc::clone(&notify), Arc::clone(&permits));
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            notifier.notify_one();
            for _ in 0..20 {
                giver.add_permits(1);
            }
        });
        notify.notified().await;
        for _ in 0..20 {
            permits.acquire().await.expect("it is open").forget();
        }
        thread.join().expect("no panic");
    });
}

#[test]
fn flume_joins_threads_and_tasks() {
    run(async || {
        let (to_task, from_thread) = flume::bounded(8);
        let (to_thread, from_task) = flume::bounded(8);
        let thread = thread::spawn(move || {
            (0..MESSAGES).for_each(|number| to_task.send(number).expect("the task is there"));
            drop(to_task);
            from_task.iter().sum::<u64>()
        });
        let mut sum = 0;
        while let Ok(number) = from_thread.recv_async().await {
            sum += number;
        }
        for number in 0..MESSAGES {
            to_thread.send_async(number).await.expect("the thread is there");
        }
        drop(to_thread);
        assert_eq!((sum, thread.join().expect("no panic")), (SUM, SUM));
    });
}

#[test]
fn async_channel_joins_threads_and_tasks() {
    run(async || {
        let (to_task, from_thread) = async_channel::bounded(8);
        let (to_thread, from_task) = async_channel::bounded(8);
        let thread = thread::spawn(move || {
            for number in 0..MESSAGES {
                to_task.send_blocking(number).expect("the task is there");
            }
            drop(to_task);
            let mut sum = 0;
            while let Ok(number) = from_task.recv_blocking() {
                sum += number;
            }
            sum
        });
        let mut sum = 0;
        while let Ok(number) = from_thread.recv().await {
            sum += number;
        }
        for number in 0..MESSAGES {
            to_thread.send(number).await.expect("the thread is there");
        }
        drop(to_thread);
        assert_eq!((sum, thread.join().expect("no panic")), (SUM, SUM));
    });
}

#[test]
fn a_oneshot_of_futures_joins_threads_and_tasks() {
    run(async || {
        for pause_us in [0, 0, 0, 100, 1000] {
            let (to_task, from_thread) = futures::channel::oneshot::channel();
            let (to_thread, from_task) = futures::channel::oneshot::channel();
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_micros(pause_us));
                to_task.send(pause_us).expect("the task is there");
                futures::executor::block_on(from_task)
            });
            let got = from_thread.await.expect("the thread is there");
            to_thread.send(got + 1).expect("the thread is there");
            assert_eq!(thread.join().expect("no panic"), Ok(pause_us + 1));
        }
    });
}

/// The other end dies: the task is told, and not left waiting.
#[test]
fn a_thread_that_dies_closes_its_channels_of_all_crates() {
    run(async || {
        let (tokio, mut from_tokio) = tokio::sync::mpsc::channel::<u64>(1);
        let (flume, from_flume) = flume::bounded::<u64>(1);
        let (other, from_other) = async_channel::bounded::<u64>(1);
        let (one, from_one) = futures::channel::oneshot::channel::<u64>();
        let thread = thread::spawn(move || {
            let _ends = (tokio, flume, other, one);
            std::panic::resume_unwind(Box::new("dead"));
        });
        assert_eq!(from_tokio.recv().await, None);
        assert!(from_flume.recv_async().await.is_err());
        assert!(from_other.recv().await.is_err());
        assert!(from_one.await.is_err());
        assert!(thread.join().is_err());
    });
}

#[test]
fn handles_outlive_the_runtime_on_any_thread() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    // More than a runtime lends at once without an atomic count.
    let mut handles: Vec<Handle> = (0..2000).map(|_| runtime.handle()).collect();
    runtime.block_on(async { handles.extend((0..2000).map(|_| Handle::current())) });
    handles.extend(handles.clone());
    handles.truncate(7000);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let thread = thread::spawn(move || {
        for handle in &handles {
            assert!(handle.clone().spawn(async || ()).is_finished());
        }
    });
    thread.join().expect("no panic");
}
