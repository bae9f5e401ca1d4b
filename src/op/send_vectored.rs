//! SENDMSG of several buffers of one stream in one operation.
//!
//! # Safety rules
//!
//! 1. The entry names `header`, which names `parts`, which name the buffers: all lie in the operation or on the
//!    heap behind it, and none is changed until the completion. `prepare` makes and links them when the buffers are in
//!    place.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;
use std::mem::MaybeUninit;

use super::parts::{Parts, filled_parts};
use super::send::Turn;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

pub(crate) struct SendVectored<B> {
    bufs: Vec<B>,
    turn: Turn,
    /// Bytes of the buffers that were sent before.
    skip: usize,
    /// Made by `prepare`, when the buffers are in place.
    parts: Parts,
    header: Box<libc::msghdr>,
}

impl<B: IoBuf> SendVectored<B> {
    /// Sends the bytes of `bufs` from `skip` on, at most `PARTS_MAX` buffers of them.
    pub(crate) fn new(turn: Turn, bufs: Vec<B>, skip: usize) -> Self {
        // SAFETY: a `msghdr` of zeroes is valid: null pointers and lengths of zero.
        let header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        Self { bufs, turn, skip, parts: Box::default(), header: Box::new(header) }
    }
}

impl<B> fmt::Debug for SendVectored<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendVectored").field("bufs", &self.bufs.len()).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for SendVectored<B> {
    type Output = BufResult<usize, Vec<B>>;

    const KIND: &'static str = "sendmsg";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const LANDED: Landed<Self> = Some(|this, actions| this.turn.landed(actions));

    fn prepare(&mut self) -> Sqe {
        self.parts = filled_parts(&self.bufs, self.skip);
        self.header.msg_iov = self.parts.as_mut_ptr();
        self.header.msg_iovlen = self.parts.len();
        io_uring::opcode::SendMsg::new(self.turn.line().fd.target(), &raw const *self.header)
            .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL).cast_unsigned())
            .build()
    }

    fn orphaned(self, outcome: Outcome) {
        self.turn.orphaned(outcome, || self.parts.iter().map(|part| part.iov_len).sum());
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.bufs)),
            Err(error) => Err(BufError { error, buf: self.bufs }),
        }
    }
}
