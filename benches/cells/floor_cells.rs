//! The cells without a runtime: what the bare data structure costs, and the bare ring.

use std::hint::black_box;
use std::io;
use std::task::Waker;

use io_uring::opcode::Timeout;
use io_uring::types::{TimeoutFlags, Timespec};

use super::bare_wheel::Wheel;
use super::{Run, Sample, Stopwatch, lateness, sleep_of};
use crate::support::cpu::monotonic_ns;
use crate::uring::Uring;

pub(super) static CELLS: &[(&str, Run)] = &[
    ("timer_create_cancel", timer_create_cancel),
    ("timer_reset", timer_reset),
    ("timer_fire_1k", timer_fire),
];

/// Reads the clock for each timer, as `sleep(duration)` must.
fn timer_create_cancel(operations: u64) -> Sample {
    let mut wheel = Wheel::new();
    let watch = Stopwatch::start();
    for index in 0..operations {
        let due_ns = monotonic_ns() + sleep_of(index).as_nanos() as u64;
        let timer = wheel.insert(due_ns, Waker::noop().clone());
        wheel.cancel(black_box(timer));
    }
    watch.stop(operations)
}

/// Reads the clock for each, as who counts from now must.
fn timer_reset(operations: u64) -> Sample {
    let mut wheel = Wheel::new();
    let due_ns = |index| monotonic_ns() + sleep_of(index).as_nanos() as u64;
    let mut timer = wheel.insert(due_ns(0), Waker::noop().clone());
    let watch = Stopwatch::start();
    for index in 0..operations {
        let due_ns = due_ns(index);
        wheel.cancel(timer);
        timer = black_box(wheel.insert(due_ns, Waker::noop().clone()));
    }
    watch.stop(operations)
}

/// How much later than the first the last timer of one wake-up may be due: as annulus allows itself.
const SLACK_NS: u64 = 50_000;

/// One timeout of the ring after the other, without tasks: what the kernel takes for as many wake-ups.
fn timer_fire(operations: u64) -> Sample {
    match fire(operations) {
        Ok(sample) => sample,
        Err(error) => panic!("the bare ring failed: {error}"),
    }
}

fn fire(operations: u64) -> io::Result<Sample> {
    let mut ring = Uring::new(8)?;
    let mut queues = ring.queues();
    let watch = Stopwatch::start();
    let start_ns = monotonic_ns();
    let due_ns = |index| start_ns + sleep_of(index).as_nanos() as u64;
    let mut all_ns: Vec<u64> = (0..operations).map(due_ns).collect();
    all_ns.sort_unstable();
    let mut late_ns = Vec::with_capacity(all_ns.len());
    let mut wakes = 0;
    while let Some(&first_ns) = all_ns.get(late_ns.len()) {
        let gathered = all_ns.partition_point(|&due_ns| due_ns <= first_ns + SLACK_NS);
        let until_ns = all_ns[gathered - 1];
        if monotonic_ns() < until_ns {
            let time = Timespec::from(std::time::Duration::from_nanos(until_ns));
            queues.push(&Timeout::new(&time).flags(TimeoutFlags::ABS).build())?;
            while queues.next().is_none() {
                queues.turn()?;
            }
            wakes += 1;
        }
        let now_ns = monotonic_ns();
        let due = all_ns.partition_point(|&due_ns| due_ns <= now_ns);
        late_ns.extend(all_ns[late_ns.len()..due].iter().map(|due_ns| now_ns - due_ns));
    }
    let mut sample = watch.stop(operations);
    sample.extras = lateness(&late_ns);
    sample.extras.push(("wakes", f64::from(wakes)));
    Ok(sample)
}
