//! A part of a buffer that travels as a buffer of its own.
//!
//! # Safety rules
//!
//! 1. `start <= end <= capacity` of the buffer, checked when the slice is made; the buffer is private, so nothing
//!    shrinks it meanwhile.
#![allow(unsafe_code, reason = "room 2: the contract of a buffer")]

use std::ops::{Bound, RangeBounds};

use super::{IoBuf, IoBufMut, Registration};

/// The bytes `start..end` of a buffer, as a buffer.
///
/// Reading into a slice fills it from `start` and leaves the bytes before it; [`into_inner`](Slice::into_inner)
/// gives the whole buffer back.
#[derive(Debug)]
pub struct Slice<B> {
    buffer: B,
    start: usize,
    end: usize,
}

impl<B: IoBuf> Slice<B> {
    /// A slice of initialised bytes, to send from.
    ///
    /// # Panics
    ///
    /// If the range does not lie within the buffer's length.
    pub fn new(buffer: B, range: impl RangeBounds<usize>) -> Self {
        let len = buffer.buf_len();
        let (start, end) = bounds(&range, len);
        assert!(start <= end && end <= len, "slice {start}..{end} of a buffer of {len} bytes");
        Self { buffer, start, end }
    }

    /// The whole buffer.
    pub fn into_inner(self) -> B {
        self.buffer
    }
}

impl<B: IoBufMut> Slice<B> {
    /// A slice of the capacity, to read into.
    ///
    /// # Panics
    ///
    /// If the range does not lie within the capacity, or begins beyond the initialised bytes: what lies between
    /// would otherwise count as read.
    pub fn for_read(buffer: B, range: impl RangeBounds<usize>) -> Self {
        let capacity = buffer.buf_capacity();
        let (start, end) = bounds(&range, capacity);
        let len = buffer.buf_len();
        assert!(start <= end && end <= capacity, "slice {start}..{end} of {capacity} bytes");
        assert!(start <= len, "slice from {start} of a buffer with {len} initialised bytes");
        Self { buffer, start, end }
    }
}

fn bounds(range: &impl RangeBounds<usize>, len: usize) -> (usize, usize) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    (start, end)
}

// SAFETY: a part of memory that the buffer itself promises to keep; rule 1.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn buf_ptr(&self) -> *const u8 {
        // SAFETY: rule 1: within the buffer's memory.
        unsafe { self.buffer.buf_ptr().add(self.start) }
    }

    fn buf_len(&self) -> usize {
        self.end.min(self.buffer.buf_len()).saturating_sub(self.start)
    }

    fn registration(&self) -> Option<&Registration> {
        self.buffer.registration()
    }
}

// SAFETY: a part of memory that the buffer itself promises to keep; rule 1.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: rule 1: within the buffer's memory.
        unsafe { self.buffer.buf_mut_ptr().add(self.start) }
    }

    fn buf_capacity(&self) -> usize {
        self.end - self.start
    }

    unsafe fn set_buf_len(&mut self, len: usize) {
        let end = self.start + len;
        if end > self.buffer.buf_len() {
            // SAFETY: our caller wrote `len` bytes from `start`, and those before were initialised (`for_read`).
            unsafe { self.buffer.set_buf_len(end) };
        }
    }
}

impl<B: IoBuf> AsRef<[u8]> for Slice<B> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shows_its_range_and_gives_the_whole_back() {
        let slice = Slice::new(b"hello world".to_vec(), 6..);
        assert_eq!(slice.as_bytes(), b"world");
        assert_eq!(slice.into_inner(), b"hello world");
    }

    #[test]
    #[should_panic(expected = "slice 3..9 of a buffer of 4 bytes")]
    fn a_range_beyond_the_length_is_refused() {
        let _ = Slice::new(vec![0u8; 4], 3..9);
    }

    #[test]
    #[should_panic(expected = "slice from 2")]
    fn a_read_that_would_skip_uninitialised_bytes_is_refused() {
        let _ = Slice::for_read(Vec::with_capacity(8), 2..);
    }

    #[test]
    fn reading_into_a_slice_grows_the_content_but_never_shrinks_it() {
        let mut slice = Slice::for_read(b"abcdef".to_vec(), 2..4);
        // SAFETY: one byte of initialised memory.
        unsafe { slice.set_buf_len(1) };
        assert_eq!(slice.into_inner(), b"abcdef");
    }
}
