//! The cells on a mesh of two shards.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use annulus::Runtime;
use annulus::mesh::{Builder, Cores, Mesh, Shard, shard};
use annulus::task::yield_now;

use super::{
    Game, Run, Sample, Stopwatch, VOLLEY, Volley, channel_cells, handover_cells, processors,
};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("wake_asleep", wake_asleep),
    ("wake_awake", wake_awake),
    ("call_self", call_self),
    ("call_asleep", |operations| call(mesh(), operations, false)),
    ("call_spinning", |operations| {
        call(mesh().runtime(|builder| builder.spin(Duration::from_secs(1))), operations, false)
    }),
    ("call_busy", |operations| call(mesh(), operations, true)),
    ("spsc", |operations| channel_cells::annulus_spsc(operations, Runtime::builder)),
    ("spsc_64", |operations| channel_cells::annulus_spsc_64(operations, Runtime::builder)),
    ("spsc_plain", channel_cells::annulus_spsc_plain),
    ("spsc_fed", channel_cells::annulus_fed),
    ("mpsc", |operations| channel_cells::annulus_mpsc(operations, Runtime::builder)),
    ("blocking", handover_cells::annulus_blocking),
];

fn mesh() -> Builder {
    Mesh::builder().cores(Cores::List(processors().to_vec()))
}

/// Runs `first` on one shard while `second` runs on the other.
fn run(
    mesh: Builder,
    first: impl AsyncFn(Shard) -> Sample + Sync,
    second: impl AsyncFn(Shard) + Sync,
) -> Sample {
    let outputs = mesh.run(async |shard| {
        if shard.index() == 0 {
            return io::Result::Ok(Some(first(shard).await));
        }
        second(shard).await;
        Ok(None)
    });
    match outputs {
        Ok(outputs) => outputs.into_iter().flatten().next().expect("the first gives one"),
        Err(error) => panic!("{error}"),
    }
}

fn wake_asleep(operations: u64) -> Sample {
    let game = Game::new();
    let first = async |_| {
        let watch = Stopwatch::start();
        game.play(0, operations / 2).await;
        watch.stop(operations)
    };
    run(mesh(), first, async |_| game.play(1, operations / 2).await)
}

fn wake_awake(operations: u64) -> Sample {
    let volleys = operations.div_ceil(VOLLEY);
    let volley = Arc::new(Volley::new());
    let second = async |_| {
        let target = || {
            let volley = Arc::clone(&volley);
            annulus::spawn(async move { volley.target(volleys).await })
        };
        let targets: Vec<_> = (0..VOLLEY).map(|_| target()).collect();
        while !targets.iter().all(annulus::task::JoinHandle::is_finished) {
            yield_now().await;
        }
    };
    run(mesh(), async |_| volley.fire(volleys), second)
}

fn call_self(operations: u64) -> Sample {
    let mesh = Mesh::builder().cores(Cores::List(vec![processors()[0]]));
    let first = async |own: Shard| {
        let watch = Stopwatch::start();
        for _ in 0..operations {
            assert_eq!(own.call(async || 1_u64).await.expect("it is here"), 1);
        }
        watch.stop(operations)
    };
    run(mesh, first, async |_| ())
}

fn call(mesh: Builder, operations: u64, busy: bool) -> Sample {
    let spin = move || {
        if busy {
            annulus::spawn(async {
                loop {
                    yield_now().await;
                }
            });
        }
    };
    let first = async |_| {
        spin();
        let other = shard(1);
        let watch = Stopwatch::start();
        for _ in 0..operations {
            let answer = other.call(async || 1_u64).await;
            assert_eq!(answer.expect("it serves"), 1);
        }
        watch.stop(operations)
    };
    run(mesh, first, async |_| spin())
}
