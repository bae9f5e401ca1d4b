//! READ past the page cache: that of a file, bounded in number, and by number where the memory is registered
//! (READ_FIXED).
//!
//! # Safety rules
//!
//! 1. As for `read_at`. Registered memory is within what the kernel knows, or it refuses.
#![allow(unsafe_code, reason = "room 3: an operation")]

use super::entry_len;
use super::read_at::ReadAt;
use crate::buf::IoBufMut;
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct ReadDirect<B>(pub(crate) ReadAt<B>);

// SAFETY: rule 1.
unsafe impl<B: IoBufMut> Operation for ReadDirect<B> {
    type Output = <ReadAt<B> as Operation>::Output;

    const KIND: &'static str = "direct read";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;
    const BOUNDED: bool = true;
    const LANDED: Landed<Self> = Some(|_, actions| actions.end_bounded());

    fn prepare(&mut self) -> Sqe {
        let ReadAt { hold, buf, offset } = &mut self.0;
        let file = hold.file();
        let number = buf.registration().and_then(|memory| file.driver().number_of(memory));
        let Some(number) = number else {
            return self.0.prepare();
        };
        let len = entry_len(buf.buf_capacity());
        io_uring::opcode::ReadFixed::new(file.target(), buf.buf_mut_ptr(), len, number)
            .offset(*offset)
            .build()
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        self.0.complete(outcome)
    }

    fn orphaned(self, outcome: Outcome) {
        self.0.orphaned(outcome);
    }
}
