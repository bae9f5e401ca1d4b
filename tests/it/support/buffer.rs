//! A buffer of the test's own that counts how often it was dropped.
//!
//! # Safety rules
//!
//! 1. The bytes are a box of their own, so moving the buffer moves none of them; nothing changes them, their place
//!    or their count through a shared reference.
#![allow(unsafe_code, reason = "the contract of a buffer is unsafe to promise")]

use std::cell::Cell;
use std::rc::Rc;

use annulus::buf::{IoBuf, IoBufMut};

/// See the head of the file. The allocator of the tests sees a write to its bytes after its end.
#[derive(Debug)]
pub(crate) struct Counted {
    bytes: Box<[u8]>,
    len: usize,
    drops: Rc<Cell<usize>>,
}

impl Counted {
    pub(crate) fn new(bytes: Vec<u8>, drops: Rc<Cell<usize>>) -> Self {
        Self { len: bytes.len(), bytes: bytes.into_boxed_slice(), drops }
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
        self.bytes.as_ptr()
    }

    fn buf_len(&self) -> usize {
        self.len
    }
}

// SAFETY: rule 1; all bytes of the box are its own and initialised.
unsafe impl IoBufMut for Counted {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn buf_capacity(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn set_buf_len(&mut self, len: usize) {
        self.len = len;
    }
}
