//! WRITEV of several buffers at an offset. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names `parts`, which name the buffers: all lie on the heap behind the operation, and none is changed
//!    until the completion. `prepare` makes them when the buffers are in place. The descriptor is kept open by `hold`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;

use super::open_file::Hold;
use super::parts::{Parts, filled_parts};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

/// `DIRECT`: past the page cache, and so bounded in number.
pub(crate) struct WriteVectored<B, const DIRECT: bool> {
    pub(crate) hold: Hold,
    pub(crate) bufs: Vec<B>,
    pub(crate) offset: u64,
    /// Bytes of the buffers that were written before.
    pub(crate) skip: usize,
    /// As for `WriteAt`.
    pub(crate) whole: bool,
    /// Made by `prepare`.
    pub(crate) parts: Parts,
}

impl<B, const DIRECT: bool> fmt::Debug for WriteVectored<B, DIRECT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteVectored").field("bufs", &self.bufs.len()).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf, const DIRECT: bool> Operation for WriteVectored<B, DIRECT> {
    type Output = BufResult<usize, Vec<B>>;

    const KIND: &'static str = "writev";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;
    const BOUNDED: bool = DIRECT;
    const LANDED: Landed<Self> =
        if DIRECT { Some(|_, actions| actions.end_bounded()) } else { None };

    fn prepare(&mut self) -> Sqe {
        self.parts = filled_parts(&self.bufs, self.skip);
        let count = self.parts.len() as u32;
        io_uring::opcode::Writev::new(self.hold.file().target(), self.parts.as_ptr(), count)
            .offset(self.offset)
            .build()
    }

    fn complete(mut self, outcome: Outcome) -> Self::Output {
        self.hold.settle();
        match outcome.result {
            Ok(count) => Ok((count as usize, self.bufs)),
            Err(error) => Err(BufError { error, buf: self.bufs }),
        }
    }

    fn orphaned(self, outcome: Outcome) {
        let due = if self.whole { self.parts.iter().map(|part| part.iov_len).sum() } else { 0 };
        self.hold.lose(&outcome, due);
    }
}
