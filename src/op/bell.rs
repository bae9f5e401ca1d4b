//! POLL_ADD of the bell: a completion ends the core's sleep each time another thread rings. And WRITE of that of
//! another core, which is rung so by the call that this one sleeps in.
//!
//! It stays armed and nothing is read: each write is an edge, and the counter would take centuries to fill. A read
//! would have to be armed anew after each ring, for 8 % more of the woken core's CPU.
//!
//! # Safety rules
//!
//! 1. The entries name no memory but what is static, and the descriptor, which `bell` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::rc::Rc;

use crate::driver::{Actions, Operation, Outcome, Standing, WhenDropped};
use crate::sys::eventfd::Bell;
use crate::sys::{Cqe, Sqe};

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) bell: Bell,
    /// Set while it is armed.
    pub(crate) armed: Rc<Cell<bool>>,
}

// SAFETY: rule 1.
unsafe impl Standing for Listen {
    const KIND: &'static str = "bell";

    fn prepare(&mut self) -> Sqe {
        self.armed.set(true);
        let target = io_uring::types::Fd(self.bell.as_raw_fd());
        io_uring::opcode::PollAdd::new(target, libc::POLLIN as u32).multi(true).build()
    }

    fn deliver(&mut self, cqe: Cqe, _actions: &mut Actions) {
        self.armed.set(cqe.more());
    }
}

/// A write that takes place where it is submitted, for the descriptor does not block.
#[derive(Debug)]
pub(crate) struct RingOther {
    pub(crate) bell: Bell,
}

// SAFETY: rule 1.
unsafe impl Operation for RingOther {
    type Output = ();

    const KIND: &'static str = "ring";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;

    fn prepare(&mut self) -> Sqe {
        static ONE: u64 = 1;
        let target = io_uring::types::Fd(self.bell.as_raw_fd());
        io_uring::opcode::Write::new(target, (&raw const ONE).cast(), 8).build()
    }

    fn complete(self, outcome: Outcome) {
        if outcome.result.is_err() {
            // Whoever sleeps there must not do so for ever.
            self.bell.ring();
        }
    }
}
