//! The cells on the bare ring.

#![allow(unsafe_code, reason = "what the kernel fills is read")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};

use super::raw_direct::{self, Registered};
use super::{
    BLOCK, LARGE_MIB, MIB, Places, Run, SMALL_SIZE, STREAM_DEPTH, Sample, Stopwatch, large, small,
};
use crate::uring::{Queues, Uring};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("read_d1", |operations| done(read(operations, 1))),
    ("read_d32", |operations| done(read(operations, 32))),
    ("read_d128", |operations| done(read(operations, 128))),
    ("direct_d128", |operations| done(raw_direct::read(operations, 128, Registered::Buffers))),
    ("direct_plain_d128", |operations| {
        done(raw_direct::read(operations, 128, Registered::Nothing))
    }),
    ("direct_file_d128", |operations| done(raw_direct::read(operations, 128, Registered::FileToo))),
    ("durable_append", |operations| done(raw_direct::append(operations))),
    ("durable_ring", |operations| done(raw_direct::append_on_ring(operations))),
    // An eighth of the appends, because each waits for the disk.
    ("durable_append_c32", |operations| done(raw_direct::append(operations / 8))),
    ("open_read_close_d32", |operations| done(open_read_close(operations, 32))),
    ("metadata_d32", |operations| done(metadata(operations, 32))),
    ("read_1m", |operations| done(stream(operations, false))),
    ("write_1m", |operations| done(stream(operations, true))),
];

fn done(sample: io::Result<Sample>) -> Sample {
    match sample {
        Ok(sample) => sample,
        Err(error) => panic!("the bare ring failed: {error}"),
    }
}

/// Keeps `depth` operations under way until all were done; each is of one entry, made by `entry` for a slot.
pub(crate) fn keep_under_way(
    queues: &mut Queues<'_>,
    operations: u64,
    depth: usize,
    expected: i32,
    mut entry: impl FnMut(usize) -> Entry,
) -> io::Result<Sample> {
    let watch = Stopwatch::start();
    let mut begun = 0;
    for slot in 0..depth {
        queues.push(&entry(slot).user_data(slot as u64))?;
        begun += 1;
    }
    let mut ended = 0;
    while ended < operations {
        queues.turn()?;
        while let Some(completion) = queues.next() {
            assert_eq!(completion.result, expected);
            ended += 1;
            if begun < operations {
                begun += 1;
                let slot = completion.user_data as usize;
                queues.push(&entry(slot).user_data(completion.user_data))?;
            }
        }
    }
    Ok(watch.stop(operations))
}

fn read(operations: u64, depth: usize) -> io::Result<Sample> {
    let file = large();
    let mut bufs = vec![vec![0_u8; BLOCK]; depth];
    let mut places: Vec<Places> = (0..depth).map(Places::new).collect();
    let mut ring = Uring::new(256)?;
    let fd = Fd(file.as_raw_fd());
    keep_under_way(&mut ring.queues(), operations, depth, BLOCK as i32, |slot| {
        opcode::Read::new(fd, bufs[slot].as_mut_ptr(), BLOCK as u32)
            .offset(places[slot].next())
            .build()
    })
}

fn stream(operations: u64, writes: bool) -> io::Result<Sample> {
    let file = large();
    let mut bufs = vec![vec![0_u8; MIB]; STREAM_DEPTH];
    let mut ring = Uring::new(256)?;
    let fd = Fd(file.as_raw_fd());
    let mut next = 0;
    keep_under_way(&mut ring.queues(), operations, STREAM_DEPTH, MIB as i32, |slot| {
        let offset = next % LARGE_MIB * MIB as u64;
        next += 1;
        match writes {
            true => opcode::Write::new(fd, bufs[slot].as_ptr(), MIB as u32).offset(offset).build(),
            false => {
                opcode::Read::new(fd, bufs[slot].as_mut_ptr(), MIB as u32).offset(offset).build()
            }
        }
    })
}

fn c_paths() -> Vec<CString> {
    let paths = small().into_iter();
    paths.map(|path| CString::new(path.as_os_str().as_bytes()).expect("no zero in it")).collect()
}

fn metadata(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = c_paths();
    // SAFETY: numbers throughout.
    let mut answers: Vec<libc::statx> =
        (0..depth).map(|_| unsafe { MaybeUninit::zeroed().assume_init() }).collect();
    let mut ring = Uring::new(256)?;
    let mut next = 0;
    keep_under_way(&mut ring.queues(), operations, depth, 0, |slot| {
        next += 1;
        let path = paths[next % paths.len()].as_ptr();
        opcode::Statx::new(Fd(libc::AT_FDCWD), path, (&raw mut answers[slot]).cast())
            .mask(libc::STATX_BASIC_STATS | libc::STATX_BTIME)
            .build()
    })
}

/// Chains of three entries, on descriptors of the ring's own, linked so that a short read does not break them.
fn open_read_close(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = c_paths();
    let mut bufs = vec![vec![0_u8; BLOCK]; depth];
    let mut ring = Uring::new(256)?;
    ring.submitter().register_files_sparse(depth as u32)?;
    let mut next = 0;
    let mut chain = |queues: &mut Queues<'_>, slot: usize| {
        next += 1;
        let (path, file) = (paths[next % paths.len()].as_ptr(), Fixed(slot as u32));
        let number = DestinationSlot::try_from_slot_target(slot as u32).ok();
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path).file_index(number).build();
        let read = opcode::Read::new(file, bufs[slot].as_mut_ptr(), BLOCK as u32).build();
        let close = opcode::Close::new(file).build();
        queues.push(&open.flags(Flags::IO_HARDLINK | Flags::SKIP_SUCCESS).user_data(u64::MAX))?;
        queues.push(&read.flags(Flags::IO_HARDLINK).user_data(slot as u64))?;
        queues.push(&close.user_data(slot as u64 | CLOSE))
    };
    let mut queues = ring.queues();
    let watch = Stopwatch::start();
    let mut begun = 0;
    for slot in 0..depth {
        chain(&mut queues, slot)?;
        begun += 1;
    }
    let mut ended = 0;
    while ended < operations {
        queues.turn()?;
        while let Some(completion) = queues.next() {
            if completion.user_data & CLOSE == 0 {
                assert_eq!(completion.result, SMALL_SIZE as i32);
                continue;
            }
            assert_eq!(completion.result, 0);
            ended += 1;
            if begun < operations {
                begun += 1;
                chain(&mut queues, (completion.user_data & !CLOSE) as usize)?;
            }
        }
    }
    Ok(watch.stop(operations))
}

/// Marks the last entry of a chain.
const CLOSE: u64 = 1 << 32;
