//! FSYNC of a file or of a range of it. Once in the kernel it is never cancelled, because it may be told of a failed
//! write, and is so only once.
//!
//! # Safety rules
//!
//! 1. The entry names no memory; the descriptor is kept open by `hold`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use io_uring::types::FsyncFlags;

use super::open_file::Hold;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Fsync {
    pub(crate) hold: Hold,
    /// Only the bytes and what is needed to read them.
    pub(crate) data: bool,
    pub(crate) offset: u64,
    /// Zero with an offset of zero is the whole file, with another one the rest.
    pub(crate) len: u32,
}

// SAFETY: rule 1.
unsafe impl Operation for Fsync {
    type Output = io::Result<()>;

    const KIND: &'static str = "fsync";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let flags = if self.data { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
        io_uring::opcode::Fsync::new(self.hold.file().target())
            .flags(flags)
            .offset(self.offset)
            .len(self.len)
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
