//! A received message, read where the kernel put it.
//!
//! # Safety rules
//!
//! 1. `buffer` belongs to this chunk alone and its bytes `..start + len` are initialised. It is a lent buffer of a
//!    pool, kept by the account that it names, or a box of its own around the memory of a vector, whose capacity is the
//!    buffer's size, both made in `from`. Neither moves when the chunk does.
#![allow(unsafe_code, reason = "room 2: memory shared with the kernel")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

use super::buffer::{Buffer, Place};
use super::pool::Account;
use super::traits::IoBuf;

/// Received bytes, in a buffer of the core's pool.
///
/// It dereferences to `[u8]`, can be sent from where it lies, and gives its buffer back when it is dropped. Holding
/// many of them is safe: a stream past its share receives chunks on the heap instead. A chunk outlives its stream
/// and its runtime; it does not leave its thread:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<annulus::buf::Chunk>();
/// ```
pub struct Chunk {
    buffer: NonNull<Buffer>,
    start: u32,
    len: u32,
}

// It is moved a dozen times between the kernel and the user's hands and back.
const _: () = assert!(size_of::<Option<Chunk>>() == 16);

impl Chunk {
    /// Wraps a buffer that the kernel handed out, `len` bytes of it filled. It is charged to `account`.
    ///
    /// # Safety
    ///
    /// The buffer is of the pool of `account`, was just lent, and so many bytes of it are initialised.
    #[inline]
    pub(super) unsafe fn lent(buffer: &Buffer, account: Rc<Account>, len: u32) -> Self {
        // There was none: nothing is to be dropped.
        let _none = ManuallyDrop::new(buffer.account.replace(Some(account)));
        Self { buffer: NonNull::from(buffer), start: 0, len }
    }

    #[inline]
    fn buffer(&self) -> &Buffer {
        // SAFETY: rule 1.
        unsafe { self.buffer.as_ref() }
    }

    /// Gives the memory of a chunk on the heap back.
    #[cold]
    fn free(&mut self) {
        // SAFETY: rule 1: `from` leaked this box into the chunk.
        let buffer = unsafe { Box::from_raw(self.buffer.as_ptr()) };
        // SAFETY: as above, for the vector's memory.
        drop(unsafe { Vec::from_raw_parts(buffer.address.as_ptr(), 0, buffer.size as usize) });
    }

    /// Drops the first `count` bytes from view.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len as usize, "advance by {count} in a chunk of {} bytes", self.len);
        self.start += count as u32;
        self.len -= count as u32;
    }

    /// The last `count` bytes that were dropped from view.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    #[inline]
    pub(crate) fn before(&self, count: usize) -> &[u8] {
        let from = (self.start as usize).checked_sub(count);
        let from = from.expect("so many bytes were dropped from view");
        // SAFETY: rule 1: within the buffer, before what is in view.
        unsafe { std::slice::from_raw_parts(self.buffer().address.as_ptr().add(from), count) }
    }

    /// Copies as many of the first bytes as fit, and drops them from view; says how many.
    pub(crate) fn take_into(&mut self, buf: &mut [u8]) -> usize {
        let count = self.len().min(buf.len());
        buf[..count].copy_from_slice(&self[..count]);
        self.advance(count);
        count
    }

    /// Keeps the first `len` bytes in view; does nothing if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Copies the bytes into memory of their own and gives the buffer back.
    pub fn into_bytes(self) -> Vec<u8> {
        self.to_vec()
    }

    /// The bytes lie in a buffer of the pool, not on the heap.
    pub fn is_pooled(&self) -> bool {
        self.buffer().place.get() != Place::Heap
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: rule 1.
        unsafe { std::slice::from_raw_parts(self.buf_ptr(), self.len as usize) }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Box<[u8]>> for Chunk {
    /// A chunk on the heap.
    ///
    /// # Panics
    ///
    /// If it has 4 GiB or more.
    fn from(bytes: Box<[u8]>) -> Self {
        Self::from(Vec::from(bytes))
    }
}

impl From<Vec<u8>> for Chunk {
    /// A chunk on the heap: the vector's memory, which is not copied.
    ///
    /// # Panics
    ///
    /// If it has room for 4 GiB or more.
    fn from(bytes: Vec<u8>) -> Self {
        let size = u32::try_from(bytes.capacity()).expect("a chunk has less than 4 GiB");
        let mut bytes = ManuallyDrop::new(bytes);
        let len = bytes.len() as u32;
        let address = NonNull::new(bytes.as_mut_ptr()).expect("no vector's memory is at null");
        let buffer = NonNull::from(Box::leak(Box::new(Buffer::heap(address, size))));
        Self { buffer, start: 0, len }
    }
}

// SAFETY: rule 1: moving the chunk moves no byte, and nothing changes them through a shared reference.
unsafe impl IoBuf for Chunk {
    #[inline]
    fn buf_ptr(&self) -> *const u8 {
        // SAFETY: rule 1: within the buffer.
        unsafe { self.buffer().address.as_ptr().add(self.start as usize) }
    }

    #[inline]
    fn buf_len(&self) -> usize {
        self.len as usize
    }
}

impl fmt::Debug for Chunk {
    /// The length, never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len).field("pooled", &self.is_pooled()).finish()
    }
}

impl Drop for Chunk {
    #[inline]
    fn drop(&mut self) {
        match self.buffer().account.take() {
            Some(account) => account.recycle(self.buffer()),
            None => self.free(),
        }
    }
}
