//! What is asked or changed about a name by a call that is no operation. They wait for the disk: not for the loop's
//! thread.
//!
//! # Safety rules
//!
//! 1. Paths end in zero, descriptors are borrowed, and both live across the call; the kernel writes at most the length
//!    that it is told.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The directory where a relative path starts; `None` is the process's current one.
pub(crate) type Dir<'a> = Option<BorrowedFd<'a>>;

fn number(dir: Dir<'_>) -> libc::c_int {
    dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd())
}

/// What a symbolic link says.
pub(crate) fn read_link(dir: Dir<'_>, path: &CStr) -> io::Result<PathBuf> {
    let mut bytes = vec![0; 256];
    loop {
        let (start, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: rule 1.
        let count = unsafe { libc::readlinkat(number(dir), path.as_ptr(), start, len) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        if count < len {
            bytes.truncate(count);
            return Ok(OsString::from_vec(bytes).into());
        }
        // There may be more.
        bytes.resize(len * 2, 0);
    }
}

/// Changes the permissions of what the path leads to.
pub(crate) fn set_mode(dir: Dir<'_>, path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: rule 1.
    retried(|| unsafe { libc::fchmodat(number(dir), path.as_ptr(), mode, 0) })
}

/// Changes the owner and the group, those that are given, of what the path leads to, or of a symbolic link itself.
pub(crate) fn set_owner(
    dir: Dir<'_>,
    path: &CStr,
    (uid, gid): (Option<u32>, Option<u32>),
    follow: bool,
) -> io::Result<()> {
    let (uid, gid) = (uid.unwrap_or(UNCHANGED), gid.unwrap_or(UNCHANGED));
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: rule 1.
    retried(|| unsafe { libc::fchownat(number(dir), path.as_ptr(), uid, gid, flags) })
}

/// As `chown(2)` has it, and std.
const UNCHANGED: u32 = u32::MAX;

/// Calls again as long as a signal came first.
fn retried(call: impl Fn() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
