//! What lies in a directory, as many entries as a buffer holds. It waits for the disk: not for the loop's thread.
//!
//! # Safety rules
//!
//! 1. The descriptor is borrowed, so it is open during the call, and the kernel writes at most the buffer's length.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) ino: u64,
    /// `DT_DIR` and the others, or `DT_UNKNOWN` from file systems that do not keep it there.
    pub(crate) kind: u8,
    pub(crate) name: OsString,
}

/// The next entries, less `.` and `..`; `None` at the end.
pub(crate) fn next_entries(
    dir: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<Vec<Entry>>> {
    let (start, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: rule 1.
    let count = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), start, len) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok((count > 0).then(|| parse(&buffer[..count])))
}

/// Where the name begins in a `struct linux_dirent64`: behind the number, the offset, the length and the kind.
const NAME: usize = 19;

fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((head, tail)) = bytes.split_at_checked(NAME) {
        let (ino, rest) = head.split_at(8);
        let len = usize::from(u16::from_ne_bytes([rest[8], rest[9]]));
        let name = &tail[..len.saturating_sub(NAME).min(tail.len())];
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            let ino = ino.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            let ino = if cfg!(target_endian = "big") { ino.swap_bytes() } else { ino };
            entries.push(Entry { ino, kind: rest[10], name: OsString::from_vec(name.to_vec()) });
        }
        bytes = bytes.get(len.max(NAME)..).unwrap_or_default();
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::{NAME, parse};

    fn entry(ino: u64, kind: u8, name: &str, padding: usize) -> Vec<u8> {
        let len = NAME + name.len() + 1 + padding;
        let mut bytes = ino.to_ne_bytes().to_vec();
        bytes.extend(0_u64.to_ne_bytes());
        bytes.extend((len as u16).to_ne_bytes());
        bytes.push(kind);
        bytes.extend(name.as_bytes());
        bytes.extend(vec![0; 1 + padding]);
        bytes
    }

    #[test]
    fn entries_follow_each_other_by_their_lengths() {
        let mut bytes = entry(1, libc::DT_DIR, ".", 3);
        bytes.extend(entry(u64::MAX - 1, libc::DT_REG, "file", 0));
        bytes.extend(entry(2, libc::DT_DIR, "..", 5));
        bytes.extend(entry(3, libc::DT_UNKNOWN, "other", 7));
        let entries = parse(&bytes);
        let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
        assert_eq!(names, ["file", "other"]);
        assert_eq!((entries[0].ino, entries[0].kind), (u64::MAX - 1, libc::DT_REG));
    }

    #[test]
    fn bytes_that_are_no_entries_end_the_list() {
        for len in 0..64 {
            for fill in [0, 1, 7, 255] {
                parse(&vec![fill; len]);
            }
        }
    }
}
