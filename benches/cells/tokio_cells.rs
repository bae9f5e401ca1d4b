//! The cells on tokio: its current-thread runtime with a `LocalSet`, its closest thing to a thread per core.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tokio::task::{JoinSet, LocalSet, spawn_local, unconstrained};
use tokio::time::sleep;

use super::futures::{Table, play, wake_self};
use super::{Run, Sample, Stopwatch, lateness, sleep_of};
use crate::memory::process::Memory;

pub(super) static CELLS: &[(&str, Run)] = &[
    ("spawn_batch_1k", |operations| block_on(spawn_batch(operations))),
    ("join_set_1k", |operations| block_on(join_set(operations))),
    ("spawn_one", |operations| block_on(spawn_one(operations))),
    ("switch2", |operations| block_on(switch(operations))),
    ("wake_pingpong", |operations| block_on(pingpong(operations))),
    ("timer_create_cancel", |operations| block_on(timer_create_cancel(operations))),
    ("timer_reset", |operations| block_on(timer_reset(operations))),
    ("timer_fire_1k", |operations| block_on(timer_fire(operations))),
    ("idle_task_bytes", |operations| block_on(idle_tasks(operations))),
];

fn block_on(cell: impl Future<Output = Sample>) -> Sample {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => LocalSet::new().block_on(&runtime, cell),
        Err(error) => panic!("tokio did not start: {error}"),
    }
}

async fn spawn_batch(operations: u64) -> Sample {
    let mut handles = Vec::with_capacity(1000);
    let watch = Stopwatch::start();
    for _ in 0..operations / 1000 {
        handles.extend((0..1000).map(|_| spawn_local(async {})));
        for handle in handles.drain(..) {
            handle.await.ok();
        }
    }
    watch.stop(operations)
}

async fn join_set(operations: u64) -> Sample {
    let mut set = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..operations / 1000 {
        (0..1000).for_each(|_| drop(set.spawn_local(async {})));
        while set.join_next().await.is_some() {}
    }
    watch.stop(operations)
}

async fn spawn_one(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    for _ in 0..operations {
        spawn_local(async {}).await.ok();
    }
    watch.stop(operations)
}

async fn switch(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    let tasks = [0, 1].map(|_| spawn_local(wake_self(operations / 2)));
    for task in tasks {
        task.await.ok();
    }
    watch.stop(operations)
}

async fn pingpong(operations: u64) -> Sample {
    let table = Rc::new(Table::default());
    let watch = Stopwatch::start();
    let players = [1, 0].map(|me| spawn_local(play(Rc::clone(&table), me, operations / 2)));
    for player in players {
        player.await.ok();
    }
    watch.stop(operations)
}

async fn timer_create_cancel(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    // Unconstrained, because a sleep polled beyond the budget is not registered at all.
    unconstrained(poll_fn(|context| {
        for index in 0..operations {
            let sleep = pin!(sleep(sleep_of(index)));
            assert!(sleep.poll(context).is_pending(), "a sleep of a millisecond or more");
        }
        Poll::Ready(())
    }))
    .await;
    watch.stop(operations)
}

async fn timer_reset(operations: u64) -> Sample {
    let mut sleep = pin!(sleep(sleep_of(0)));
    let watch = Stopwatch::start();
    unconstrained(poll_fn(|context| {
        for index in 0..operations {
            sleep.as_mut().reset(tokio::time::Instant::now() + sleep_of(index));
            assert!(sleep.as_mut().poll(context).is_pending(), "a sleep of a millisecond or more");
        }
        Poll::Ready(())
    }))
    .await;
    watch.stop(operations)
}

async fn timer_fire(operations: u64) -> Sample {
    let late_ns = Rc::new(RefCell::new(Vec::with_capacity(operations as usize)));
    let watch = Stopwatch::start();
    let sleeper = |index| {
        let late_ns = Rc::clone(&late_ns);
        spawn_local(async move {
            let due = Instant::now() + sleep_of(index);
            sleep(sleep_of(index)).await;
            late_ns.borrow_mut().push(due.elapsed().as_nanos() as u64);
        })
    };
    let sleepers: Vec<_> = (0..operations).map(sleeper).collect();
    for sleeper in sleepers {
        sleeper.await.ok();
    }
    let sample = watch.stop(operations);
    Sample { extras: lateness(&late_ns.borrow()), ..sample }
}

async fn idle_tasks(operations: u64) -> Sample {
    let mut handles = Vec::with_capacity(operations as usize);
    let before = Memory::now();
    let watch = Stopwatch::start();
    handles.extend((0..operations).map(|_| spawn_local(pending::<()>())));
    // Each is polled once before it counts as idle.
    for _ in 0..operations / 16 {
        tokio::task::yield_now().await;
    }
    let sample = watch.stop(operations);
    Sample { extras: Memory::now().growth(before, operations), ..sample }
}
