//! READ at an offset, into a caller's buffer.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBufMut`), and the
//!    descriptor, which `hold` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use super::entry_len;
use super::open_file::Hold;
use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct ReadAt<B> {
    pub(crate) hold: Hold,
    pub(crate) buf: B,
    pub(crate) offset: u64,
}

// SAFETY: rule 1.
unsafe impl<B: IoBufMut> Operation for ReadAt<B> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "read";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let len = entry_len(self.buf.buf_capacity());
        io_uring::opcode::Read::new(self.hold.file().target(), self.buf.buf_mut_ptr(), len)
            .offset(self.offset)
            .build()
    }

    #[inline]
    fn complete(mut self, outcome: Outcome) -> Self::Output {
        self.hold.settle();
        match outcome.result {
            Ok(count) => {
                let count = count as usize;
                // SAFETY: the kernel wrote `count` bytes, at most the capacity it was told.
                unsafe { self.buf.set_buf_len(count) };
                Ok((count, self.buf))
            }
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }

    fn orphaned(self, _outcome: Outcome) {}
}
