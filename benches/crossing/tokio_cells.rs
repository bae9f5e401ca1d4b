//! The cells on two current-thread runtimes of tokio; a call is its `mpsc` there and its `oneshot` back.

use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use super::{Game, Run, Sample, Stopwatch, VOLLEY, Volley, channel_cells, handover_cells, pin};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("wake_asleep", wake_asleep),
    ("wake_awake", wake_awake),
    ("call_asleep", |operations| call(operations, false)),
    ("call_busy", |operations| call(operations, true)),
    ("spsc", channel_cells::tokio_mpsc),
    ("spsc_64", channel_cells::tokio_mpsc_64),
    ("spsc_fed", channel_cells::tokio_fed),
    ("mpsc", channel_cells::tokio_mpsc),
    ("blocking", handover_cells::tokio_blocking),
];

fn runtime() -> Runtime {
    match Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("tokio did not start: {error}"),
    }
}

fn wake_asleep(operations: u64) -> Sample {
    let game = Game::new();
    let player = |player: usize| {
        pin(player);
        runtime().block_on(async {
            let watch = Stopwatch::start();
            game.play(player, operations / 2).await;
            watch.stop(operations)
        })
    };
    thread::scope(|scope| {
        scope.spawn(|| player(1));
        scope.spawn(|| player(0)).join().expect("no panic")
    })
}

fn wake_awake(operations: u64) -> Sample {
    let volleys = operations.div_ceil(VOLLEY);
    let volley = Arc::new(Volley::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            runtime().block_on(async {
                let target = || {
                    let volley = Arc::clone(&volley);
                    tokio::spawn(async move { volley.target(volleys).await })
                };
                let targets: Vec<_> = (0..VOLLEY).map(|_| target()).collect();
                while !targets.iter().all(tokio::task::JoinHandle::is_finished) {
                    yield_now().await;
                }
            });
        });
        let waking = scope.spawn(|| {
            pin(0);
            volley.fire(volleys)
        });
        waking.join().expect("no panic")
    })
}

type Call = oneshot::Sender<u64>;

fn call(operations: u64, busy: bool) -> Sample {
    let (sender, mut receiver) = mpsc::channel::<Call>(1024);
    let spin = move || {
        if busy {
            tokio::spawn(async {
                loop {
                    yield_now().await;
                }
            });
        }
    };
    thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            runtime().block_on(async {
                spin();
                while let Some(answer) = receiver.recv().await {
                    let _ = answer.send(1);
                }
            });
        });
        let calling = scope.spawn(move || {
            pin(0);
            runtime().block_on(async {
                spin();
                let watch = Stopwatch::start();
                for _ in 0..operations {
                    let (answer, answered) = oneshot::channel();
                    sender.send(answer).await.expect("it serves");
                    answered.await.expect("it answers");
                }
                watch.stop(operations)
            })
        });
        calling.join().expect("no panic")
    })
}
