//! A received message, read where the kernel put it.
//!
//! # Safety rules
//!
//! 1. `address..address + len` is initialised and belongs to this chunk alone: a lent buffer of the pool that
//!    `storage` keeps, or the heap block in `storage`. Neither moves when the chunk does.
#![allow(unsafe_code, reason = "room 2: memory shared with the kernel")]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

use super::pool::{Class, Pool};
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
    address: NonNull<u8>,
    len: u32,
    storage: Storage,
}

enum Storage {
    Lent {
        pool: Rc<Pool>,
        class: Class,
        bid: u16,
    },
    /// A boxed slice, kept as a pointer: moving a `Box` would void the address derived from it.
    Heap(NonNull<[u8]>),
}

impl Chunk {
    /// Wraps a buffer that the kernel handed out, `len` bytes of it filled.
    pub(super) fn lent(
        pool: Rc<Pool>,
        class: Class,
        bid: u16,
        address: NonNull<u8>,
        len: u32,
    ) -> Self {
        Self { address, len, storage: Storage::Lent { pool, class, bid } }
    }

    /// Drops the first `count` bytes from view.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len as usize, "advance by {count} in a chunk of {} bytes", self.len);
        // SAFETY: rule 1: still within the chunk's bytes.
        self.address = unsafe { self.address.add(count) };
        self.len -= count as u32;
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
        matches!(self.storage, Storage::Lent { .. })
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: rule 1.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len as usize) }
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
        let len = u32::try_from(bytes.len()).expect("a chunk has less than 4 GiB");
        let block = NonNull::from(Box::leak(bytes));
        Self { address: block.cast(), len, storage: Storage::Heap(block) }
    }
}

// SAFETY: rule 1: moving the chunk moves no byte, and nothing changes them through a shared reference.
unsafe impl IoBuf for Chunk {
    fn buf_ptr(&self) -> *const u8 {
        self.address.as_ptr()
    }

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
    fn drop(&mut self) {
        match &self.storage {
            Storage::Lent { pool, class, bid } => pool.recycle(*class, *bid),
            // SAFETY: rule 1: `from` leaked this box into the chunk, which is its only owner.
            Storage::Heap(block) => drop(unsafe { Box::from_raw(block.as_ptr()) }),
        }
    }
}
