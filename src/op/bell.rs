//! READ of the bell: its completion ends the core's sleep after another thread rang.
//!
//! # Safety rules
//!
//! 1. The entry names `count`, which lies in the operation and is read by nobody, and the descriptor, which `bell`
//!    keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::rc::Rc;

use crate::driver::{Actions, Standing};
use crate::sys::eventfd::Bell;
use crate::sys::{Cqe, Sqe};

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) bell: Bell,
    /// Set while the read is armed.
    pub(crate) armed: Rc<Cell<bool>>,
    pub(crate) count: [u8; 8],
}

// SAFETY: rule 1.
unsafe impl Standing for Listen {
    const KIND: &'static str = "bell";

    fn prepare(&mut self) -> Sqe {
        self.armed.set(true);
        let target = io_uring::types::Fd(self.bell.as_raw_fd());
        io_uring::opcode::Read::new(target, self.count.as_mut_ptr(), 8).build()
    }

    fn deliver(&mut self, _cqe: Cqe, _actions: &mut Actions) {
        self.armed.set(false);
    }
}
