//! A buffer at an address that direct I/O takes.
//!
//! # Safety rules
//!
//! 1. `pointer` names a block of the heap of `layout()`, or a buffer of the registration, this value's alone and given
//!    back once, on drop; moving the value moves no byte of it.
//! 2. The first `len` bytes are initialised, and `len` is at most `capacity`, the size of the block.
#![allow(unsafe_code, reason = "room 2: memory that the kernel may touch")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;

use super::{IoBuf, IoBufMut, Registration};
use crate::sys::mapping::PAGE;

/// A buffer whose first byte lies at a multiple of a power of two, for
/// [`DirectFile`](crate::fs::DirectFile); [`DirectFile::buffer`](crate::fs::DirectFile::buffer) makes one that fits a
/// file.
///
/// It has a fixed capacity and a length, as a `Vec` that does not grow, and dereferences to the bytes of that length. A
/// read fills it from its first byte and sets the length. Its memory is whole pages of 4096 bytes, which it has alone:
/// so a process can fork while the disk reads or writes them (`open(2)`, notes on `O_DIRECT`).
///
/// ```
/// use annulus::buf::AlignedBuf;
///
/// let mut buf = AlignedBuf::new(4096, 512);
/// buf.extend_from_slice(b"a record");
/// buf.resize(512, 0);
/// assert_eq!((buf.len(), buf.capacity(), buf.as_ptr() as usize % 512), (512, 4096, 0));
/// ```
pub struct AlignedBuf {
    pointer: NonNull<u8>,
    len: usize,
    capacity: usize,
    alignment: usize,
    /// Whose memory it is, if it is not of the heap.
    registration: Option<Rc<Registration>>,
}

impl AlignedBuf {
    /// An empty buffer with room for `capacity` bytes, at a multiple of `alignment` bytes.
    ///
    /// # Panics
    ///
    /// If the alignment is no power of two, or the capacity beyond `isize::MAX`. Without memory it aborts, as `Vec`
    /// does.
    #[must_use]
    pub fn new(capacity: usize, alignment: usize) -> Self {
        let layout = layout(capacity, alignment);
        // SAFETY: the layout's size is not zero.
        let block = unsafe { alloc(layout) };
        let pointer = NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout));
        Self { pointer, len: 0, capacity, alignment, registration: None }
    }

    /// An empty buffer of a registration.
    ///
    /// # Safety
    ///
    /// So many bytes from there on, which begin at a page, are the new value's alone until they are put back.
    pub(super) unsafe fn registered(
        pointer: NonNull<u8>,
        capacity: usize,
        registration: Rc<Registration>,
    ) -> Self {
        let registration = Some(registration);
        Self { pointer, len: 0, capacity, alignment: PAGE, registration }
    }

    /// A buffer of `len` zeroes and no more room than that.
    ///
    /// # Panics
    ///
    /// As for [`new`](Self::new).
    #[must_use]
    pub fn zeroed(len: usize, alignment: usize) -> Self {
        let mut buf = Self::new(len, alignment);
        buf.resize(len, 0);
        buf
    }

    /// How many bytes it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether it is of a [`RegisteredPool`](crate::fs::RegisteredPool), to which its drop gives it back.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registration.is_some()
    }

    /// Drops the bytes; the room stays.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Keeps the first `len` bytes; does nothing if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes the length `len`: drops bytes, or adds copies of `value`.
    ///
    /// # Panics
    ///
    /// If it is beyond the capacity.
    pub fn resize(&mut self, len: usize, value: u8) {
        self.reach(len);
        if let Some(count) = len.checked_sub(self.len) {
            // SAFETY: rule 2: `len` is within the capacity, and the bytes from the old length on are ours to write.
            unsafe { self.pointer.add(self.len).write_bytes(value, count) };
        }
        self.len = len;
    }

    /// Adds bytes behind the last one.
    ///
    /// # Panics
    ///
    /// If they do not fit into the capacity.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let len = self.len.saturating_add(bytes.len());
        self.reach(len);
        // SAFETY: rule 2: `len` is within the capacity; a borrowed slice cannot overlap what `self` has alone.
        unsafe { self.pointer.add(self.len).copy_from(NonNull::from(bytes).cast(), bytes.len()) };
        self.len = len;
    }

    #[track_caller]
    fn reach(&self, len: usize) {
        let capacity = self.capacity;
        assert!(len <= capacity, "{len} bytes in a buffer that has room for {capacity}");
    }
}

