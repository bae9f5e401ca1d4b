//! A ring of provided buffers: the kernel takes one when data arrives, the loop gives it back when it is read.

#![allow(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The one buffer group of each ring here.
pub(crate) const GROUP: u16 = 0;

pub(crate) struct Buffers {
    entries: Mapping,
    memory: Mapping,
    size: usize,
    mask: u16,
    tail: u16,
    /// Buffers that are with the kernel.
    available: usize,
}

/// Anonymous memory, touched beforehand so that no page fault falls into a measurement.
struct Mapping {
    address: *mut u8,
    length: usize,
}

impl Buffers {
    /// Memory for `count` buffers, a power of two, of `size` bytes. Made before the ring that will use it, and
    /// so dropped after it.
    pub(crate) fn new(count: u16, size: usize) -> io::Result<Self> {
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * size)?;
        Ok(Self { entries, memory, size, mask: count - 1, tail: 0, available: 0 })
    }

    /// Gives all buffers to the kernel.
    pub(crate) fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let (address, count) = (self.entries.address as u64, self.mask + 1);
        // SAFETY: the mapping holds `count` entries and outlives the ring, as `new` says.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0)? };
        (0..count).for_each(|id| self.give_back(id));
        self.publish();
        Ok(())
    }

    pub(crate) fn available(&self) -> usize {
        self.available
    }

    /// The kernel took a buffer.
    #[inline]
    pub(crate) fn take(&mut self) {
        self.available -= 1;
    }

    #[inline]
    pub(crate) fn address(&self, id: u16) -> *mut u8 {
        // SAFETY: ids come from the kernel, which knows only those below the count.
        unsafe { self.memory.address.add(usize::from(id) * self.size) }
    }

    /// Gives a buffer back; the kernel sees it at the next `publish`.
    #[inline]
    pub(crate) fn give_back(&mut self, id: u16) {
        let entries = self.entries.address.cast::<BufRingEntry>();
        // SAFETY: the masked index is inside the mapping, and the kernel does not read beyond its tail.
        let entry = unsafe { &mut *entries.add(usize::from(self.tail & self.mask)) };
        entry.set_addr(self.address(id) as u64);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.available += 1;
    }

    #[inline]
    pub(crate) fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry of the mapping, aligned, and only this thread writes it.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.entries.address.cast::<BufRingEntry>());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { address: address.cast(), length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own; the ring that wrote to it is closed.
        unsafe { libc::munmap(self.address.cast(), self.length) };
    }
}
