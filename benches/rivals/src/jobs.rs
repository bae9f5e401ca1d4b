//! The workloads without a load generator and without a disk, the same code for every runtime.
//!
//! Each is measured inside a running runtime on a processor of its own; those between cores have a second one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::contest::{Sample, Stopwatch};
use crate::futures::{Table, play};
use crate::game::Game;
use crate::load::histogram;
use crate::rival::{Cross, Job, Runtime, Tools};
use crate::support::cpu;

/// The bound of the channels in one thread, and of those between two.
const LOCAL_CAPACITY: usize = 128;
const CROSS_CAPACITY: usize = 1024;

/// The jobs of a runtime, by the traits that it has.
pub(crate) struct Jobs<R>(PhantomData<R>);

impl<R: Runtime> Jobs<R> {
    pub(crate) const TASKS: &'static [(&'static str, Job)] = &[
        ("spawn", |operations| R::block_on(spawn::<R>(operations))),
        ("switch", |operations| R::block_on(switch::<R>(operations))),
    ];
    pub(crate) const TIMERS: &'static [(&'static str, Job)] = &[
        ("timer-cancel", |operations| R::block_on(R::unconstrained(timer_cancel::<R>(operations)))),
        ("timer-1k", |operations| R::block_on(timer_fire::<R>(operations))),
    ];
    pub(crate) const WAKES: &'static [(&'static str, Job)] = &[("cross-wake", cross_wake::<R>)];
}

impl<R: Tools> Jobs<R> {
    pub(crate) const TOOLS: &'static [(&'static str, Job)] = &[
        ("mutex", |operations| R::block_on(R::unconstrained(mutex::<R>(operations)))),
        ("mpsc", |operations| R::block_on(mpsc::<R>(operations))),
    ];
}

impl<R: Cross> Jobs<R> {
    pub(crate) const CROSS: &'static [(&'static str, Job)] = &[("cross-channel", cross::<R>)];
}

async fn spawn<R: Runtime>(operations: u64) -> Sample {
    let mut handles = Vec::with_capacity(1000);
    let watch = Stopwatch::start();
    for _ in 0..operations / 1000 {
        handles.extend((0..1000).map(|_| R::spawn(async {})));
        for handle in handles.drain(..) {
            handle.await;
        }
    }
    watch.stop(operations)
}

async fn switch<R: Runtime>(operations: u64) -> Sample {
    let table = Rc::new(Table::default());
    let watch = Stopwatch::start();
    let players = [1, 0].map(|me| R::spawn(play(Rc::clone(&table), me, operations / 2)));
    for player in players {
        player.await;
    }
    watch.stop(operations)
}

/// When the sleep of this index is due: spread over 1 to 100 ms, between the ticks of any wheel.
fn sleep_of(index: u64) -> Duration {
    Duration::from_micros(1_000 + index * 7_919 % 99_000)
}

async fn timer_cancel<R: Runtime>(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    poll_fn(|context| {
        for index in 0..operations {
            let sleep = pin!(R::sleep(Duration::from_millis(100) + sleep_of(index)));
            assert!(sleep.poll(context).is_pending(), "a sleep of a tenth of a second or more");
        }
        Poll::Ready(())
    })
    .await;
    watch.stop(operations)
}

async fn timer_fire<R: Runtime>(operations: u64) -> Sample {
    let late_ns = Rc::new(RefCell::new(histogram()));
    let watch = Stopwatch::start();
    let sleeper = |index| {
        let late_ns = Rc::clone(&late_ns);
        R::spawn(async move {
            let due = Instant::now() + sleep_of(index);
            R::sleep(sleep_of(index)).await;
            late_ns.borrow_mut().saturating_record(due.elapsed().as_nanos() as u64);
        })
    };
    let sleepers: Vec<_> = (0..operations).map(sleeper).collect();
    for sleeper in sleepers {
        sleeper.await;
    }
    let sample = watch.stop(operations);
    let late_ns = late_ns.borrow();
    let at = |quantile| late_ns.value_at_quantile(quantile) as f64 / 1e3;
    Sample { extras: vec![("late_p50_us", at(0.5)), ("late_p99_us", at(0.99))], ..sample }
}

async fn mutex<R: Tools>(operations: u64) -> Sample {
    let mutex = &*black_box(Box::new(R::mutex()));
    let watch = Stopwatch::start();
    for _ in 0..operations {
        R::lock(mutex).await;
    }
    watch.stop(operations)
}

async fn mpsc<R: Tools>(operations: u64) -> Sample {
    let (sender, mut receiver) = R::channel(LOCAL_CAPACITY);
    let watch = Stopwatch::start();
    let sending = R::spawn(async move {
        for number in 0..operations {
            R::send(&sender, number).await;
        }
    });
    let receiving = R::spawn(async move {
        let mut received = 0;
        while R::receive(&mut receiver).await.is_some() {
            received += 1;
        }
        received
    });
    sending.await;
    assert_eq!(receiving.await, operations, "each message came");
    watch.stop(operations)
}

/// Runs both sides on processors of their own and returns the sample of the first.
fn on_two(
    first: impl FnOnce() -> io::Result<Sample> + Send,
    second: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<Sample> {
    let [one, two] = match cpu::allowed().as_slice() {
        [one, two, ..] => [*one, *two],
        _ => return Err(io::Error::other("two processors are needed")),
    };
    thread::scope(|scope| {
        let second = scope.spawn(move || cpu::pin_to(two).and_then(|()| second()));
        let first = scope.spawn(move || cpu::pin_to(one).and_then(|()| first()));
        let sample = first.join().map_err(|_| io::Error::other("a side panicked"))?;
        second.join().map_err(|_| io::Error::other("the other side panicked"))??;
        sample
    })
}

/// Numbers from one core to another; the time is that of the receiver, from before the first.
fn cross<R: Cross>(operations: u64) -> io::Result<Sample> {
    let (sender, receiver) = R::crossing(CROSS_CAPACITY);
    let receive = move || {
        R::block_on(async move {
            let watch = Stopwatch::start();
            let sum = R::sum_all(receiver).await;
            assert_eq!(sum, operations * (operations - 1) / 2, "each number came once");
            watch.stop(operations)
        })
    };
    on_two(receive, move || R::block_on(R::send_all(sender, operations)))
}

/// Two sleeping cores that wake each other.
fn cross_wake<R: Runtime>(operations: u64) -> io::Result<Sample> {
    let game = Arc::new(Game::new());
    let other = Arc::clone(&game);
    let first = move || {
        R::block_on(async move {
            let watch = Stopwatch::start();
            game.play(0, operations / 2).await;
            watch.stop(operations)
        })
    };
    on_two(first, move || R::block_on(async move { other.play(1, operations / 2).await }))
}
