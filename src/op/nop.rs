//! NOP: a round trip through the ring without effect.
//!
//! # Safety rules
//!
//! 1. The entry names no memory and no descriptor.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Nop;

// SAFETY: rule 1.
unsafe impl Operation for Nop {
    type Output = io::Result<()>;

    const KIND: &'static str = "nop";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        outcome.result.map(|_| ())
    }
}
