//! A private anonymous mapping: page-aligned, zeroed memory that a forked child does not inherit.
//!
//! # Safety rules
//!
//! 1. `address` and `size` are what mmap returned for this value alone; it is unmapped once, on drop.
//! 2. Who reads or writes through `pointer()` argues it at the place; the mapping itself hands out no reference.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::ptr::NonNull;

/// The smallest page.
pub(crate) const PAGE: usize = 4096;

/// Owned pages. They live until the value is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    size: usize,
}

impl Mapping {
    /// Maps at least `size` bytes, rounded up to whole pages by the kernel.
    pub(crate) fn new(size: usize) -> io::Result<Self> {
        // SAFETY: rule 1; an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: rule 1; the range was just mapped. A kernel without DONTFORK support only loses the protection.
        unsafe { libc::madvise(address, size, libc::MADV_DONTFORK) };
        let address = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { address, size })
    }

    pub(crate) fn pointer(&self) -> NonNull<u8> {
        self.address
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: rule 1.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.size) };
    }
}
