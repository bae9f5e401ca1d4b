//! Handing the kernel what a ring works with: the ring's own index, rings of provided buffers, and memory by number.
//!
//! # Safety rules
//!
//! 1. Every pointer passed to `io_uring_register` names memory that lives across the call.
//! 2. A buffer ring's memory is a `Mapping` that its owner keeps until `unregister` returned and no operation
//!    that selects from it is in the kernel.
//! 3. Memory registered by number is a `Mapping` that its owner keeps until its place in the table was emptied.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::RawFd;

use super::affinity::Processors;

const REGISTER_BUFFERS2: u32 = 15;
const REGISTER_BUFFERS_UPDATE: u32 = 16;
const REGISTER_IOWQ_AFF: u32 = 17;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
const REGISTER_PBUF_RING: u32 = 22;
const UNREGISTER_PBUF_RING: u32 = 23;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_rsrc_register`.
#[repr(C)]
struct ResourceTable {
    count: u32,
    flags: u32,
    reserved: u64,
    data: u64,
    tags: u64,
}

/// A table begins empty.
const TABLE_SPARSE: u32 = 1;

/// `struct io_uring_rsrc_update2`.
#[repr(C)]
struct TableUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
    tags: u64,
    count: u32,
    reserved_too: u32,
}

/// `struct io_uring_buf_reg`.
#[repr(C)]
struct BufferRegistration {
    ring_address: u64,
    ring_entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

/// Puts the ring in this thread's table of registered rings; returns its index there.
pub(crate) fn ring(fd: RawFd) -> io::Result<u32> {
    let mut update = ResourceUpdate { offset: u32::MAX, reserved: 0, data: fd as u64 };
    register(fd, REGISTER_RING_FDS, (&raw mut update).cast(), 1)?;
    Ok(update.offset)
}

/// Takes the ring out of this thread's table again. The table has sixteen places.
pub(crate) fn forget_ring(fd: RawFd, index: u32) -> io::Result<()> {
    let mut update = ResourceUpdate { offset: index, reserved: 0, data: 0 };
    register(fd, UNREGISTER_RING_FDS, (&raw mut update).cast(), 1)
}

/// Registers a ring of provided buffers at `address` under the number `group`.
///
/// # Safety
///
/// The caller keeps the memory as rule 2 says, and offers only buffers that it owns.
pub(crate) unsafe fn buffer_ring(
    fd: RawFd,
    address: std::ptr::NonNull<u8>,
    entries: u16,
    group: u16,
) -> io::Result<()> {
    let mut registration = BufferRegistration {
        ring_address: address.as_ptr().expose_provenance() as u64,
        ring_entries: u32::from(entries),
        group,
        flags: 0,
        reserved: [0; 3],
    };
    register(fd, REGISTER_PBUF_RING, (&raw mut registration).cast(), 1)
}

/// Takes a ring of provided buffers back.
pub(crate) fn forget_buffer_ring(fd: RawFd, group: u16) -> io::Result<()> {
    let mut registration =
        BufferRegistration { ring_address: 0, ring_entries: 0, group, flags: 0, reserved: [0; 3] };
    register(fd, UNREGISTER_PBUF_RING, (&raw mut registration).cast(), 1)
}

/// Gives the ring an empty table for memory that operations name by number.
pub(crate) fn buffer_table(fd: RawFd, places: u16) -> io::Result<()> {
    let (count, flags) = (u32::from(places), TABLE_SPARSE);
    let mut table = ResourceTable { count, flags, reserved: 0, data: 0, tags: 0 };
    register(fd, REGISTER_BUFFERS2, (&raw mut table).cast(), size_of::<ResourceTable>() as u32)
}

/// Puts memory in a place of the table.
///
/// # Safety
///
/// The caller keeps the memory as rule 3 says.
pub(crate) unsafe fn buffer(
    fd: RawFd,
    place: u16,
    address: std::ptr::NonNull<u8>,
    len: usize,
) -> io::Result<()> {
    let iov_base = address.as_ptr().cast();
    update_buffer(fd, place, libc::iovec { iov_base, iov_len: len })
}

/// Empties a place of the table. Operations under way on its memory keep the pages.
pub(crate) fn forget_buffer(fd: RawFd, place: u16) -> io::Result<()> {
    update_buffer(fd, place, libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 })
}

fn update_buffer(fd: RawFd, place: u16, memory: libc::iovec) -> io::Result<()> {
    let data = (&raw const memory).expose_provenance() as u64;
    let (offset, reserved, tags) = (u32::from(place), 0, 0);
    let mut update = TableUpdate { offset, reserved, data, tags, count: 1, reserved_too: 0 };
    let size = size_of::<TableUpdate>() as u32;
    register(fd, REGISTER_BUFFERS_UPDATE, (&raw mut update).cast(), size)
}

/// Keeps the kernel's worker threads of this ring on these processors.
pub(crate) fn worker_processors(fd: RawFd, processors: &Processors) -> io::Result<()> {
    // A copy, because the kernel's interface has no pointer to what is only read.
    let mut mask = processors.clone();
    register(fd, REGISTER_IOWQ_AFF, mask.as_mut_ptr().cast(), Processors::SIZE as u32)
}

fn register(fd: RawFd, what: u32, argument: *mut libc::c_void, count: u32) -> io::Result<()> {
    // SAFETY: rule 1; each caller in this file passes a live structure of the kind that `what` reads.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, what, argument, count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
