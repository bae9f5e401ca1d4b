//! Which pipes have a name: a question that std does not ask.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names a local that lives across the call.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

/// The file system of pipes without a name.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// True for a pipe that `pipe(2)` made, false for a FIFO and for whatever else.
pub(crate) fn is_anonymous_pipe(fd: impl AsFd) -> bool {
    let mut statistics = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: rule 1.
    let result = unsafe { libc::fstatfs(fd.as_fd().as_raw_fd(), statistics.as_mut_ptr()) };
    // SAFETY: the call succeeded, so it is filled in.
    result == 0 && unsafe { statistics.assume_init() }.f_type as u64 == PIPEFS_MAGIC
}
