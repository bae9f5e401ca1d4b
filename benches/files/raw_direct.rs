//! The cells past the page cache: on the bare ring with registered buffers, and by `pwrite` on a file that is durable.

#![allow(unsafe_code, reason = "what the kernel fills is read")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use annulus::buf::{AlignedBuf, IoBufMut};
use io_uring::opcode;
use io_uring::types::{Fd, Fixed};

use super::raw_files::keep_under_way;
use super::{BLOCK, LARGE_MIB, Places, Sample, Stopwatch, direct};
use crate::uring::Uring;

/// What of a read the ring knows beforehand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Registered {
    Nothing,
    Buffers,
    FileToo,
}

pub(super) fn read(operations: u64, depth: usize, registered: Registered) -> io::Result<Sample> {
    let file = direct(libc::O_DIRECT);
    let mut memory = AlignedBuf::zeroed(depth * BLOCK, BLOCK);
    let base = memory.buf_mut_ptr();
    let mut places: Vec<Places> = (0..depth).map(Places::new).collect();
    let mut ring = Uring::new(256)?;
    let fd = Fd(file.as_raw_fd());
    if registered != Registered::Nothing {
        let range = libc::iovec { iov_base: base.cast(), iov_len: depth * BLOCK };
        // SAFETY: the memory is dropped after the ring.
        unsafe { ring.submitter().register_buffers(&[range])? };
        ring.submitter().register_files(&[fd.0])?;
    }
    let sample = keep_under_way(&mut ring.queues(), operations, depth, BLOCK as i32, |slot| {
        // SAFETY: a slot is below the depth.
        let (at, len) = (unsafe { base.add(slot * BLOCK) }, BLOCK as u32);
        let offset = places[slot].next();
        match registered {
            Registered::Nothing => opcode::Read::new(fd, at, len).offset(offset).build(),
            Registered::Buffers => opcode::ReadFixed::new(fd, at, len, 0).offset(offset).build(),
            Registered::FileToo => {
                opcode::ReadFixed::new(Fixed(0), at, len, 0).offset(offset).build()
            }
        }
    });
    drop(ring);
    sample
}

/// As a program without a ring would do it: a call that returns when the bytes are on the disk.
pub(super) fn append(operations: u64) -> io::Result<Sample> {
    let file = direct(libc::O_DSYNC);
    let block = vec![1; BLOCK];
    let watch = Stopwatch::start();
    for nth in 0..operations {
        file.write_all_at(&block, nth % (LARGE_MIB * 256) * BLOCK as u64)?;
    }
    Ok(watch.stop(operations))
}

/// The same through the bare ring: one WRITE that ends when the bytes are on the disk.
pub(super) fn append_on_ring(operations: u64) -> io::Result<Sample> {
    let file = direct(libc::O_DIRECT);
    let block = AlignedBuf::zeroed(BLOCK, BLOCK);
    let mut ring = Uring::new(256)?;
    let (fd, mut nth) = (Fd(file.as_raw_fd()), 0);
    keep_under_way(&mut ring.queues(), operations, 1, BLOCK as i32, |_| {
        let offset = nth % (LARGE_MIB * 256) * BLOCK as u64;
        nth += 1;
        let write = opcode::Write::new(fd, block.as_ptr(), BLOCK as u32).offset(offset);
        write.rw_flags(libc::RWF_DSYNC).build()
    })
}
