//! LINKAT: gives a file one more name. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names both paths, on the heap behind the operation; nobody changes them. Directories are kept open by
//!    their places.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: Place,
    pub(crate) to: Place,
}

// SAFETY: rule 1.
unsafe impl Operation for Link {
    type Output = io::Result<()>;

    const KIND: &'static str = "link";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let (from, to) = (&self.from, &self.to);
        io_uring::opcode::LinkAt::new(from.dir(), from.path(), to.dir(), to.path()).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        outcome.result.map(drop)
    }
}
