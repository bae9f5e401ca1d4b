//! SENDMSG of one message with control data: the size of segments, a source address, descriptors.
//!
//! Once in the kernel it is never cancelled: a message leaves whole or not at all, also if its future is dropped.
//!
//! # Safety rules
//!
//! 1. The entry names `header`, which names `part`, the address and the control data; `part` names the buffer. All
//!    lie in the operation or on the heap behind it, and none is changed until the completion. `prepare` links them
//!    when the operation is in pass. The descriptor is kept open by the pass's endpoint.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use super::endpoint::Pass;
use super::receive_message::Head;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Actions, Operation, Outcome, WhenDropped};
use crate::sys::sockaddr::Target;
use crate::sys::{Cqe, Sqe};

pub(crate) struct SendMessage<B, H: Head> {
    pass: Pass<H>,
    buf: B,
    message: Box<Parts>,
}

/// What the kernel is shown beside the buffer.
struct Parts {
    header: libc::msghdr,
    part: libc::iovec,
    target: Target,
    control: Vec<u8>,
}

impl<B: IoBuf, H: Head> SendMessage<B, H> {
    pub(crate) fn new(pass: Pass<H>, buf: B, target: Target, control: Vec<u8>) -> Self {
        // SAFETY: a `msghdr` of zeroes is valid: null pointers and lengths of zero.
        let header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        let part = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { pass, buf, message: Box::new(Parts { header, part, target, control }) }
    }
}

/// A buffer with descriptors that are sent with it.
#[derive(Debug)]
pub(crate) struct Attached<B> {
    pub(crate) buf: B,
    pub(crate) fds: Vec<OwnedFd>,
}

// SAFETY: rule 2.
unsafe impl<B: IoBuf> IoBuf for Attached<B> {
    fn buf_ptr(&self) -> *const u8 {
        self.buf.buf_ptr()
    }

    fn buf_len(&self) -> usize {
        self.buf.buf_len()
    }
}

impl<B, H: Head> fmt::Debug for SendMessage<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = self.message.control.len();
        f.debug_struct("SendMessage").field("control", &control).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf, H: Head> Operation for SendMessage<B, H> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "send message";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;

    fn prepare(&mut self) -> Sqe {
        let bytes = self.buf.as_bytes();
        let Parts { header, part, target, control } = &mut *self.message;
        *part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let (address, address_len) = target.parts();
        header.msg_name = address.cast_mut().cast();
        header.msg_namelen = address_len;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if !control.is_empty() {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = control.len();
        }
        let socket = self.pass.endpoint().fd.target();
        io_uring::opcode::SendMsg::new(socket, &raw const *header)
            .flags(libc::MSG_NOSIGNAL.cast_unsigned())
            .build()
    }

    fn landed(&mut self, _cqe: Cqe, actions: &mut Actions) {
        self.pass.landed(actions);
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }
}
