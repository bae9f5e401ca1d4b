//! The cells without a runtime: what the bare data structure costs.

use std::hint::black_box;
use std::task::Waker;

use super::bare_wheel::Wheel;
use super::{Run, Sample, Stopwatch, sleep_of};

pub(super) static CELLS: &[(&str, Run)] = &[("timer_create_cancel", timer_create_cancel)];

/// Reads the clock for each timer, as `sleep(duration)` must.
fn timer_create_cancel(operations: u64) -> Sample {
    let mut wheel = Wheel::new();
    let watch = Stopwatch::start();
    for index in 0..operations {
        let due_ns = crate::support::cpu::monotonic_ns() + sleep_of(index).as_nanos() as u64;
        let timer = wheel.insert(due_ns, Waker::noop().clone());
        wheel.cancel(black_box(timer));
    }
    watch.stop(operations)
}
