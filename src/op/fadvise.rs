//! FADVISE about a range of a file.
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
pub(crate) struct Fadvise {
    pub(crate) hold: Hold,
    pub(crate) advice: i32,
    pub(crate) offset: u64,
    /// Zero is the rest of the file. The entry of a kernel before 6.10 has no room for more.
    pub(crate) len: u32,
}

// SAFETY: rule 1.
unsafe impl Operation for Fadvise {
    type Output = io::Result<()>;

    const KIND: &'static str = "fadvise";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let len = self.len.into();
        io_uring::opcode::Fadvise::new(self.hold.file().target(), len, self.advice)
            .offset(self.offset)
            .build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(mut self, outcome: Outcome) -> io::Result<()> {
        self.hold.settle();
        outcome.result.map(drop)
    }

    fn orphaned(self, _outcome: Outcome) {}
}
