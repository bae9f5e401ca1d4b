//! Options of sockets that are one number and that `socket2` does not know.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names a local that lives across the call, with its size beside it.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `setsockopt(2)` of a number.
pub(crate) fn set(fd: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: rule 1.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
