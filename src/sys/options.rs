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

/// What `tcp_info` begins with, in words.
const INFO_WORDS: usize = 16;

/// The bytes of a TCP connection that the peer has acknowledged: `tcpi_bytes_acked`.
///
/// # Errors
///
/// As `getsockopt(2)`: it is no TCP socket.
pub(crate) fn acknowledged(fd: BorrowedFd<'_>) -> io::Result<u64> {
    const BYTES_ACKED: usize = 120 / 8;
    tcp_info(fd).map(|info| info[BYTES_ACKED])
}

/// Whether a TCP socket waits for the first answer of its peer: `tcpi_state`.
///
/// # Errors
///
/// As `getsockopt(2)`: it is no TCP socket.
pub(crate) fn is_connecting(fd: BorrowedFd<'_>) -> io::Result<bool> {
    const TCP_SYN_SENT: u8 = 2;
    tcp_info(fd).map(|info| info[0].to_ne_bytes()[0] == TCP_SYN_SENT)
}

fn tcp_info(fd: BorrowedFd<'_>) -> io::Result<[u64; INFO_WORDS]> {
    let mut info = [0; INFO_WORDS];
    let mut len = size_of_val(&info) as libc::socklen_t;
    let (into, len) = ((&raw mut info).cast(), &raw mut len);
    // SAFETY: rule 1.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}
