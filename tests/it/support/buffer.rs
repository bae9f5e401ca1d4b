//! A buffer of the test's own that counts how often it was dropped.
//!
//! # Safety rules
//!
//! 1. The bytes are those of another buffer, which nothing changes through a shared reference.
#![allow(unsafe_code, reason = "the contract of a buffer is unsafe to promise")]

use std::cell::Cell;
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
