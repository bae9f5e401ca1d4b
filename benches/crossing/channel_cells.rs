//! The cells of channels between two cores: one sends numbers, the other adds them up.
//!
//! rtrb, whose ends do not wait, spins. `annulus` has the defaults, by which cores with busy channels look for work
//! for 50 us before they sleep, `annulus-spin` looks before every sleep, and `annulus-sleep` never. `flume` and
//! `async-channel` run on annulus with the defaults, so that only the channel differs.

use std::future::Future;
use std::hint::spin_loop;
use std::thread;
use std::time::Duration;

use annulus::channel::{mpsc, spsc};
use annulus::{Builder, Runtime};

use super::{Run, Sample, Stopwatch, pin};

const CAPACITY: usize = 1024;
const BATCH: usize = 64;

pub(super) static RTRB: &[(&str, Run)] = &[("spsc", rtrb_one), ("spsc_64", rtrb_batches)];
pub(super) static FLUME: &[(&str, Run)] = &[("spsc", flume), ("mpsc", flume)];
pub(super) static ASYNC_CHANNEL: &[(&str, Run)] =
    &[("spsc", async_channel), ("mpsc", async_channel)];

pub(super) static ANNULUS_SPINNING: &[(&str, Run)] = &[
    ("spsc", |operations| annulus_spsc(operations, spinning)),
    ("spsc_64", |operations| annulus_spsc_64(operations, spinning)),
    ("mpsc", |operations| annulus_mpsc(operations, spinning)),
];
pub(super) static ANNULUS_SLEEPING: &[(&str, Run)] = &[
    ("spsc", |operations| annulus_spsc(operations, sleeping)),
    ("spsc_64", |operations| annulus_spsc_64(operations, sleeping)),
    ("mpsc", |operations| annulus_mpsc(operations, sleeping)),
];
/// Longer than it takes to wake the other core.
const SPIN: Duration = Duration::from_micros(50);

/// Sends on one processor and receives on the other; the time is that of the receiver, from before the first number.
fn cross(
    operations: u64,
    send: impl FnOnce() + Send,
    receive: impl FnOnce() -> u64 + Send,
) -> Sample {
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            send();
        });
        // On a thread of its own: this one's mask is that of the cells that come after.
        let receiving = scope.spawn(|| {
            pin(0);
            let watch = Stopwatch::start();
            let sum = receive();
            let sample = watch.stop(operations);
            assert_eq!(sum, operations * (operations - 1) / 2, "each number came once");
            sample
        });
        receiving.join().expect("no panic")
    })
}

/// The settings of both cores.
type Settings = fn() -> Builder;

fn spinning() -> Builder {
    Runtime::builder().spin(SPIN)
}

fn sleeping() -> Builder {
    Runtime::builder().channel_spin(Duration::ZERO)
}

fn on_annulus<T>(settings: Settings, future: impl Future<Output = T>) -> T {
    match settings().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("annulus did not start: {error}"),
    }
}

fn on_tokio<T>(future: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("tokio did not start: {error}"),
    }
}

/// The numbers of each batch.
fn batches(operations: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..operations).step_by(BATCH).map(move |start| start..operations.min(start + BATCH as u64))
}

fn rtrb_one(operations: u64) -> Sample {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    let send = move || {
        for number in 0..operations {
            while producer.push(number).is_err() {
                spin_loop();
            }
        }
    };
    cross(operations, send, || {
        let (mut sum, mut received) = (0, 0);
        while received < operations {
            match consumer.pop() {
                Ok(number) => (sum, received) = (sum + number, received + 1),
                Err(_) => spin_loop(),
            }
        }
        sum
    })
}

fn rtrb_batches(operations: u64) -> Sample {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    let send = move || {
        for mut batch in batches(operations) {
            while !batch.is_empty() {
                let room = producer.slots().min((batch.end - batch.start) as usize);
                match producer.write_chunk_uninit(room) {
                    Ok(chunk) if room > 0 => _ = chunk.fill_from_iter(&mut batch),
                    _ => spin_loop(),
                }
            }
        }
    };
    cross(operations, send, || {
        let (mut sum, mut received) = (0, 0);
        while received < operations {
            let count = consumer.slots().min(BATCH);
            match consumer.read_chunk(count) {
                Ok(chunk) if count > 0 => {
                    sum += chunk.into_iter().sum::<u64>();
                    received += count as u64;
                }
                _ => spin_loop(),
            }
        }
        sum
    })
}

