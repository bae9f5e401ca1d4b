//! POLL_ADD of the bell: a completion ends the core's sleep each time another thread rings.
//!
//! It stays armed and nothing is read: each write is an edge, and the counter would take centuries to fill. A read
//! would have to be armed anew after each ring, for 8 % more of the woken core's CPU.
//!
//! # Safety rules
//!
//! 1. The entry names no memory but the descriptor, which `bell` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::rc::Rc;

use crate::driver::{Actions, Standing};
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
