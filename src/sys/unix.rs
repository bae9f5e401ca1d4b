//! What a Unix socket says of its peer.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names a local that lives across the call, with its size beside it.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The process that was at the other end when the sockets were connected (`SO_PEERCRED`).
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of_val(&found) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: rule 1.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut found).cast(), &raw mut len)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(found) }
}
