//! WRITE at an offset, from a caller's buffer. Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBuf`), and the
//!    descriptor, which `file` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::rc::Rc;

use super::close::Fd;
use super::entry_len;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct WriteAt<B> {
    pub(crate) file: Rc<Fd>,
    pub(crate) buf: B,
    pub(crate) offset: u64,
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for WriteAt<B> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "write";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        let len = entry_len(self.buf.buf_len());
        io_uring::opcode::Write::new(self.file.target(), self.buf.buf_ptr(), len)
            .offset(self.offset)
            .build()
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }
}
