//! STATX of a path or an open file.
//!
//! # Safety rules
//!
//! 1. The entry names the path, on the heap behind `place`, and `answer`, on the heap too; nobody touches them until
//!    the completion. The directory is kept open by `place`.
//! 2. Where the kernel says that it answered, it has filled all of `answer`, the spare fields too: it copies a whole
//!    `struct statx`, of 256 bytes since there is one.
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
    /// Of 256 bytes: in the operation, each move of it would copy them, and it would not fit its slot.
    answer: Box<MaybeUninit<libc::statx>>,
}

impl Statx {
    #[inline]
    pub(crate) fn new(place: Place, flags: i32, mask: u32) -> Self {
        Self { place, flags, mask, answer: Box::new_uninit() }
    }
}

impl fmt::Debug for Statx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statx").field("place", &self.place).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl Operation for Statx {
    type Output = io::Result<Box<libc::statx>>;

    const KIND: &'static str = "statx";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let answer = self.answer.as_mut_ptr().cast();
        io_uring::opcode::Statx::new(self.place.dir(), self.place.path(), answer)
            .flags(self.flags)
            .mask(self.mask)
            .build()
    }

    #[inline]
    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        outcome.result?;
        // SAFETY: rule 2.
        Ok(unsafe { self.answer.assume_init() })
    }
}