pub(super) fn annulus_spsc_plain(operations: u64) -> Sample {
    let (mut sender, mut receiver) = spsc::channel(CAPACITY);
    let send = move || {
        for number in 0..operations {
            sender.blocking_send(number).expect("it receives");
        }
    };
    cross(operations, send, || {
        let mut sum = 0;
        while let Some(number) = receiver.blocking_recv() {
            sum += number;
        }
        sum
    })
}

pub(super) fn annulus_fed(operations: u64) -> Sample {
    let (mut sender, mut receiver) = spsc::channel(CAPACITY);
    let send = move || {
        for number in 0..operations {
            sender.blocking_send(number).expect("it receives");
        }
    };
    let receive = async {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    };
    cross(operations, send, || on_annulus(Runtime::builder, receive))
}

pub(super) fn tokio_fed(operations: u64) -> Sample {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
    let send = move || {
        for number in 0..operations {
            sender.blocking_send(number).expect("it receives");
        }
    };
    let receive = async {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    };
    cross(operations, send, || on_tokio(receive))
}

pub(super) fn annulus_spsc_64(operations: u64, settings: Settings) -> Sample {
    let (mut sender, mut receiver) = spsc::channel(CAPACITY);
    let send = async move {
        for batch in batches(operations) {
            let count = (batch.end - batch.start) as usize;
            let mut numbers = (0..count).map(|at| batch.start + at as u64);
            sender.send_many(&mut numbers).await.expect("it receives");
        }
    };
    let receive = async {
        let (mut sum, mut batch) = (0, Vec::with_capacity(BATCH));
        while receiver.recv_many(&mut batch, BATCH).await > 0 {
            sum += batch.drain(..).sum::<u64>();
        }
        sum
    };
    cross(operations, || on_annulus(settings, send), || on_annulus(settings, receive))
}

pub(super) fn tokio_mpsc_64(operations: u64) -> Sample {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
    let send = async move {
        for batch in batches(operations) {
            let count = (batch.end - batch.start) as usize;
            let permits = sender.reserve_many(count).await.expect("it receives");
            permits.zip(batch).for_each(|(permit, number)| permit.send(number));
        }
    };
    let receive = async {
        let (mut sum, mut batch) = (0, Vec::with_capacity(BATCH));
        while receiver.recv_many(&mut batch, BATCH).await > 0 {
            sum += batch.drain(..).sum::<u64>();
        }
        sum
    };
    cross(operations, || on_tokio(send), || on_tokio(receive))
}

/// Sends numbers one by one through a channel, by its own names for that, and runs each end by `$run`.
macro_rules! one_by_one {
    ($operations:ident, $channel:expr, $send:ident, $recv:ident, $some:ident, $run:expr) => {{
        #[allow(unused_mut, reason = "some ends are shared, and some are not")]
        let (mut sender, mut receiver) = $channel;
        let send = async move {
            for number in 0..$operations {
                sender.$send(number).await.expect("it receives");
            }
        };
        let receive = async {
            let mut sum = 0;
            while let $some(number) = receiver.$recv().await {
                sum += number;
            }
            sum
        };
        cross($operations, || $run(send), || $run(receive))
    }};
}

pub(super) fn annulus_spsc(operations: u64, settings: Settings) -> Sample {
    one_by_one!(operations, spsc::channel(CAPACITY), send, recv, Some, |future| on_annulus(
        settings, future
    ))
}

pub(super) fn annulus_mpsc(operations: u64, settings: Settings) -> Sample {
    one_by_one!(operations, mpsc::channel(CAPACITY), send, recv, Some, |future| on_annulus(
        settings, future
    ))
}

pub(super) fn tokio_mpsc(operations: u64) -> Sample {
    let channel = tokio::sync::mpsc::channel(CAPACITY);
    one_by_one!(operations, channel, send, recv, Some, on_tokio)
}

fn flume(operations: u64) -> Sample {
    let channel = flume::bounded(CAPACITY);
    one_by_one!(operations, channel, send_async, recv_async, Ok, |future| on_annulus(
        Runtime::builder,
        future
    ))
}

fn async_channel(operations: u64) -> Sample {
    let channel = async_channel::bounded(CAPACITY);
    one_by_one!(operations, channel, send, recv, Ok, |future| on_annulus(Runtime::builder, future))
}
