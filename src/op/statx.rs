//! STATX of a path or an open file.
//!
//! # Safety rules
//!
//! 1. The entry names the path, on the heap behind `place`, and `answer`, which lies in the operation; nobody touches
//!    them until the completion. The directory is kept open by `place`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;

use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

pub(crate) struct Statx {
    place: Place,
    flags: i32,
    mask: u32,
    answer: MaybeUninit<libc::statx>,
}

impl Statx {
    pub(crate) fn new(place: Place, flags: i32, mask: u32) -> Self {
        Self { place, flags, mask, answer: MaybeUninit::zeroed() }
    }
}

impl fmt::Debug for Statx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statx").field("place", &self.place).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl Operation for Statx {
    type Output = io::Result<libc::statx>;

    const KIND: &'static str = "statx";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let answer = self.answer.as_mut_ptr().cast();
        io_uring::opcode::Statx::new(self.place.dir(), self.place.path(), answer)
            .flags(self.flags)
            .mask(self.mask)
            .build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        outcome.result?;
        // SAFETY: it was zeroed and then filled; it is numbers throughout.
        Ok(unsafe { self.answer.assume_init() })
    }
}
