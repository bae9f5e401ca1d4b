//! SYMLINKAT: makes a symbolic link. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names the target and the path, on the heap behind the operation; nobody changes them. Directories are
//!    kept open by their places.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::ffi::CString;
use std::io;

use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Symlink {
    /// What the link says.
    pub(crate) target: CString,
    pub(crate) place: Place,
}

// SAFETY: rule 1.
unsafe impl Operation for Symlink {
    type Output = io::Result<()>;

    const KIND: &'static str = "symlink";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let place = &self.place;
        io_uring::opcode::SymlinkAt::new(place.dir(), self.target.as_ptr(), place.path()).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        outcome.result.map(drop)
    }
}
