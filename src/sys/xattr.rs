//! Extended attributes, by path or by descriptor. They wait for the disk: not for the loop's thread.
//!
//! # Safety rules
//!
//! 1. Strings end in zero, descriptors are owned, and both live across the call; the kernel reads or writes at most the
//!    length that it is told.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// Whose attributes.
#[derive(Debug)]
pub(crate) enum Target {
    /// What the path leads to.
    Path(CString),
    File(OwnedFd),
}

/// The value of an attribute; `None` if there is no such one.
pub(crate) fn get(target: &Target, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let value = grow(|value| {
        let (start, len) = (value.as_mut_ptr().cast(), value.len());
        // SAFETY: rule 1.
        unsafe {
            match target {
                Target::Path(path) => libc::getxattr(path.as_ptr(), name.as_ptr(), start, len),
                Target::File(fd) => libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), start, len),
            }
        }
    });
    match value {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        value => value.map(Some),
    }
}

/// The names of all attributes.
pub(crate) fn list(target: &Target) -> io::Result<Vec<OsString>> {
    let names = grow(|names| {
        let (start, len) = (names.as_mut_ptr().cast(), names.len());
        // SAFETY: rule 1.
        unsafe {
            match target {
                Target::Path(path) => libc::listxattr(path.as_ptr(), start, len),
                Target::File(fd) => libc::flistxattr(fd.as_raw_fd(), start, len),
            }
        }
    })?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
}

/// Gives an attribute a value.
pub(crate) fn set(target: &Target, name: &CStr, value: &[u8]) -> io::Result<()> {
    let (start, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: rule 1.
    check(unsafe {
        match target {
            Target::Path(path) => libc::setxattr(path.as_ptr(), name.as_ptr(), start, len, 0),
            Target::File(fd) => libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), start, len, 0),
        }
    })
}

/// Takes an attribute away.
pub(crate) fn remove(target: &Target, name: &CStr) -> io::Result<()> {
    // SAFETY: rule 1.
    check(unsafe {
        match target {
            Target::Path(path) => libc::removexattr(path.as_ptr(), name.as_ptr()),
            Target::File(fd) => libc::fremovexattr(fd.as_raw_fd(), name.as_ptr()),
        }
    })
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel's own bound of a value, and of a list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const SIZE_MAX: usize = 64 * 1024;

/// Calls with more room until there is enough.
fn grow(mut call: impl FnMut(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    loop {
        match usize::try_from(call(&mut bytes)) {
            Ok(count) => {
                bytes.truncate(count);
                return Ok(bytes);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::ERANGE) || bytes.len() >= SIZE_MAX {
                    return Err(error);
                }
                bytes.resize(SIZE_MAX, 0);
            }
        }
    }
}
