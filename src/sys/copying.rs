//! Copying within the kernel, from file to file. It waits for the disk: not for the loop's thread.
//!
//! # Safety rules
//!
//! 1. The descriptors are borrowed, so they are open during the call, and the places of the offsets are locals.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Copies at most `len` bytes at `offset` of one file to the same place of another; 0 is the end.
pub(crate) fn copy_range(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    let (mut from_offset, mut to_offset) = (offset, offset);
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: rule 1.
    let count = unsafe {
        libc::copy_file_range(from, &raw mut from_offset, to, &raw mut to_offset, len, 0)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
