//! What the tests of the driver share: operations that count what becomes of them, and a driver with a small ring.

mod rude;
mod slots;
mod unasked;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::actions::Actions;
use super::slots::Key;
use super::{Driver, Limits, Operation, Outcome, Standing, WhenDropped};
use crate::buf::PoolOptions;
use crate::sys::setup::{Features, RingOptions};
use crate::sys::{Cqe, Sqe};

/// Counts what becomes of an operation.
#[derive(Default)]
struct Fate {
    completed: Cell<u32>,
    orphaned: Cell<u32>,
    dropped: Cell<u32>,
    delivered: RefCell<Vec<i32>>,
}

struct Probe {
    fate: Rc<Fate>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.fate.dropped.set(self.fate.dropped.get() + 1);
    }
}

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Operation for Probe {
    type Output = i32;
    const KIND: &'static str = "probe";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn complete(self, outcome: Outcome) -> i32 {
        self.fate.completed.set(self.fate.completed.get() + 1);
        outcome.result.map_or(-1, u32::cast_signed)
    }

    fn left_behind() -> Option<i32> {
        Some(LEFT_BEHIND)
    }

    fn orphaned(self, _outcome: Outcome) {
        self.fate.orphaned.set(self.fate.orphaned.get() + 1);
    }
}

const LEFT_BEHIND: i32 = -7;

struct StandingProbe {
    probe: Probe,
}

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Standing for StandingProbe {
    const KIND: &'static str = "standing probe";

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn deliver(&mut self, cqe: Cqe, _actions: &mut Actions) {
        self.probe.fate.delivered.borrow_mut().push(cqe.result);
    }
}

fn cqe(key: Key, result: i32, flags: u32) -> Cqe {
    Cqe { user_data: key.user_data(), result, flags }
}

/// A driver with a small ring and small pools, also for the tests of the operations.
pub(crate) fn driver() -> Rc<Driver> {
    let ring = RingOptions {
        submission_entries: 8,
        completion_entries: 32,
        kernel_workers_max: [2, 2],
        features: Features::all(),
    };
    let limits = Limits {
        undelivered_max: 1024,
        untaken_max: 4,
        linger: Duration::ZERO,
        lingering_max: 1,
        direct_depth: 2,
        registered_pools: 2,
    };
    Driver::new(&ring, PoolOptions::TINY, limits).expect("a ring")
}

fn turn(driver: &Driver) {
    driver.enter(1, Some(Duration::from_millis(100))).expect("enter");
    driver.reap();
    driver.act();
}
