//! Where a file's next read or write of the cursor's kind happens.
//!
//! The position is ours, not the kernel's: a read that is dropped has not moved it, so nothing is lost by that. Only
//! where the kernel alone knows the place (a pipe, a file open for appending) is it the kernel's.

use std::cell::{Cell, RefCell};

/// The offset that means the kernel's own position. No caller's offset is it, see [`named`].
pub(crate) const KERNELS: u64 = u64::MAX;

/// A caller's offset for an entry: the one number that has another meaning there becomes one that is refused too.
#[inline]
pub(crate) fn named(offset: u64) -> u64 {
    offset.min(u64::MAX - 1)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Position {
    /// Not asked of the kernel yet.
    #[default]
    Unasked,
    /// Where the kernel has it: a stream, or a file whose writes go to its end.
    Kernels,
    At(u64),
}

/// The position, whose turn it is to use it, and memory for copies.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) position: Cell<Position>,
    pub(crate) busy: Cell<bool>,
    /// Used again and again, so that a small read or write allocates nothing.
    pub(crate) spare: RefCell<Vec<u8>>,
}

impl Cursor {
    /// `count` bytes were read or written at the position.
    pub(crate) fn advance(&self, count: u32) {
        if let Position::At(offset) = self.position.get() {
            self.position.set(Position::At(offset + u64::from(count)));
        }
    }
}
