//! The cells of the file bench, who runs them, and the files they run on.

mod annulus_direct;
mod annulus_files;
mod annulus_log;
mod raw_direct;
pub(crate) mod raw_files;
mod tokio_files;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use annulus::buf::AlignedBuf;

use crate::contest::{Cell, Contestant, Run, Sample, Stopwatch};

pub(crate) static CELLS: &[Cell] = &[
    cell("read_d1", "4 KiB at a random place of a cached file, one at a time", 40_000),
    cell("read_d32", "4 KiB at a random place of a cached file, 32 under way", 80_000),
    cell("read_d128", "4 KiB at a random place of a cached file, 128 under way", 80_000),
    uncounted(
        "direct_d128",
        "4 KiB at a random place of a disk, 128 under way, registered buffers",
        10_000,
    ),
    uncounted("direct_plain_d128", "the same with buffers that are not registered", 10_000),
    uncounted(
        "direct_file_d128",
        "the same with a registered file and buffers, on the bare ring only",
        10_000,
    ),
    uncounted("durable_append", "4 KiB after the other, each on the disk before the next", 1000),
    uncounted("durable_ring", "the same; raw is the bare ring's durable write", 1000),
    uncounted(
        "durable_append_c32",
        "4 KiB, 32 appenders whose records are written together; raw is one writer, as in durable_append",
        4000,
    ),
    cell("open_read_close_d32", "a cached file of 2 KiB: open, read, close; 32 under way", 20_000),
    cell("metadata_d32", "statx of a cached path, 32 under way", 20_000),
    uncounted("read_1m", "1 MiB of a cached file after the other, 4 under way; per MiB", 1000),
    uncounted("write_1m", "1 MiB after the other over a cached file, 4 under way; per MiB", 1000),
];

const fn cell(name: &'static str, about: &'static str, operations: u64) -> Cell {
    Cell { name, about, operations, counted: 4000 }
}

/// Of which instructions in user space say nothing.
const fn uncounted(name: &'static str, about: &'static str, operations: u64) -> Cell {
    Cell { name, about, operations, counted: 0 }
}

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "raw", cells: raw_files::CELLS },
    Contestant { name: "tokio", cells: tokio_files::CELLS },
    Contestant { name: "annulus", cells: annulus_files::CELLS },
];

/// What a random read takes.
pub(crate) const BLOCK: usize = 4096;
/// What a read or write of a stream takes.
const MIB: usize = 1 << 20;
/// How many of them are under way.
const STREAM_DEPTH: usize = 4;
/// The large file.
pub(crate) const LARGE_MIB: u64 = 64;
/// The small files, and their size.
const SMALL_COUNT: usize = 256;
pub(crate) const SMALL_SIZE: usize = 2048;

/// Where the files are.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Says in which folder this process makes a folder for its files.
#[allow(dead_code, reason = "the rivals' bench is several processes")]
pub(crate) fn place(at: &Path) {
    share(at.join(format!("annulus-bench-{}", std::process::id())));
}

/// Uses the files of this folder, so that several processes share them.
pub(crate) fn share(folder: PathBuf) {
    FOLDER.set(folder).expect("said once, before a file is used");
}

fn folder() -> &'static Path {
    FOLDER.get().expect("said at the start")
}

/// Removes the files.
pub(crate) fn clear() {
    let _ = std::fs::remove_dir_all(folder());
}

/// The large file, made at the first call, in the page cache and on the disk, so that nothing is written meanwhile.
pub(crate) fn large() -> File {
    let path = folder().join("large");
    let mut options = File::options();
    if let Ok(file) = options.read(true).write(true).open(&path) {
        return file;
    }
    std::fs::create_dir_all(folder()).expect("a place for files");
    let mut file = options.create_new(true).open(path).expect("a place for files");
    let mib: Vec<u8> = (0..MIB).map(|at| (at * 7) as u8).collect();
    for _ in 0..LARGE_MIB {
        file.write_all(&mib).expect("room for the large file");
    }
    file.sync_all().expect("a disk");
    file
}

/// Where the file is that `direct` makes.
pub(crate) fn direct_path() -> PathBuf {
    folder().join("direct")
}

/// A file that was written past the page cache and is not in it, opened with these flags.
pub(crate) fn direct(flags: i32) -> File {
    let path = direct_path();
    let open = |flags: i32| {
        let mut options = File::options();
        options.read(true).write(true).create(true).custom_flags(flags).open(&path)
    };
    if !path.exists() {
        std::fs::create_dir_all(folder()).expect("a place for files");
        let file = open(libc::O_DIRECT).expect("direct I/O; see --folder");
        let mut mib = AlignedBuf::new(MIB, BLOCK);
        mib.resize(MIB, 7);
        for nth in 0..LARGE_MIB {
            file.write_all_at(&mib, nth * MIB as u64).expect("room for the file");
        }
        file.sync_all().expect("a disk");
    }
    open(flags).expect("just made")
}

/// The small files, made at the first call.
pub(crate) fn small() -> Vec<PathBuf> {
    let paths: Vec<PathBuf> =
        (0..SMALL_COUNT).map(|number| folder().join(format!("small-{number}"))).collect();
    if !paths[SMALL_COUNT - 1].exists() {
        std::fs::create_dir_all(folder()).expect("a place for files");
        for path in &paths {
            std::fs::write(path, [7; SMALL_SIZE]).expect("a place for files");
        }
    }
    paths
}

/// Places in the large file, in an order that no read-ahead guesses.
pub(crate) struct Places(u64);

impl Places {
    pub(crate) fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % (LARGE_MIB * 256) * BLOCK as u64
    }
}
