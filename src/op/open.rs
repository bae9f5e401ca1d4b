//! OPENAT2 of a path. What an orphan opened is closed.
//!
//! # Safety rules
//!
//! 1. The entry names the path, on the heap behind `place`, and `how`, which lies in the operation; neither is changed.
//!    The directory is kept open by `place`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;

use io_uring::types::OpenHow;

use super::close::Fd;
use super::place::Place;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Open {
    place: Place,
    how: OpenHow,
}

/// How a path is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// As `open(2)` has them.
    pub(crate) flags: i32,
    /// The kernel refuses it where the flags make nothing.
    pub(crate) mode: u32,
    /// A path that leaves its base is refused.
    pub(crate) beneath: bool,
}

impl How {
    /// For reading, and nothing else.
    pub(crate) const READ: Self = Self { flags: libc::O_RDONLY, mode: 0, beneath: false };
}

impl Open {
    /// The descriptor is closed when the process runs another program.
    #[inline]
    pub(crate) fn new(place: Place, how: How) -> Self {
        let flags = (how.flags | libc::O_CLOEXEC).cast_unsigned();
        let resolve = if how.beneath { libc::RESOLVE_BENEATH } else { 0 };
        let how = OpenHow::new().flags(flags.into()).mode(how.mode.into()).resolve(resolve);
        Self { place, how }
    }
}

// SAFETY: rule 1.
unsafe impl Operation for Open {
    type Output = io::Result<Fd>;

    const KIND: &'static str = "open";
    /// Opening a pipe waits for its other end.
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;
    const SUBMIT_AGAIN: bool = true;

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let how = &raw const self.how;
        io_uring::opcode::OpenAt2::new(self.place.dir(), self.place.path(), how).build()
    }

    #[inline]
    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        let number = outcome.result?.cast_signed();
        // SAFETY: the kernel just opened it for us, and nobody else was told the number.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Fd::new(Rc::clone(self.place.driver()), fd))
    }
}
