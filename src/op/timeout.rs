//! TIMEOUT: the one timer that a core keeps in the kernel, for its earliest deadline.
//!
//! It counts from now. The kernel takes an absolute time for one of its own clock, and a process in a time namespace
//! reads another.
//!
//! # Safety rules
//!
//! 1. The entry names `time`, which lies in the operation; the kernel copies it when it takes the entry.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::rc::Rc;

use io_uring::types::{TimeoutFlags, Timespec};

use crate::driver::{Actions, Standing};
use crate::sys::plain::ClockId;
use crate::sys::{Cqe, Sqe};

/// The armed timer.
#[derive(Debug)]
pub(crate) struct Timeout {
    time: Timespec,
    clock: ClockId,
    /// Set while the timer is in the kernel.
    armed: Rc<Cell<bool>>,
}

impl Timeout {
    /// A timer that completes `after_ns` by this clock from when it is submitted, and then clears `armed`.
    pub(crate) fn new(after_ns: u64, clock: ClockId, armed: Rc<Cell<bool>>) -> Self {
        Self { time: timespec(after_ns), clock, armed }
    }
}

fn timespec(after_ns: u64) -> Timespec {
    Timespec::new().sec(after_ns / 1_000_000_000).nsec((after_ns % 1_000_000_000) as u32)
}

// SAFETY: rule 1.
unsafe impl Standing for Timeout {
    const KIND: &'static str = "timeout";

    fn prepare(&mut self) -> Sqe {
        self.armed.set(true);
        let flags = match self.clock {
            ClockId::Monotonic => TimeoutFlags::empty(),
            ClockId::Boottime => TimeoutFlags::BOOTTIME,
        };
        io_uring::opcode::Timeout::new(&raw const self.time).flags(flags).build()
    }

    fn deliver(&mut self, _cqe: Cqe, _actions: &mut Actions) {
        self.armed.set(false);
    }
}

/// Moves an armed timer to another time, by the clock it was armed by.
#[derive(Debug)]
pub(crate) struct Rearm {
    time: Timespec,
    target: u64,
}

impl Rearm {
    /// Moves the timer that was submitted under `key`.
    pub(crate) fn new(key: crate::driver::Key, after_ns: u64) -> Self {
        Self { time: timespec(after_ns), target: key.user_data() }
    }
}

// SAFETY: rule 1. If the timer fired meanwhile, the answer is an error and nothing happened.
unsafe impl Standing for Rearm {
    const KIND: &'static str = "timeout update";

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::TimeoutUpdate::new(self.target, &raw const self.time).build()
    }

    fn deliver(&mut self, _cqe: Cqe, _actions: &mut Actions) {}
}
