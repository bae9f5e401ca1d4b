//! SENDMSG of one buffer with control data: the size of segments, a source address, descriptors.
//!
//! Once in the kernel it is never cancelled, also if its future is dropped: a message leaves whole or not at all, and
//! of a stream what the kernel takes, with the control data beside its first byte.
//!
//! # Safety rules
//!
//! 1. The entry names `header`, which names `part`, the address and the control data; `part` names the buffer. All
//!    lie in the operation or on the heap behind it, and none is changed until the completion. `prepare` links them
//!    when the operation is in pass. The descriptor is kept open by the right.
//! 2. The bytes of an `Attached` are those of its buffer, which keeps the promises of `IoBuf`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use super::close::Fd;
use super::endpoint::Pass;
use super::receive_message::Head;
use super::send::Turn;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Actions, Driver, Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;
use crate::sys::message::push_control;
use crate::sys::sockaddr::Target;

pub(crate) struct SendMessage<B, R> {
    right: R,
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

/// The right to send, which keeps the socket open.
pub(crate) trait Right: 'static {
    /// The socket for the entry.
    fn socket(&self) -> io_uring::types::Fd;

    /// The kernel is done.
    fn landed(&mut self, actions: &mut Actions);

    /// Nobody is there to be told how it ended; so many bytes were to be sent.
    fn orphaned(&self, _outcome: Outcome, _due: impl FnOnce() -> usize) {}
}

impl<H: Head> Right for Pass<H> {
    fn socket(&self) -> io_uring::types::Fd {
        self.endpoint().fd.target()
    }

    fn landed(&mut self, actions: &mut Actions) {
        Self::landed(self, actions);
    }
}

impl Right for Turn {
    fn socket(&self) -> io_uring::types::Fd {
        self.line().fd.target()
    }

    fn landed(&mut self, actions: &mut Actions) {
        Self::landed(self, actions);
    }

    fn orphaned(&self, outcome: Outcome, due: impl FnOnce() -> usize) {
        Self::orphaned(self, outcome, due);
    }
}

impl<B: IoBuf, R: Right> SendMessage<B, R> {
    pub(crate) fn new(right: R, buf: B, target: Target, control: Vec<u8>) -> Self {
        // SAFETY: a `msghdr` of zeroes is valid: null pointers and lengths of zero.
        let header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        let part = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { right, buf, message: Box::new(Parts { header, part, target, control }) }
    }
}

/// A buffer with descriptors that are sent with it. If nobody takes them back they are closed through the ring.
#[derive(Debug)]
pub(crate) struct Attached<B> {
    buf: B,
    fds: Vec<Fd>,
}

/// Descriptors that the kernel lets through with one message (`SCM_MAX_FD`).
const FDS_MAX: usize = 253;

impl<B> Attached<B> {
    pub(crate) fn new(buf: B, fds: Vec<OwnedFd>, driver: &Rc<Driver>) -> Self {
        let fds = fds.into_iter().map(|fd| Fd::new(Rc::clone(driver), fd)).collect();
        Self { buf, fds }
    }

    /// The control data that has the kernel send copies of the descriptors.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than a message may have.
    pub(crate) fn rights(&self) -> io::Result<Vec<u8>> {
        let count = self.fds.len();
        if count > FDS_MAX {
            let text = format!("{count} descriptors in one message, which takes at most {FDS_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut control = Vec::new();
        if count > 0 {
            let numbers = self.fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes());
            let numbers: Vec<u8> = numbers.collect();
            push_control(&mut control, libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers);
        }
        Ok(control)
    }

    /// A result with the descriptors beside the buffer.
    pub(crate) fn apart(sent: BufResult<usize, Self>) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        let parts = |Self { buf, fds }| (buf, fds.into_iter().map(Fd::into_owned).collect());
        match sent {
            Ok((count, attached)) => Ok((count, parts(attached))),
            Err(BufError { error, buf }) => Err(BufError { error, buf: parts(buf) }),
        }
    }
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

impl<B, R> fmt::Debug for SendMessage<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = self.message.control.len();
        f.debug_struct("SendMessage").field("control", &control).finish_non_exhaustive()
    }
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf, R: Right> Operation for SendMessage<B, R> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "send message";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const LANDED: Landed<Self> = Some(|this, actions| this.right.landed(actions));

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
        io_uring::opcode::SendMsg::new(self.right.socket(), &raw const *header)
            .flags(libc::MSG_NOSIGNAL.cast_unsigned())
            .build()
    }

    fn orphaned(self, outcome: Outcome) {
        self.right.orphaned(outcome, || self.buf.buf_len());
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }
}
