//! Calls about processes that std does not have.
//!
//! # Safety rules
//!
//! 1. No memory is passed.
//! 2. A process that is named by its number is a child that was not waited for: until then the kernel does not give the
//!    number to another.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A descriptor of a child, which is readable once it has ended.
pub(crate) fn pidfd(child: u32) -> io::Result<OwnedFd> {
    // SAFETY: rules 1 and 2. The descriptor is closed at an exec.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) })?;
    // SAFETY: the kernel just gave us this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a child a signal.
pub(crate) fn signal(child: u32, signal: i32) -> io::Result<()> {
    // SAFETY: rules 1 and 2.
    check(i64::from(unsafe { libc::kill(child.cast_signed(), signal) })).map(drop)
}

/// Sends a signal to the process group that a child leads.
pub(crate) fn signal_group(leader: u32, signal: i32) -> io::Result<()> {
    // SAFETY: rules 1 and 2: as long as the leader is not waited for, the group has its number.
    check(i64::from(unsafe { libc::killpg(leader.cast_signed(), signal) })).map(drop)
}

fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
