//! The bare ring: the floor of what is on io_uring.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Fd;

use super::{Page, never, raw_ring_fan};
use crate::contest::Sample;
use crate::disk_jobs::drop_from_cache;
use crate::files::raw_files::keep_under_way;
use crate::files::{self, BLOCK, Places, direct, large};
use crate::rival::{Job, Rival, Server};
use crate::servers::raw_ring::{self, MULTISHOT_16K, MULTISHOT_64K};
use crate::sockets::floor_sockets;
use crate::uring::Uring;

pub(super) static RIVAL: Rival = Rival {
    name: "raw ring",
    about: "a hand-written loop: multishot receive, buffers of the pool, one call a turn",
    package: Some("io-uring"),
    servers: &[
        (
            "echo",
            Server::Tcp(|listener, buffer| {
                let style = if buffer > 16 * 1024 { &MULTISHOT_64K } else { &MULTISHOT_16K };
                raw_ring::serve(listener, never()?, style)
            }),
        ),
        ("fan", Server::Tcp(|listener, _| raw_ring_fan::serve(&listener))),
        ("udp", Server::Udp(|socket| floor_sockets::echo(&socket, u64::MAX, || Ok(())).map(drop))),
    ],
    jobs: &[FILES],
    lacks: &[
        ("append-32", "one writer is its floor: append-1"),
        ("", "a floor of sockets and files alone"),
    ],
};

const FILES: &[(&str, Job)] = &[
    ("read-d1", |operations| read("read_d1", operations)),
    ("read-d32", |operations| read("read_d32", operations)),
    ("read-d128", |operations| read("read_d128", operations)),
    ("read-cold", |operations| read_file(large_cold()?, operations, 32)),
    ("direct-d1", |operations| read_file(direct(libc::O_DIRECT), operations, 1)),
    ("direct-d32", |operations| read_file(direct(libc::O_DIRECT), operations, 32)),
    ("direct-d128", |operations| read_file(direct(libc::O_DIRECT), operations, 128)),
    ("write-d32", |operations| write_file(large(), operations)),
    ("direct-write", |operations| write_file(direct(libc::O_DIRECT), operations)),
    ("append-1", |operations| read("durable_append", operations)),
    ("small-files", |operations| read("open_read_close_d32", operations)),
    ("metadata", |operations| read("metadata_d32", operations)),
];

fn large_cold() -> io::Result<File> {
    let file = large();
    drop_from_cache(&file)?;
    Ok(file)
}

fn read_file(file: File, operations: u64, depth: usize) -> io::Result<Sample> {
    blocks(file, operations, depth, |fd, at, offset| {
        opcode::ReadFixed::new(fd, at, BLOCK as u32, 0).offset(offset).build()
    })
}

fn write_file(file: File, operations: u64) -> io::Result<Sample> {
    blocks(file, operations, 32, |fd, at, offset| {
        opcode::WriteFixed::new(fd, at, BLOCK as u32, 0).offset(offset).build()
    })
}

/// Blocks at random places, in buffers that the ring knows; the entry is of a file, a buffer and a place.
#[allow(unsafe_code, reason = "memory that the kernel reads and writes")]
fn blocks(
    file: File,
    operations: u64,
    depth: usize,
    entry: impl Fn(Fd, *mut u8, u64) -> Entry,
) -> io::Result<Sample> {
    let mut blocks: Vec<Page> = (0..depth).map(|_| Page::ZERO).collect();
    let mut places: Vec<Places> = (0..depth).map(Places::new).collect();
    let base = blocks.as_mut_ptr().cast::<u8>();
    let mut ring = Uring::new(256)?;
    let range = libc::iovec { iov_base: base.cast(), iov_len: depth * BLOCK };
    // SAFETY: the blocks are dropped after the ring.
    unsafe { ring.submitter().register_buffers(&[range])? };
    let fd = Fd(file.as_raw_fd());
    let sample = keep_under_way(&mut ring.queues(), operations, depth, BLOCK as i32, |slot| {
        entry(fd, base.wrapping_add(slot * BLOCK), places[slot].next())
    });
    drop(ring);
    sample
}

/// The cell of the file bench.
fn read(cell: &str, operations: u64) -> io::Result<Sample> {
    let raw = files::CONTESTANTS.iter().find(|contestant| contestant.name == "raw");
    let run = raw.and_then(|raw| raw.cell(cell)).ok_or(io::Error::other("no such cell"))?;
    Ok(run(operations))
}
