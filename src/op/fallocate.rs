//! FALLOCATE of a range of a file. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names no memory; the descriptor is kept open by `hold`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use super::open_file::Hold;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Fallocate {
    pub(crate) hold: Hold,
    pub(crate) mode: i32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

// SAFETY: rule 1.
unsafe impl Operation for Fallocate {
    type Output = io::Result<()>;

    const KIND: &'static str = "fallocate";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Fallocate::new(self.hold.file().target(), self.len)
            .offset(self.offset)
            .mode(self.mode)
            .build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(mut self, outcome: Outcome) -> io::Result<()> {
        self.hold.settle();
        outcome.result.map(drop)
    }

    fn orphaned(self, outcome: Outcome) {
        self.hold.lose(&outcome, 0);
    }
}
