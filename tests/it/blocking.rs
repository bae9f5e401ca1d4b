//! The pool for what blocks: the life of a job, the bounds, the threads, and the end of a runtime with work under way.
#![allow(unsafe_code, reason = "a thread is pinned by a system call")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use annulus::blocking::{LeftBehind, Pool};
use annulus::runtime::metrics;
use annulus::task::{JoinHandle, yield_now};
use annulus::time::sleep;
use annulus::{Builder, Runtime, spawn, spawn_blocking};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, run, run_with, until};
use crate::support::skip::skip;

/// What a job that waits does until the test lets it go.
fn held() -> (Sender<()>, impl FnOnce() + Send) {
    let (go, told): (_, Receiver<()>) = channel();
    (go, move || _ = told.recv())
}

/// One thread, one place in the queue.
fn narrow() -> Builder {
    Builder::new().blocking_threads(1).blocking_queue(1)
}

/// Tells that it was dropped.
struct Canary(Arc<AtomicUsize>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn until_running(jobs: usize) {
    until(|| metrics().blocking.running == jobs).await;
}

#[test]
fn a_job_runs_on_another_thread_and_gives_its_output() {
    run(async || {
        let here = std::thread::current().id();
        let there = spawn_blocking(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        assert_eq!(spawn_blocking(|| vec![1, 2]).await.unwrap(), [1, 2]);
        for number in 0..100 {
            assert_eq!(spawn_blocking(move || number).await.unwrap(), number);
        }
        // One more wherever a result was found before its thread was idle, of which a busy machine may keep some.
        assert!(metrics().blocking.threads <= 10, "threads are kept: {:?}", metrics().blocking);
    });
}

#[test]
fn a_job_whose_handle_was_dropped_is_run_and_its_output_dropped() {
    run(async || {
        let dropped = Arc::<AtomicUsize>::default();
        let canary = Canary(Arc::clone(&dropped));
        drop(spawn_blocking(move || canary));
        until(|| dropped.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn an_abort_takes_back_a_queued_job_and_has_no_effect_on_a_running_one() {
    run_with(narrow(), async || {
        let (go, wait) = held();
        let running = spawn_blocking(move || {
            wait();
            "done"
        });
        until_running(1).await;
        let dropped = Arc::<AtomicUsize>::default();
        let canary = Canary(Arc::clone(&dropped));
        let queued = spawn_blocking(move || drop(canary));
        let waiting = spawn_blocking(|| unreachable!("it is taken back"));
        assert_eq!((metrics().blocking.queued, metrics().blocking.waiting), (1, 1));
        for handle in [&queued, &waiting] {
            handle.abort();
        }
        running.abort();
        assert!(queued.await.unwrap_err().is_cancelled());
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "its closure was dropped here");
        assert_eq!((metrics().blocking.queued, metrics().blocking.waiting), (0, 0));
        assert!(!running.is_finished());
        // Once more, from another thread, and while the result is on its way.
        let abort = running.abort_handle();
        std::thread::spawn(move || abort.abort()).join().unwrap();
        yield_now().await;
        drop(go);
        until(|| metrics().blocking.running == 0).await;
        running.abort();
        assert_eq!(running.await.unwrap(), "done");
    });
}

#[test]
fn jobs_beyond_the_queue_wait_on_their_core_in_order() {
    run_with(narrow(), async || {
        let (go, wait) = held();
        let first = spawn_blocking(wait);
        until_running(1).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let jobs: Vec<JoinHandle<()>> = (0..50)
            .map(|number| {
                let order = Arc::clone(&order);
                spawn_blocking(move || order.lock().unwrap().push(number))
            })
            .collect();
        assert_eq!((metrics().blocking.queued, metrics().blocking.waiting), (1, 49));
        // Nothing spins meanwhile: the loop sleeps, and turns only for the timers.
        sleep(Duration::from_millis(1)).await;
        let enters = metrics().enters;
        for _ in 0..10 {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(metrics().enters - enters < 50, "{} calls", metrics().enters - enters);
        drop(go);
        first.await.unwrap();
        for job in jobs {
            job.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(metrics().blocking.threads, 1);
    });
}

#[test]
fn threads_are_made_on_demand_up_to_the_bound_and_end_when_idle() {
    let pool = Pool::builder().threads_max(3).idle_timeout(Duration::from_millis(1)).build();
    run(async || {
        assert_eq!(pool.metrics().threads, 0);
        let held: Vec<_> = (0..5).map(|_| held()).collect();
        let (go, jobs): (Vec<_>, Vec<_>) =
            held.into_iter().map(|(go, wait)| (go, pool.spawn(wait))).unzip();
        until(|| pool.metrics().running == 3).await;
        assert_eq!((pool.metrics().threads, pool.metrics().queued), (3, 2));
        drop(go);
        for job in jobs {
            job.await.unwrap();
        }
        until(|| pool.metrics().threads == 0).await;
        assert_eq!(pool.spawn(|| 5).await.unwrap(), 5, "a thread is made again");
    });
    assert_eq!(pool.shutdown(PATIENCE), Ok(()));
}

/// A line of `/proc/thread-self/status`.
fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/thread-self/status").expect("read it");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.expect("the line is there").to_owned()
}

/// Pins this thread to the first processor that it may use.
fn pin_to_one() {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the sets live across the calls, and the indices are below their size.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size, &raw mut allowed), 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &allowed));
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(first.expect("one is allowed"), &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &raw const one), 0);
    }
}

#[test]
fn threads_are_named_deaf_to_signals_and_free_of_the_core_s_pinning() {
    if !std::path::Path::new("/proc/thread-self/status").exists() {
        skip!("/proc is not mounted");
    }
    let wide = status("Cpus_allowed_list");
    let signals = status("SigBlk");
    let pool = Pool::builder().name("named").build();
    let runtime = Builder::new().blocking_pool(&pool);
    run_with(runtime, async || {
        pin_to_one();
        let found = spawn_blocking(|| {
            let name = std::thread::current().name().map(str::to_owned);
            (name, status("Name"), status("SigBlk"), status("Cpus_allowed_list"))
        });
        let (name, comm, blocked, cpus) = found.await.unwrap();
        assert_eq!((name.as_deref(), comm.as_str()), (Some("named-0"), "named-0"));
        let blocked = u64::from_str_radix(&blocked, 16).unwrap();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGALRM] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "signal {signal}");
        }
        assert_eq!(blocked & (1 << (libc::SIGSEGV - 1)), 0, "an overflow of the stack is told");
        assert_eq!(cpus, wide, "of the maker of the pool");
        assert_eq!(status("SigBlk"), signals, "the mask here is what it was");
    });
}

