//! UNLINKAT: removes a name, of a file or of an empty directory. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names the path, on the heap behind the operation; nobody changes it. Directories are kept open by
//!    their places.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Unlink {
    pub(crate) place: Place,
    /// The name is a directory's.
    pub(crate) dir: bool,
}

// SAFETY: rule 1.
unsafe impl Operation for Unlink {
    type Output = io::Result<()>;

    const KIND: &'static str = "unlink";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let flags = if self.dir { libc::AT_REMOVEDIR } else { 0 };
        io_uring::opcode::UnlinkAt::new(self.place.dir(), self.place.path()).flags(flags).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        outcome.result.map(drop)
    }
}
