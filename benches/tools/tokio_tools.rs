//! The cells with the tools of tokio, on its current-thread runtime with a `LocalSet`.

use std::hint::black_box;
use std::rc::Rc;

use tokio::sync::{Mutex, Notify, RwLock, Semaphore, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local, unconstrained};

use super::{CAPACITY, Run, Sample, Stopwatch, repeat};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("mutex", |operations| alone(mutex(operations))),
    ("rwlock_read", |operations| alone(rwlock_read(operations))),
    ("rwlock_write", |operations| alone(rwlock_write(operations))),
    ("semaphore", |operations| alone(semaphore(operations))),
    ("channel_self", |operations| alone(channel_self(operations))),
    ("channel_two", |operations| block_on(channel_two(operations))),
    ("oneshot", |operations| alone(one_value(operations))),
    ("notify_self", |operations| alone(notify_self(operations))),
    ("notify_pingpong", |operations| block_on(notify_pingpong(operations))),
];

/// Without the budget: a task that yields now and then would count too.
fn alone(cell: impl Future<Output = Sample>) -> Sample {
    block_on(unconstrained(cell))
}

fn block_on(cell: impl Future<Output = Sample>) -> Sample {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => LocalSet::new().block_on(&runtime, cell),
        Err(error) => panic!("tokio did not start: {error}"),
    }
}

async fn mutex(operations: u64) -> Sample {
    let mutex = &*black_box(Box::new(Mutex::new(0)));
    repeat!(operations, drop(mutex.lock().await))
}

async fn rwlock_read(operations: u64) -> Sample {
    let lock = &*black_box(Box::new(RwLock::new(0)));
    repeat!(operations, drop(lock.read().await))
}

async fn rwlock_write(operations: u64) -> Sample {
    let lock = &*black_box(Box::new(RwLock::new(0)));
    repeat!(operations, drop(lock.write().await))
}

async fn semaphore(operations: u64) -> Sample {
    let semaphore = &*black_box(Box::new(Semaphore::new(3)));
    repeat!(operations, drop(semaphore.acquire().await))
}

async fn channel_self(operations: u64) -> Sample {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let watch = Stopwatch::start();
    for number in 0..operations {
        sender.send(number).await.ok();
        black_box(receiver.recv().await);
    }
    watch.stop(operations)
}

async fn channel_two(operations: u64) -> Sample {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let watch = Stopwatch::start();
    let sending = spawn_local(async move {
        for number in 0..operations {
            sender.send(number).await.ok();
        }
    });
    let receiving = spawn_local(async move {
        while let Some(number) = receiver.recv().await {
            black_box(number);
        }
    });
    sending.await.ok();
    receiving.await.ok();
    watch.stop(operations)
}

async fn one_value(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    for number in 0..operations {
        let (sender, receiver) = oneshot::channel();
        sender.send(number).ok();
        black_box(receiver.await.ok());
    }
    watch.stop(operations)
}

async fn notify_self(operations: u64) -> Sample {
    let notify = Notify::new();
    let watch = Stopwatch::start();
    for _ in 0..operations {
        notify.notify_one();
        notify.notified().await;
    }
    watch.stop(operations)
}

async fn notify_pingpong(operations: u64) -> Sample {
    let pair = Rc::new([Notify::new(), Notify::new()]);
    let watch = Stopwatch::start();
    let players = [0, 1].map(|me| {
        let pair = Rc::clone(&pair);
        spawn_local(async move {
            for _ in 0..operations / 2 {
                pair[me].notified().await;
                pair[1 - me].notify_one();
            }
        })
    });
    pair[0].notify_one();
    for player in players {
        player.await.ok();
    }
    watch.stop(operations)
}
