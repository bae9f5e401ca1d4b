//! The tools of `annulus::sync` on a runtime: timeouts, aborts and hogs, and work that goes through several of them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use annulus::sync::{
    Barrier, Condvar, Event, Mutex, Notify, OnceCell, Queue, RwLock, Semaphore, broadcast, mpsc,
    oneshot, watch,
};
use annulus::task::yield_now;
use annulus::time::{sleep, timeout};
use annulus::{Runtime, spawn};

use crate::support::settled::{joined, run};

const SOON: Duration = Duration::from_millis(1);

/// A task that is aborted while it holds a lock gives it back.
#[test]
fn a_lock_of_an_aborted_task_is_free_again() {
    run(async || {
        let mutex = Rc::new(Mutex::new(0));
        let held = Rc::clone(&mutex);
        let holder = spawn(async move {
            let mut guard = held.lock().await;
            *guard = 1;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        assert!(timeout(SOON, mutex.lock()).await.is_err(), "it is held");
        holder.abort();
        assert_eq!(*mutex.lock().await, 1, "no poison: as it was left");
        assert!(holder.await.expect_err("aborted").is_cancelled());
    });
}

/// Whatever is given up for want of time is the next one's.
#[test]
fn timeouts_lose_no_permit_no_message_and_no_wake_up() {
    run(async || {
        let permits = Rc::new(Semaphore::new(0));
        let notify = Notify::new();
        let (sender, mut receiver) = mpsc::channel(1);
        for number in 0..20 {
            let pause = Duration::from_micros(number * 20);
            let (theirs, sender) = (Rc::clone(&permits), sender.clone());
            let task = spawn(async move {
                sleep(Duration::from_micros(200)).await;
                theirs.add_permits(1);
                sender.send(number).await.expect("the receiver is there");
            });
            if let Ok(permit) = timeout(pause, permits.acquire()).await {
                permit.expect("open").forget();
            } else {
                permits.acquire().await.expect("open").forget();
            }
            let received = match timeout(pause, receiver.recv()).await {
                Ok(received) => received,
                Err(_) => receiver.recv().await,
            };
            assert_eq!(received, Some(number));
            notify.notify_one();
            if timeout(pause, notify.notified()).await.is_err() {
                notify.notified().await;
            }
            task.await.expect("the task ended well");
        }
        assert_eq!(permits.available_permits(), 0);
    });
}

/// A task whose channel is always ready lets others run.
#[test]
fn a_hog_yields() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(4);
        let stop = Rc::new(Cell::new(false));
        let stopped = Rc::clone(&stop);
        let hog = spawn(async move {
            let mut rounds = 0_u64;
            while !stopped.get() {
                sender.send(rounds).await.expect("we receive");
                assert_eq!(receiver.recv().await, Some(rounds));
                rounds += 1;
            }
            rounds
        });
        let locks = (Rc::new(Mutex::new(())), Rc::clone(&stop));
        let other = spawn(async move {
            while !locks.1.get() {
                drop(locks.0.lock().await);
            }
        });
        sleep(SOON).await;
        stop.set(true);
        assert!(hog.await.expect("it ended well") > 0);
        other.await.expect("it ended well");
    });
}

/// Workers take jobs from a queue under a limit, report through channels, and meet at a barrier.
#[test]
fn work_goes_through_all_of_them() {
    const WORKERS: usize = 4;
    const JOBS: u64 = 100;
    run(async || {
        let jobs = Rc::new(Queue::bounded(3));
        let limit = Rc::new(Semaphore::bounded(2));
        let meeting = Rc::new(Barrier::new(WORKERS));
        let start = Rc::new(Event::new());
        let seen = Rc::new(RwLock::new(Vec::new()));
        let settings = Rc::new(OnceCell::new());
        let (results, mut sums) = mpsc::unbounded_channel();
        let (news, mut headlines) = broadcast::channel(16);
        let (progress, mut watched) = watch::channel(0_u64);
        let progress = Rc::new(progress);
        let worker = |_| {
            let (jobs, limit, meeting) = (Rc::clone(&jobs), Rc::clone(&limit), Rc::clone(&meeting));
            let (start, seen, settings) =
                (Rc::clone(&start), Rc::clone(&seen), Rc::clone(&settings));
            let (results, news, progress) = (results.clone(), news.clone(), Rc::clone(&progress));
            spawn(async move {
                start.wait().await;
                let read_settings = async || {
                    sleep(SOON).await;
                    2
                };
                let factor = *settings.get_or_init(read_settings).await;
                let mut sum = 0;
                while let Ok(job) = jobs.get().await {
                    let _permit = limit.acquire().await.expect("open");
                    yield_now().await;
                    seen.write().await.push(job);
                    progress.send_modify(|done| *done += 1);
                    sum += job * factor;
                    jobs.task_done();
                }
                results.send(sum).expect("somebody adds up");
                if meeting.wait().await.expect("not broken").is_leader() {
                    news.send("done").expect("somebody listens");
                }
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        start.set();
        for job in 0..JOBS {
            jobs.put(job).await.expect("open");
        }
        jobs.join().await;
        assert!(watched.wait_for(|done| *done == JOBS).await.is_ok());
        jobs.shutdown(false);
        joined(workers).await;
        drop(results);
        let mut total = 0;
        while let Some(sum) = sums.recv().await {
            total += sum;
        }
        assert_eq!((total, seen.read().await.len() as u64), (JOBS * (JOBS - 1), JOBS));
        assert_eq!(headlines.recv().await, Ok("done"));
        assert_eq!(limit.available_permits(), 2);
    });
}

/// A condition variable hands a value from task to task.
#[test]
fn tasks_take_turns_by_a_condvar() {
    run(async || {
        let turn = Rc::new((Mutex::new(0), Condvar::new()));
        let player = |me: usize| {
            let turn = Rc::clone(&turn);
            spawn(async move {
                for round in 0..10 {
                    let mine = move |turn: &mut usize| *turn == round * 3 + me;
                    let mut guard = turn.1.wait_for(turn.0.lock().await, mine).await;
                    *guard += 1;
                    turn.1.notify_all();
                }
            })
        };
        joined((0..3).map(player).collect()).await;
        assert_eq!(*turn.0.lock().await, 30);
    });
}

/// What a runtime's tasks waited for can be used after its end, and by the next.
#[test]
fn the_tools_outlive_a_runtime() {
    let mutex = Rc::new(Mutex::new(0));
    let (sender, receiver) = oneshot::channel::<i32>();
    let guard = Rc::clone(&mutex).try_lock_owned().expect("free");
    let runtime = Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        let waiting = Rc::clone(&mutex);
        drop(spawn(async move {
            let _guard = waiting.lock().await;
            unreachable!("the lock is held until the runtime is gone");
        }));
        drop(spawn(async move { receiver.await.map(drop) }));
        yield_now().await;
    });
    drop(runtime);
    drop(guard);
    assert_eq!(sender.send(1), Err(1), "the receiver went with its task");
    assert!(run(async || timeout(SOON, mutex.lock()).await.is_ok()));
}
