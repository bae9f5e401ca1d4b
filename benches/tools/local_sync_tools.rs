//! The cells with the tools of `local-sync`, on annulus.

use std::hint::black_box;

use annulus::spawn;
use local_sync::mpsc::bounded;
use local_sync::oneshot;
use local_sync::semaphore::Semaphore;

use super::{CAPACITY, Run, Sample, Stopwatch, alone_on_annulus, on_annulus, repeat};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("semaphore", |operations| alone_on_annulus(semaphore(operations))),
    ("channel_self", |operations| alone_on_annulus(channel_self(operations))),
    ("channel_two", |operations| on_annulus(channel_two(operations))),
    ("oneshot", |operations| alone_on_annulus(one_value(operations))),
];

async fn semaphore(operations: u64) -> Sample {
    let semaphore = &*black_box(Box::new(Semaphore::new(3)));
    repeat!(operations, drop(semaphore.acquire().await))
}

async fn channel_self(operations: u64) -> Sample {
    let (sender, mut receiver) = bounded::channel(CAPACITY);
    let watch = Stopwatch::start();
    for number in 0..operations {
        sender.send(number).await.ok();
        black_box(receiver.recv().await);
    }
    watch.stop(operations)
}

async fn channel_two(operations: u64) -> Sample {
    let (sender, mut receiver) = bounded::channel(CAPACITY);
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
