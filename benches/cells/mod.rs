//! The cells of the micro bench, and who runs them.
//!
//! A cell is measured inside a running runtime: starting and ending it is not part of the time.

mod annulus_cells;
mod bare_wheel;
mod floor_cells;
mod futures;
mod tokio_cells;

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use crate::contest::{Cell, Contestant, Run, Sample, Stopwatch};

pub(crate) static CELLS: &[Cell] = &[
    Cell {
        name: "spawn_batch_1k",
        about: "spawn a thousand tasks, then await them all; per task",
        operations: 200_000,
        counted: 20_000,
    },
    Cell {
        name: "group_1k",
        about: "a task group of a thousand children; per child, against spawn_batch_1k",
        operations: 200_000,
        counted: 20_000,
    },
    Cell {
        name: "join_set_1k",
        about: "a join set of a thousand tasks, joined as they end; per task",
        operations: 200_000,
        counted: 20_000,
    },
    Cell {
        name: "spawn_one",
        about: "spawn a task and await it",
        operations: 60_000,
        counted: 10_000,
    },
    Cell {
        name: "spawn_eager",
        about: "spawn a task that is polled at once, and ends, and await it",
        operations: 200_000,
        counted: 10_000,
    },
    Cell {
        name: "switch2",
        about: "two tasks that wake themselves; per poll",
        operations: 1_000_000,
        counted: 50_000,
    },
    Cell {
        name: "wake_pingpong",
        about: "two tasks that wake each other; per poll",
        operations: 600_000,
        counted: 50_000,
    },
    Cell {
        name: "timer_create_cancel",
        about: "create a sleep, poll it once, drop it",
        operations: 300_000,
        counted: 20_000,
    },
    Cell {
        name: "timer_reset",
        about: "move a sleep that waits to another time, and poll it",
        operations: 300_000,
        counted: 20_000,
    },
    Cell {
        name: "timer_fire_1k",
        about: "a thousand sleeping tasks due within 100 ms (floor: the bare ring's timeouts); per sleep",
        operations: 1_000,
        counted: 0,
    },
    Cell {
        name: "idle_task_bytes",
        about: "spawn tasks that wait for ever: memory and time of each",
        operations: 100_000,
        counted: 0,
    },
];

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "floor", cells: floor_cells::CELLS },
    Contestant { name: "tokio", cells: tokio_cells::CELLS },
    Contestant { name: "annulus", cells: annulus_cells::CELLS },
];

/// When the sleep of this index is due: spread over 1 to 100 ms, between the ticks of any wheel.
fn sleep_of(index: u64) -> Duration {
    Duration::from_micros(1_000 + index * 7_919 % 99_000)
}

/// How late sleeps were, in microseconds.
fn lateness(late_ns: &[u64]) -> Vec<(&'static str, f64)> {
    let Ok(mut histogram) = Histogram::<u64>::new(3) else { return Vec::new() };
    late_ns.iter().for_each(|&late_ns| histogram += late_ns);
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    vec![("late_p50_us", at(0.5)), ("late_p99_us", at(0.99)), ("late_max_us", at(1.0))]
}