/// Of whole pages, and at least one: if the process forks while the disk writes into a page (before Linux 6.5), the
/// kernel gives whoever writes to it next a copy, and what the disk brings goes to the other. So nothing else may lie
/// in a page of a buffer.
#[track_caller]
fn layout(capacity: usize, alignment: usize) -> Layout {
    let size = capacity.max(1).checked_next_multiple_of(PAGE).unwrap_or(usize::MAX);
    let layout = match alignment.is_power_of_two() {
        true => Layout::from_size_align(size, alignment.max(PAGE)),
        false => Layout::from_size_align(size, alignment),
    };
    layout.unwrap_or_else(|_| panic!("no buffer of {capacity} bytes is aligned to {alignment}"))
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        match &self.registration {
            Some(registration) => registration.put(self.pointer),
            // SAFETY: rule 1.
            None => unsafe {
                dealloc(self.pointer.as_ptr(), layout(self.capacity, self.alignment));
            },
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: rule 2.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: rules 1 and 2.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

// SAFETY: rules 1 and 2: moving it moves no byte, and nothing changes through a shared reference.
unsafe impl IoBuf for AlignedBuf {
    #[inline]
    fn buf_ptr(&self) -> *const u8 {
        self.pointer.as_ptr()
    }

    #[inline]
    fn buf_len(&self) -> usize {
        self.len
    }

    #[inline]
    fn registration(&self) -> Option<&Registration> {
        self.registration.as_deref()
    }
}

// SAFETY: as above; the rest of the capacity is its own.
unsafe impl IoBufMut for AlignedBuf {
    #[inline]
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    #[inline]
    fn buf_capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    unsafe fn set_buf_len(&mut self, len: usize) {
        self.len = len;
    }
}

impl fmt::Debug for AlignedBuf {
    /// The length, never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AlignedBuf");
        debug.field("len", &self.len).field("capacity", &self.capacity);
        debug
            .field("alignment", &self.alignment)
            .field("registered", &self.is_registered())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_where_it_should_and_keeps_its_bytes_when_it_moves() {
        for alignment in [1, 4, 512, 4096, 1 << 16] {
            for capacity in [0, 1, 511, 512, 10_000] {
                let mut buf = AlignedBuf::new(capacity, alignment);
                assert_eq!(buf.buf_mut_ptr().addr() % alignment, 0);
                assert_eq!((buf.len(), buf.buf_capacity()), (0, capacity));
                buf.resize(capacity, 7);
                let place = buf.buf_ptr();
                let moved = Box::new(buf);
                assert_eq!(moved.buf_ptr(), place);
                assert!(moved.iter().all(|byte| *byte == 7));
            }
        }
    }

    #[test]
    fn nothing_else_lies_in_its_pages() {
        let mut bufs: Vec<AlignedBuf> = [1, 100, 512, 4096, 5000]
            .into_iter()
            .cycle()
            .take(50)
            .map(|size| AlignedBuf::new(size, 8))
            .collect();
        let others: Vec<Box<u64>> = (0..50).map(Box::new).collect();
        let page = |address: usize| address / PAGE;
        let mut pages: Vec<usize> = Vec::new();
        for buf in &mut bufs {
            let first = page(buf.buf_mut_ptr().addr());
            assert_eq!(buf.buf_mut_ptr().addr() % PAGE, 0);
            pages.extend(first..first + buf.capacity().div_ceil(PAGE));
        }
        let count = pages.len();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), count, "a page of two buffers");
        for other in &others {
            let place = page(std::ptr::from_ref::<u64>(other).addr());
            assert!(pages.binary_search(&place).is_err(), "a box in the page of a buffer");
        }
    }

    #[test]
    fn bytes_are_added_changed_and_dropped() {
        let mut buf = AlignedBuf::zeroed(8, 8);
        assert_eq!(&*buf, [0; 8]);
        buf.truncate(2);
        buf.extend_from_slice(b"cdef");
        buf[..2].copy_from_slice(b"ab");
        assert_eq!(&*buf, b"abcdef");
        buf.resize(3, b'!');
        buf.resize(5, b'!');
        assert_eq!(&*buf, b"abc!!");
        buf.truncate(9);
        assert_eq!(buf.as_ref().len(), 5);
        buf.clear();
        assert!(buf.is_empty());
    }

    #[test]
    fn a_size_that_no_memory_has_is_refused() {
        for (capacity, alignment) in
            [(usize::MAX, 1), (isize::MAX as usize, 512), (8, 1 << (usize::BITS - 1))]
        {
            let made = std::panic::catch_unwind(|| AlignedBuf::new(capacity, alignment));
            let payload = made.expect_err("there is no such buffer");
            let text = payload.downcast_ref::<String>().expect("a text");
            assert!(text.starts_with(&format!("no buffer of {capacity} bytes")), "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "9 bytes in a buffer that has room for 8")]
    fn it_does_not_grow() {
        AlignedBuf::zeroed(8, 8).extend_from_slice(b"!");
    }

    #[test]
    #[should_panic(expected = "no buffer of 8 bytes is aligned to 3")]
    fn an_alignment_is_a_power_of_two() {
        let _ = AlignedBuf::new(8, 3);
    }
}
