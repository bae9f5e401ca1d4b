//! What a buffer must promise before the kernel is shown its address.
//!
//! # Safety rules
//!
//! 1. Each implementation here points into memory behind a pointer (heap or static), so moving the value moves
//!    no byte; none of these types changes its bytes, its length or its place through a shared reference.
#![allow(unsafe_code, reason = "room 2: the contract of a buffer")]

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::Registration;

/// A buffer that an operation can send from.
///
/// It moves into the operation and comes back with the result, so it must own its memory or be `'static`.
///
/// # Safety
///
/// From the call of a method here until the value is next used through `&mut` or dropped:
///
/// - `buf_ptr()..buf_ptr() + buf_len()` stays valid and initialised, **also when the value itself is moved**;
///   inline storage such as `[u8; 64]` therefore cannot implement this trait, `Box<[u8; 64]>` could;
/// - the bytes, the pointer and the length do not change.
pub unsafe trait IoBuf: 'static {
    /// The first byte. Need not be readable if the length is zero.
    fn buf_ptr(&self) -> *const u8;

    /// The number of initialised bytes.
    fn buf_len(&self) -> usize;

    /// The initialised bytes.
    fn as_bytes(&self) -> &[u8] {
        let len = self.buf_len();
        if len == 0 {
            return &[];
        }
        // SAFETY: the trait's contract: valid, initialised and unchanged while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.buf_ptr(), len) }
    }

    /// By what the kernel knows the memory already, if it does: a buffer that is made of another one hands this on.
    /// With that of other memory an operation fails; `None`, as here, is always right.
    #[inline]
    fn registration(&self) -> Option<&Registration> {
        None
    }
}

/// A buffer that an operation can read into.
///
/// A read fills it from its first byte and then sets its length to what was read.
///
/// # Safety
///
/// As for [`IoBuf`], and: `buf_mut_ptr()..buf_mut_ptr() + buf_capacity()` stays valid for writes until the value
/// is next used or dropped, also when it is moved; nobody else may read or write that range meanwhile.
pub unsafe trait IoBufMut: IoBuf {
    /// The first byte that may be written.
    fn buf_mut_ptr(&mut self) -> *mut u8;

    /// How many bytes may be written.
    fn buf_capacity(&self) -> usize;

    /// Declares the first `len` bytes to be initialised and to be the content.
    ///
    /// # Safety
    ///
    /// `len` is at most the capacity, and that many bytes were written.
    unsafe fn set_buf_len(&mut self, len: usize);
}

/// What an operation on a caller's buffer gives back: the result and the buffer, or the error and the buffer.
pub type BufResult<T, B> = Result<(T, B), BufError<B>>;

/// A failed operation and the buffer that was lent to it.
///
/// It converts into [`io::Error`], dropping the buffer, so `?` works in functions that return one.
#[derive(Debug)]
pub struct BufError<B> {
    /// What went wrong.
    pub error: io::Error,
    /// The caller's buffer, as it was lent.
    pub buf: B,
}

impl<B> From<BufError<B>> for io::Error {
    fn from(failed: BufError<B>) -> Self {
        failed.error
    }
}

impl<B> std::fmt::Display for BufError<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<B: std::fmt::Debug> std::error::Error for BufError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Copies as much of `bytes` as fits into a buffer and makes it the content; returns the count.
pub(crate) fn fill<B: IoBufMut>(buf: &mut B, bytes: &[u8]) -> usize {
    let count = bytes.len().min(buf.buf_capacity());
    // SAFETY: the trait's contract: that many bytes may be written, and nobody else sees them. The source is a
    // reference, so it cannot lie in memory that `buf` alone may touch.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.buf_mut_ptr(), count) };
    // SAFETY: `count` bytes were just written.
    unsafe { buf.set_buf_len(count) };
    count
}

// SAFETY: rule 1.
unsafe impl IoBuf for Vec<u8> {
    fn buf_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn buf_len(&self) -> usize {
        self.len()
    }
}

// SAFETY: rule 1; a vector's spare capacity is its own.
unsafe impl IoBufMut for Vec<u8> {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn buf_capacity(&self) -> usize {
        self.capacity()
    }

    unsafe fn set_buf_len(&mut self, len: usize) {
        // SAFETY: our caller's promise is the one `set_len` asks for.
        unsafe { self.set_len(len) };
    }
}

// SAFETY: rule 1. Every byte of it is initialised, so a read may leave the rest as it was.
unsafe impl IoBufMut for Box<[u8]> {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn buf_capacity(&self) -> usize {
        self.len()
    }

    unsafe fn set_buf_len(&mut self, _len: usize) {}
}

/// Implements [`IoBuf`] for types whose bytes a plain reference shows.
macro_rules! io_buf_by_reference {
    ($($buffer:ty),+) => {$(
        // SAFETY: rule 1.
        unsafe impl IoBuf for $buffer {
            fn buf_ptr(&self) -> *const u8 {
                self.as_ptr()
            }

            fn buf_len(&self) -> usize {
                self.len()
            }
        }
    )+};
}

io_buf_by_reference!(Box<[u8]>, Rc<[u8]>, Arc<[u8]>, String, &'static [u8], &'static str);
