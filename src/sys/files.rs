//! Calls on open files that cannot wait for a disk, and so are no operations: flags, positions, locks that are tried.
//!
//! # Safety rules
//!
//! 1. The descriptor is borrowed, so it is open during the call; no memory is passed.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How the file was opened, as `open(2)` has it.
pub(crate) fn flags(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: rule 1.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 { Err(io::Error::last_os_error()) } else { Ok(flags) }
}

/// Whether writes go to the end of the file (`O_APPEND`).
pub(crate) fn appends(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(flags(fd)? & libc::O_APPEND != 0)
}

/// The kernel's position of the file.
pub(crate) fn position(fd: BorrowedFd<'_>) -> io::Result<u64> {
    seek(fd, 0, libc::SEEK_CUR)
}

/// Moves the kernel's position of the file; not relative to its end, which a file system may have to look up.
pub(crate) fn set_position(fd: BorrowedFd<'_>, position: u64) -> io::Result<u64> {
    let offset = i64::try_from(position).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    seek(fd, offset, libc::SEEK_SET)
}

fn seek(fd: BorrowedFd<'_>, offset: i64, whence: i32) -> io::Result<u64> {
    // SAFETY: rule 1.
    let position = unsafe { libc::lseek64(fd.as_raw_fd(), offset, whence) };
    u64::try_from(position).map_err(|_| io::Error::last_os_error())
}

/// How a file is locked against those who also lock it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
    None,
}

/// `flock(2)` without waiting; `WouldBlock` if another one's lock is in the way.
pub(crate) fn lock(fd: BorrowedFd<'_>, lock: Lock) -> io::Result<()> {
    let operation = match lock {
        Lock::Shared => libc::LOCK_SH | libc::LOCK_NB,
        Lock::Exclusive => libc::LOCK_EX | libc::LOCK_NB,
        Lock::None => libc::LOCK_UN,
    };
    // SAFETY: rule 1.
    let status = unsafe { libc::flock(fd.as_raw_fd(), operation) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
