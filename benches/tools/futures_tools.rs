//! The cells with the tools of `futures`, on annulus.

use std::hint::black_box;

use annulus::spawn;
use futures::channel::{mpsc, oneshot};
use futures::lock::Mutex;
use futures::{SinkExt, StreamExt};

use super::{CAPACITY, Run, Sample, Stopwatch, alone_on_annulus, on_annulus, repeat};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("mutex", |operations| alone_on_annulus(mutex(operations))),
    ("channel_self", |operations| alone_on_annulus(channel_self(operations))),
    ("channel_two", |operations| on_annulus(channel_two(operations))),
    ("oneshot", |operations| alone_on_annulus(one_value(operations))),
];

async fn mutex(operations: u64) -> Sample {
    let mutex = &*black_box(Box::new(Mutex::new(0)));
    repeat!(operations, drop(mutex.lock().await))
}

async fn channel_self(operations: u64) -> Sample {
    let (mut sender, mut receiver) = mpsc::channel(CAPACITY);
    let watch = Stopwatch::start();
    for number in 0..operations {
        sender.feed(number).await.ok();
        black_box(receiver.next().await);
    }
    watch.stop(operations)
}

async fn channel_two(operations: u64) -> Sample {
    let (mut sender, mut receiver) = mpsc::channel(CAPACITY);
    let watch = Stopwatch::start();
    let sending = spawn(async move {
        for number in 0..operations {
            sender.feed(number).await.ok();
        }
    });
    let receiving = spawn(async move {
        while let Some(number) = receiver.next().await {
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
