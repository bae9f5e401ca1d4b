//! The cells with the tools of annulus.

use std::hint::black_box;
use std::rc::Rc;

use annulus::spawn;
use annulus::sync::{Mutex, Notify, RwLock, Semaphore, mpsc, oneshot};

use super::{CAPACITY, Run, Sample, Stopwatch, alone_on_annulus, on_annulus, repeat};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("mutex", |operations| alone_on_annulus(mutex(operations))),
    ("rwlock_read", |operations| alone_on_annulus(rwlock_read(operations))),
    ("rwlock_write", |operations| alone_on_annulus(rwlock_write(operations))),
    ("semaphore", |operations| alone_on_annulus(semaphore(operations))),
    ("channel_self", |operations| alone_on_annulus(channel_self(operations))),
    ("channel_two", |operations| on_annulus(channel_two(operations))),
    ("oneshot", |operations| alone_on_annulus(one_value(operations))),
    ("notify_self", |operations| alone_on_annulus(notify_self(operations))),
    ("notify_pingpong", |operations| on_annulus(notify_pingpong(operations))),
];

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
    let sending = spawn(async move {
        for number in 0..operations {
            sender.send(number).await.ok();
        }
    });
    let receiving = spawn(async move {
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
        spawn(async move {
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
