//! The blocking pool: full, with jobs that panic, that never end, and with no thread to be had.
#![allow(unsafe_code, reason = "a limit is set by a system call")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use annulus::blocking::Pool;
use annulus::runtime::metrics;
use annulus::{Builder, Runtime, spawn, spawn_blocking};

use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, until};

/// A panic whose payload is dropped somewhere: it counts that.
struct Payload(Arc<AtomicUsize>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_job_that_panics_gives_its_panic_and_the_thread_goes_on() {
    let _leaks = LeakGuard::new();
    let unhandled = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&unhandled);
    let runtime = Builder::new()
        .blocking_threads(1)
        .on_unhandled_panic(move |error| seen.borrow_mut().push(error.to_string()))
        .build()
        .unwrap();
    runtime.block_on(async {
        let error = spawn_blocking(|| panic!("out of paper")).await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "out of paper");
        assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
        // Nobody takes this one.
        drop(spawn_blocking(|| panic!("unheard")));
        until(|| metrics().unhandled_panics == 1).await;
        assert_eq!(metrics().blocking.threads, 1);
        let dropped = Arc::<AtomicUsize>::default();
        let payload = Payload(Arc::clone(&dropped));
        let handle = spawn_blocking(move || std::panic::panic_any(payload));
        drop(handle.await.unwrap_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
    assert!(unhandled.borrow()[0].contains("unheard"), "{unhandled:?}");
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_runtime_with_a_job_that_never_ends_is_dropped_at_its_deadline() {
    let _leaks = LeakGuard::new();
    let leaked = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&leaked);
    let runtime = Builder::new()
        .blocking_threads(1)
        .shutdown_deadline(Duration::from_millis(5))
        .on_leak(move |leaked| *seen.borrow_mut() = Some(leaked.clone()))
        .build()
        .unwrap();
    let (go, told): (_, Receiver<()>) = channel();
    let (ended, end) = channel();
    let dropped = Arc::<AtomicUsize>::default();
    let payload = Payload(Arc::clone(&dropped));
    let (running, queued) = runtime.block_on(async {
        let running = spawn_blocking(move || {
            _ = told.recv();
            ended.send(()).unwrap();
        });
        until(|| metrics().blocking.running == 1).await;
        (running, spawn_blocking(move || drop(payload)))
    });
    // It returns, though the job waits for what is only dropped below.
    drop(runtime);
    let leaked = leaked.borrow_mut().take().expect("it is told");
    assert_eq!((leaked.count, leaked.blocking_jobs), (0, 1));
    assert_eq!(leaked.to_string(), "1 blocking jobs did not end in time; their threads run on");
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the queued closure is gone");
    assert!(running.is_finished() && queued.is_finished(), "both handles say so");
    drop(go);
    end.recv_timeout(PATIENCE).expect("the thread runs on");
}

#[test]
fn a_runtime_that_ends_waits_for_jobs_under_way() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let done = Arc::<AtomicUsize>::default();
    let (go, told): (_, Receiver<()>) = channel();
    runtime.block_on(async {
        let done = Arc::clone(&done);
        drop(spawn_blocking(move || {
            _ = told.recv();
            done.fetch_add(1, Ordering::SeqCst);
        }));
        // What the job waits for ends with the runtime's tasks.
        spawn(async move {
            let _go = go;
            std::future::pending::<()>().await;
        });
        until(|| metrics().blocking.running == 1).await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn where_no_thread_can_be_made_the_job_fails_and_says_why() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    // No address space holds such a stack.
    let pool = Pool::builder().stack_size(1 << 50).queue_max(1).build();
    runtime.block_on(async {
        for _ in 0..2 {
            let jobs = [(); 3].map(|()| pool.spawn(|| ()));
            for job in jobs {
                let text = *job.await.unwrap_err().into_panic().downcast::<String>().unwrap();
                assert!(text.contains("can make none"), "{text}");
            }
        }
        assert_eq!(pool.metrics().threads, 0);
    });
    assert_eq!(pool.shutdown(PATIENCE), Ok(()));
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_pool_that_can_make_no_further_thread_goes_on_with_what_it_has() {
    let child = in_child!(|| {
        let runtime = Runtime::new().unwrap();
        let pool = Pool::builder().stack_size(256 << 20).build();
        runtime.block_on(async {
            pool.spawn(|| ()).await.unwrap();
            let (go, told): (_, Receiver<()>) = channel();
            let first = pool.spawn(move || _ = told.recv());
            until(|| pool.metrics().running == 1).await;
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
            let bytes = pages * 4096 + (64 << 20);
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // SAFETY: the structure lives across the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
            let jobs = [1, 2, 3].map(|number| pool.spawn(move || number));
            assert_eq!((pool.metrics().threads, pool.metrics().queued), (1, 3));
            drop(go);
            first.await.unwrap();
            for (index, job) in jobs.into_iter().enumerate() {
                assert_eq!(job.await.unwrap(), index + 1);
            }
        });
    });
    if let Some(output) = child {
        assert_passed(&output);
    }
}
