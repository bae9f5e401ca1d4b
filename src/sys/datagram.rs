//! Sending a message at once.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names memory that is borrowed across the call, with its size beside it.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
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