#[test]
fn a_long_computation_does_not_stop_the_loop() {
    run(async || {
        let (turns, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, ended) = (Arc::clone(&turns), Arc::clone(&over));
        // It goes on until the loop has turned a hundred times meanwhile, with a timer and a task each time.
        let computing = spawn_blocking(move || {
            let mut sum = 0u64;
            while counted.load(Ordering::Relaxed) < 100 {
                sum = sum.wrapping_mul(31).wrapping_add(7);
            }
            ended.store(true, Ordering::Relaxed);
            sum
        });
        while !over.load(Ordering::Relaxed) {
            sleep(Duration::from_micros(10)).await;
            spawn(async {}).await.unwrap();
            turns.fetch_add(1, Ordering::Relaxed);
        }
        assert!(turns.load(Ordering::Relaxed) >= 100);
        computing.await.unwrap();
    });
}

#[test]
fn runtimes_on_two_threads_share_a_pool() {
    let _leaks = LeakGuard::new();
    let pool = Pool::builder().threads_max(1).build();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let runtime = Builder::new().blocking_pool(&pool).build().unwrap();
                runtime.block_on(async {
                    let jobs: Vec<_> =
                        (0..100).map(|_| spawn_blocking(|| std::thread::current().id())).collect();
                    let mut ids = Vec::new();
                    for job in jobs {
                        ids.push(job.await.unwrap());
                    }
                    ids
                })
            })
        })
        .collect();
    let mut ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(ids.len(), 200);
    ids.dedup();
    assert_eq!(ids.len(), 1, "one thread did it all");
    assert_eq!(pool.metrics().threads, 1, "the pool outlives the runtimes");
    assert_eq!(pool.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_shared_pool_is_not_waited_for_and_its_queued_jobs_are_taken_back() {
    let _leaks = LeakGuard::new();
    let pool = Pool::builder().threads_max(1).build();
    let runtime = Builder::new().blocking_pool(&pool).build().unwrap();
    let (go, wait) = held();
    let (running, queued) = runtime.block_on(async {
        let running = spawn_blocking(wait);
        until_running(1).await;
        (running, spawn_blocking(|| unreachable!("it is taken back")))
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let metrics = pool.metrics();
    assert_eq!((metrics.running, metrics.queued), (1, 0));
    assert!(running.is_finished() && queued.is_finished());
    assert_eq!(pool.clone().shutdown(Duration::ZERO).unwrap_err().jobs, 1);
    drop(go);
    assert_eq!(pool.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_pool_whose_last_handle_goes_cancels_what_is_queued() {
    run(async || {
        let pool = Pool::builder().threads_max(1).queue_max(1).build();
        let (go, wait) = held();
        let running = pool.spawn(wait);
        until(|| pool.metrics().running == 1).await;
        let waiting = [pool.spawn(|| ()), pool.spawn(|| ())];
        drop(pool);
        for handle in waiting {
            assert!(handle.await.unwrap_err().is_cancelled());
        }
        drop(go);
        running.await.unwrap();
    });
}

#[test]
fn a_job_spawned_while_the_runtime_ends_is_not_run() {
    struct Spawns(Rc<Cell<bool>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let handle = spawn_blocking(|| unreachable!("the runtime ends"));
            self.0.set(handle.is_finished());
        }
    }
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let seen = Rc::<Cell<bool>>::default();
    let spawns = Spawns(Rc::clone(&seen));
    runtime.block_on(async {
        spawn(async move {
            let _spawns = spawns;
            std::future::pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert!(seen.get());
}

#[test]
fn many_jobs_of_many_tasks_all_come_back() {
    run_with(Builder::new().blocking_threads(4).blocking_queue(8), async || {
        let tasks: Vec<_> = (0..20u64)
            .map(|task| {
                spawn(async move {
                    let mut sum = 0;
                    for number in 0..20 {
                        sum += spawn_blocking(move || task * number).await.unwrap();
                        // Some are let go of, some taken back if nobody has begun with them.
                        let handle = spawn_blocking(move || number);
                        if number % 3 == 0 {
                            handle.abort();
                        }
                    }
                    sum
                })
            })
            .collect();
        for (task, handle) in tasks.into_iter().enumerate() {
            assert_eq!(handle.await.unwrap(), task as u64 * 190);
        }
        // A thread is done with a job a moment after its result is there.
        until(|| metrics().live_tasks == 0 && metrics().blocking.running == 0).await;
    });
}

#[test]
fn a_shutdown_waits_for_jobs_no_longer_than_its_deadline() {
    let _leaks = LeakGuard::new();
    let pool = Pool::new();
    let runtime = Runtime::new().unwrap();
    let (go, wait) = held();
    runtime.block_on(async {
        drop(pool.spawn(wait));
        until(|| pool.metrics().running == 1).await;
    });
    let start = Instant::now();
    let left: LeftBehind = pool.clone().shutdown(Duration::from_millis(5)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(5));
    assert_eq!(left.to_string(), "1 blocking jobs did not end in time; their threads run on");
    drop(go);
    assert_eq!(pool.shutdown(PATIENCE), Ok(()));
}
