//! The cells of the local bench, and whose tools run them.

mod annulus_tools;
mod floor_tools;
mod futures_tools;
mod local_sync_tools;
mod tokio_tools;

use crate::contest::{Cell, Contestant, Run, Sample, Stopwatch};

/// The bound of the channels.
const CAPACITY: usize = 128;

pub(crate) static CELLS: &[Cell] = &[
    alone("mutex", "lock and unlock a free mutex"),
    alone("rwlock_read", "lock and unlock a free lock to read"),
    alone("rwlock_write", "lock and unlock a free lock to write"),
    alone("semaphore", "take and put back a permit that is free"),
    alone("channel_self", "send and receive in one task, bounded by 128"),
    together("channel_two", "one task sends to another, bounded by 128; per message"),
    alone("oneshot", "make a channel, send, receive"),
    alone("notify_self", "notify, and be notified at once"),
    together("notify_pingpong", "two tasks notify each other; per switch"),
];

/// A cell of one task.
const fn alone(name: &'static str, about: &'static str) -> Cell {
    Cell { name, about, operations: 4_000_000, counted: 40_000 }
}

/// A cell of two.
const fn together(name: &'static str, about: &'static str) -> Cell {
    Cell { name, about, operations: 2_000_000, counted: 40_000 }
}

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "floor", cells: floor_tools::CELLS },
    Contestant { name: "tokio", cells: tokio_tools::CELLS },
    Contestant { name: "futures", cells: futures_tools::CELLS },
    Contestant { name: "local-sync", cells: local_sync_tools::CELLS },
    Contestant { name: "annulus", cells: annulus_tools::CELLS },
];

/// Does `$one` so many times, eight in a turn of the loop: the loop itself hardly counts.
macro_rules! repeat {
    ($operations:expr, $one:expr) => {{
        let operations: u64 = $operations;
        let watch = Stopwatch::start();
        for _ in 0..operations / 8 {
            $one;
            $one;
            $one;
            $one;
            $one;
            $one;
            $one;
            $one;
        }
        watch.stop(operations)
    }};
}
use repeat;

/// Runs a cell of one task on annulus, without the budget: a task that yields now and then would count too.
fn alone_on_annulus(cell: impl Future<Output = Sample>) -> Sample {
    on_annulus(annulus::task::unconstrained(cell))
}

fn on_annulus(cell: impl Future<Output = Sample>) -> Sample {
    match annulus::Runtime::new() {
        Ok(runtime) => runtime.block_on(cell),
        Err(error) => panic!("annulus did not start: {error}"),
    }
}
