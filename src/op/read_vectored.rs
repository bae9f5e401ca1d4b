//! READV at an offset, into several buffers of the caller's.
//!
//! # Safety rules
//!
//! 1. The entry names `parts`, which name the buffers: all lie on the heap behind the operation, and nobody touches
//!    them until the completion. `prepare` makes them when the buffers are in place. The descriptor is kept open by
//!    `hold`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;

use super::open_file::Hold;
use super::parts::{Parts, empty_parts};
use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

/// `DIRECT`: past the page cache, and so bounded in number.
pub(crate) struct ReadVectored<B, const DIRECT: bool> {
    pub(crate) hold: Hold,
    pub(crate) bufs: Vec<B>,
    pub(crate) offset: u64,
    /// Made by `prepare`.
    pub(crate) parts: Parts,
}

impl<B, const DIRECT: bool> fmt::Debug for ReadVectored<B, DIRECT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadVectored").field("bufs", &self.bufs.len()).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBufMut, const DIRECT: bool> Operation for ReadVectored<B, DIRECT> {
    type Output = BufResult<usize, Vec<B>>;

    const KIND: &'static str = "readv";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;
    const BOUNDED: bool = DIRECT;
    const LANDED: Landed<Self> =
        if DIRECT { Some(|_, actions| actions.end_bounded()) } else { None };

    fn prepare(&mut self) -> Sqe {
        self.parts = empty_parts(&mut self.bufs);
        let count = self.parts.len() as u32;
        io_uring::opcode::Readv::new(self.hold.file().target(), self.parts.as_ptr(), count)
            .offset(self.offset)
            .build()
    }

    fn complete(mut self, outcome: Outcome) -> Self::Output {
        self.hold.settle();
        let count = match outcome.result {
            Ok(count) => count as usize,
            Err(error) => return Err(BufError { error, buf: self.bufs }),
        };
        let mut left = count;
        for (buf, part) in self.bufs.iter_mut().zip(&self.parts) {
            let filled = left.min(part.iov_len);
            left -= filled;
            // SAFETY: the kernel filled the parts one after the other, `count` bytes in all; what it wrote of this
            // one is at most its capacity.
            unsafe { buf.set_buf_len(filled) };
        }
        Ok((count, self.bufs))
    }

    fn orphaned(self, _outcome: Outcome) {}
}
