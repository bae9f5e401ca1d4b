//! One piece of memory that a chunk shows: where it lies, where it is in its life, and who is charged for it.
//!
//! A buffer of a pool lies at one place as long as its pool does; that of a chunk on the heap is a box of its own.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use super::pool::{Account, Class};

/// See the head of the file.
pub(super) struct Buffer {
    pub(super) address: NonNull<u8>,
    /// In bytes.
    pub(super) size: u32,
    pub(super) bid: u16,
    pub(super) class: Class,
    pub(super) place: Cell<Place>,
    /// While it is lent: whom it is charged to. It keeps the pool, and so this buffer.
    pub(super) account: Cell<Option<Rc<Account>>>,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the ring: the kernel may write it at any time.
    Ring,
    /// With a chunk, or in the hands of who makes one.
    Lent,
    /// On the stack: the kernel does not know it.
    Spare,
    /// Of no pool.
    Heap,
}

impl Buffer {
    /// The place of `size` bytes on the heap.
    pub(super) fn heap(address: NonNull<u8>, size: u32) -> Self {
        let (class, place) = (Class::Small, Cell::new(Place::Heap));
        Self { address, size, bid: 0, class, place, account: Cell::new(None) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bid", &self.bid).field("place", &self.place.get()).finish()
    }
}
