//! WRITE at an offset, from a caller's buffer. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBuf`), and the
//!    descriptor, which `hold` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use super::entry_len;
use super::open_file::Hold;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct WriteAt<B> {
    pub(crate) hold: Hold,
    pub(crate) buf: B,
    pub(crate) offset: u64,
    /// A part is not enough: an orphan that wrote only that is an error.
    pub(crate) whole: bool,
    /// It is at the file's position, which an orphan moves by what it wrote.
    pub(crate) moves: bool,
    /// It ends when the bytes are on the disk (`RWF_DSYNC`).
    pub(crate) durable: bool,
}

impl<B> WriteAt<B> {
    /// As `pwritev2(2)` has them.
    #[inline]
    pub(super) fn rw_flags(&self) -> i32 {
        if self.durable { libc::RWF_DSYNC } else { 0 }
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for WriteAt<B> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "write";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let len = entry_len(self.buf.buf_len());
        io_uring::opcode::Write::new(self.hold.file().target(), self.buf.buf_ptr(), len)
            .offset(self.offset)
            .rw_flags(self.rw_flags())
            .build()
    }

    #[inline]
    fn complete(mut self, outcome: Outcome) -> Self::Output {
        self.hold.settle();
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }

    fn orphaned(self, outcome: Outcome) {
        if self.moves
            && let Ok(count) = &outcome.result
        {
            self.hold.file().cursor().advance(*count);
        }
        self.hold.lose(&outcome, if self.whole { self.buf.buf_len() } else { 0 });
    }
}
