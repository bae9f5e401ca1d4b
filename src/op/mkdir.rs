//! MKDIRAT: makes a directory. Once in the kernel it is never cancelled.
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
pub(crate) struct Mkdir {
    pub(crate) place: Place,
    pub(crate) mode: u32,
}

// SAFETY: rule 1.
unsafe impl Operation for Mkdir {
    type Output = io::Result<()>;

    const KIND: &'static str = "mkdir";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::MkDirAt::new(self.place.dir(), self.place.path()).mode(self.mode).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        outcome.result.map(drop)
    }
}
