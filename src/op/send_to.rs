//! SEND of a message, to an address or to the peer that the socket is connected to.
//!
//! Once in the kernel it is never cancelled: a message leaves whole or not at all, also if its future is dropped.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in pass (`IoBuf`), the address,
//!    which lies in the operation too and is not changed, and the descriptor, which the pass's endpoint keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use super::endpoint::Pass;
use super::entry_len;
use super::receive_message::Head;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;
use crate::sys::sockaddr::Target;

#[derive(Debug)]
pub(crate) struct SendTo<B, H: Head> {
    pub(crate) pass: Pass<H>,
    pub(crate) buf: B,
    pub(crate) target: Target,
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf, H: Head> Operation for SendTo<B, H> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "send to";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const LANDED: Landed<Self> = Some(|this, actions| this.pass.landed(actions));

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let socket = self.pass.endpoint().fd.target();
        let (address, address_len) = self.target.parts();
        let bytes = self.buf.as_bytes();
        io_uring::opcode::Send::new(socket, bytes.as_ptr(), entry_len(bytes.len()))
            .flags(libc::MSG_NOSIGNAL)
            .dest_addr(address)
            .dest_addr_len(address_len)
            .build()
    }

    #[inline]
    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }
}
