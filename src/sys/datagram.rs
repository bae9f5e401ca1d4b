//! Sending messages at once.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names memory that is borrowed across the call, with its size beside it.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::sockaddr::Target;

/// `sendto(2)`, which does not wait: `WouldBlock` if the kernel does not take it now.
#[inline]
pub(crate) fn send_now(fd: BorrowedFd<'_>, bytes: &[u8], target: &Target) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (address, len) = target.parts();
    // SAFETY: rule 1.
    let sent = unsafe {
        libc::sendto(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags, address, len)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The most messages of one [`send_many_now`].
const MANY: usize = 32;

/// `sendmmsg(2)` of the first messages, which does not wait. Says how many the kernel took, at least one; otherwise why
/// it did not take the first, `WouldBlock` if not now.
pub(crate) fn send_many_now<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], &'a Target)>,
) -> io::Result<usize> {
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MANY];
    // SAFETY: headers of zeroes are valid: null pointers and lengths of zero.
    let mut headers: [libc::mmsghdr; MANY] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut count = 0;
    for ((bytes, target), (part, header)) in messages.zip(parts.iter_mut().zip(&mut headers)) {
        let (address, address_len) = target.parts();
        *part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        header.msg_hdr.msg_name = address.cast_mut().cast();
        header.msg_hdr.msg_namelen = address_len;
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: rule 1; a header names its part, which lies here, and the first `count` are filled in.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
