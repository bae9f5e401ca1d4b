//! WRITE past the page cache: that of a file, bounded in number, and by number where the memory is registered
//! (WRITE_FIXED). Once in the kernel it is never cancelled.
//!
//! # Safety rules
//!
//! 1. As for `write_at`. Registered memory is within what the kernel knows, or it refuses.
#![allow(unsafe_code, reason = "room 3: an operation")]

use super::entry_len;
use super::write_at::WriteAt;
use crate::buf::IoBuf;
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct WriteDirect<B>(pub(crate) WriteAt<B>);

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for WriteDirect<B> {
    type Output = <WriteAt<B> as Operation>::Output;

    const KIND: &'static str = "direct write";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const SUBMIT_AGAIN: bool = true;
    const BOUNDED: bool = true;
    const LANDED: Landed<Self> = Some(|_, actions| actions.end_bounded());

    fn prepare(&mut self) -> Sqe {
        let WriteAt { hold, buf, offset, .. } = &self.0;
        let file = hold.file();
        let number = buf.registration().and_then(|memory| file.driver().number_of(memory));
        let Some(number) = number else {
            return self.0.prepare();
        };
        let len = entry_len(buf.buf_len());
        io_uring::opcode::WriteFixed::new(file.target(), buf.buf_ptr(), len, number)
            .offset(*offset)
            .rw_flags(self.0.rw_flags())
            .build()
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        self.0.complete(outcome)
    }

    fn orphaned(self, outcome: Outcome) {
        self.0.orphaned(outcome);
    }
}
