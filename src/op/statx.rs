//! STATX of a path or an open file.
//!
//! # Safety rules
//!
//! 1. The entry names the path and the place of the answer, both on the heap behind `place`; nobody touches them until
//!    the completion. The directory is kept open by `place`.
//! 2. The place of the answer is 256 bytes, aligned to 8, and holds numbers from the begin: the whole of a
//!    `struct statx`, whatever the kernel wrote of it.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;
use std::mem::offset_of;
use std::ops::Deref;

use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Statx {
    place: Place,
    flags: i32,
    mask: u32,
}

impl Statx {
    #[inline]
    pub(crate) fn new(place: Place, flags: i32, mask: u32) -> Self {
        Self { place, flags, mask }
    }
}

/// What the kernel answered, where it did.
#[derive(Debug)]
pub(crate) struct Answer(Place);

/// What a `struct statx` begins with, as the kernel lays it out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Which fields the file system has.
    pub(crate) mask: u32,
    pub(crate) blksize: u32,
    attributes: u64,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    _unused: u16,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    attributes_mask: u64,
    pub(crate) accessed: Stamp,
    pub(crate) created: Stamp,
    pub(crate) changed: Stamp,
    pub(crate) modified: Stamp,
    /// Major and minor number.
    pub(crate) rdev: [u32; 2],
    pub(crate) dev: [u32; 2],
}

/// A time as the kernel tells it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    _unused: i32,
}

const _: () = {
    assert!(size_of::<Head>() == 0x90 && align_of::<Head>() == 8);
    assert!(offset_of!(Head, mode) == offset_of!(libc::statx, stx_mode));
    assert!(offset_of!(Head, ino) == offset_of!(libc::statx, stx_ino));
    assert!(offset_of!(Head, accessed) == offset_of!(libc::statx, stx_atime));
    assert!(offset_of!(Head, created) == offset_of!(libc::statx, stx_btime));
    assert!(offset_of!(Head, changed) == offset_of!(libc::statx, stx_ctime));
    assert!(offset_of!(Head, modified) == offset_of!(libc::statx, stx_mtime));
    assert!(offset_of!(Head, rdev) == offset_of!(libc::statx, stx_rdev_major));
    assert!(offset_of!(Head, dev) == offset_of!(libc::statx, stx_dev_major));
    assert!(offset_of!(Stamp, nanoseconds) == offset_of!(libc::statx_timestamp, tv_nsec));
};

impl Answer {
    /// Copied as it is: field by field it takes some 60 instructions more (`file`, `metadata_d32`).
    #[inline]
    pub(crate) fn head(&self) -> Head {
        // SAFETY: rule 2; all of its fields are numbers.
        unsafe { *self.0.answer().as_ptr().cast() }
    }
}

const _: () = assert!(size_of::<libc::statx>() == 256 && align_of::<libc::statx>() <= 8);

impl Deref for Answer {
    type Target = libc::statx;

    #[inline]
    fn deref(&self) -> &libc::statx {
        // SAFETY: rule 2; all of its fields are numbers.
        unsafe { &*self.0.answer().as_ptr().cast() }
    }
}

// SAFETY: rule 1.
unsafe impl Operation for Statx {
    type Output = io::Result<Answer>;

    const KIND: &'static str = "statx";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let answer = self.place.answer_mut().as_mut_ptr().cast();
        io_uring::opcode::Statx::new(self.place.dir(), self.place.path(), answer)
            .flags(self.flags)
            .mask(self.mask)
            .build()
    }

    #[inline]
    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    #[inline]
    fn complete(self, outcome: Outcome) -> Self::Output {
        outcome.result.map(|_| Answer(self.place))
    }
}
