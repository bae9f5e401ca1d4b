//! Buffers of the test's own: one that counts how often it was dropped, and one that does as it likes when it is asked.
//!
//! # Safety rules
//!
//! 1. The bytes are those of another buffer, which nothing changes through a shared reference.
//! 2. What a rude one does beside its answer does not reach the other buffer.
#![allow(unsafe_code, reason = "the contract of a buffer is unsafe to promise")]

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use annulus::buf::{AlignedBuf, IoBuf, IoBufMut, Registration};

/// See the head of the file. The allocator of the tests sees a write to its bytes after its end.
#[derive(Debug)]
pub(crate) struct Counted {
    bytes: AlignedBuf,
    drops: Rc<Cell<usize>>,
}

impl Counted {
    pub(crate) fn new(bytes: AlignedBuf, drops: Rc<Cell<usize>>) -> Self {
        Self { bytes, drops }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

// SAFETY: rule 1.
unsafe impl IoBuf for Counted {
    fn buf_ptr(&self) -> *const u8 {
        self.bytes.buf_ptr()
    }

    fn buf_len(&self) -> usize {
        self.bytes.buf_len()
    }

    fn registration(&self) -> Option<&Registration> {
        self.bytes.registration()
    }
}

// SAFETY: rule 1.
unsafe impl IoBufMut for Counted {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.buf_mut_ptr()
    }

    fn buf_capacity(&self) -> usize {
        self.bytes.buf_capacity()
    }

    unsafe fn set_buf_len(&mut self, len: usize) {
        // SAFETY: our caller's promise is the same.
        unsafe { self.bytes.set_buf_len(len) };
    }
}

/// What a [`Rude`] buffer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Place,
    Len,
    Registration,
    Room,
    SetLen,
    /// To go: it is dropped.
    Drop,
}

/// See the head of the file.
pub(crate) struct Rude {
    bytes: AlignedBuf,
    behave: Rc<dyn Fn(Asked)>,
}

impl Rude {
    /// Before each answer it does this.
    pub(crate) fn new(bytes: AlignedBuf, behave: Rc<dyn Fn(Asked)>) -> Self {
        Self { bytes, behave }
    }
}

impl fmt::Debug for Rude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rude").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        (self.behave)(Asked::Drop);
    }
}

// SAFETY: rules 1 and 2.
unsafe impl IoBuf for Rude {
    fn buf_ptr(&self) -> *const u8 {
        (self.behave)(Asked::Place);
        self.bytes.buf_ptr()
    }

    fn buf_len(&self) -> usize {
        (self.behave)(Asked::Len);
        self.bytes.buf_len()
    }

    fn registration(&self) -> Option<&Registration> {
        (self.behave)(Asked::Registration);
        self.bytes.registration()
    }
}

// SAFETY: rules 1 and 2.
unsafe impl IoBufMut for Rude {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        (self.behave)(Asked::Place);
        self.bytes.buf_mut_ptr()
    }

    fn buf_capacity(&self) -> usize {
        (self.behave)(Asked::Room);
        self.bytes.buf_capacity()
    }

    unsafe fn set_buf_len(&mut self, len: usize) {
        (self.behave)(Asked::SetLen);
        // SAFETY: our caller's promise is the same.
        unsafe { self.bytes.set_buf_len(len) };
    }
}
