//! A durable log: records that are there after a crash once their append has ended.
//!
//! # What a commit is
//!
//! All that waits is written at once, whole blocks, with one write that ends when the disk has it (`RWF_DSYNC`). A
//! block is written once: what a commit leaves of its last block stays empty, and the next commit begins with the next
//! block. To fill it up would mean to write a block again that has acknowledged records in it, and a loss of power
//! meanwhile could tear it: only a physical sector, often 512 bytes, is sure to be written whole or not at all. The
//! price is space, at most a block less a byte for each commit; the example prints it. With records of 100 bytes one
//! appender fills 3 % of what is written, and 32 fill 91 %; those who write little have little to save.
//!
//! # What is found again
//!
//! Each record has a checksum, with the number of its segment in it, and an index. Reading stops at the first that is
//! not whole and says where ([`recover`]). A log that was opened again goes on in a new segment, whose head names the
//! index that it begins with: so what was torn is never written over, and what lies behind it is never mistaken for
//! more. Where a segment ends before the next one begins, acknowledged records were lost, and the log does not open.
#![allow(dead_code, reason = "the test, the bench and the example each use a part")]

pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod writer;

use std::io;
use std::path::Path;

use annulus::fs::{self, File, OpenOptions, TryLockError};
use annulus::spawn;
use annulus::sync::{mpsc, oneshot};
use annulus::task::JoinHandle;

use recovery::{Recovered, recover};
use writer::{Append, Totals, Writer};

/// How many appends wait for the writer at most; more wait for room.
const QUEUE: usize = 4096;

/// How the segments of a log are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The bytes of a new one; at least what the longest record needs.
    pub(crate) segment_size: u64,
    /// Past the page cache, where the file system can.
    pub(crate) direct: bool,
}

/// A log that is open for appending. One at a time can be, of a directory.
pub(crate) struct Log {
    appends: mpsc::Sender<Append>,
    writer: JoinHandle<io::Result<Totals>>,
    _lock: File,
}

impl Log {
    /// Opens the log in a directory, which is made if there is none, and gives each record that it has to `each`.
    pub(crate) async fn open(
        dir: &Path,
        settings: Settings,
        each: impl FnMut(u64, &[u8]),
    ) -> io::Result<(Self, Recovered)> {
        fs::create_dir_all(dir).await?;
        let lock = lock(dir).await?;
        let recovered = recover(dir, each).await?;
        if let Some(stop) = &recovered.lost {
            return Err(io::Error::new(io::ErrorKind::InvalidData, stop.to_string()));
        }
        let number = match recovered.last_is_empty {
            true => recovered.last,
            false => recovered.last + 1,
        };
        let writer = Writer::begin(dir.to_owned(), settings, number, recovered.next).await?;
        let (appends, queue) = mpsc::channel(QUEUE);
        Ok((Self { appends, writer: spawn(writer.run(queue)), _lock: lock }, recovered))
    }

    /// Appends a record; when it ends the record is there after a crash, and this is its index.
    ///
    /// If the future is dropped, the record may be written all the same.
    pub(crate) async fn append(&self, payload: Vec<u8>) -> io::Result<u64> {
        if payload.len() > record::PAYLOAD_MAX {
            let text = format!("a record has at most {} bytes", record::PAYLOAD_MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (written, wait) = oneshot::channel();
        self.appends.send(Append { payload, written }).await.map_err(|_| ended())?;
        wait.await.map_err(|_| ended())?
    }

    /// Waits until all that was appended is written.
    pub(crate) async fn close(self) -> io::Result<Totals> {
        let Self { appends, writer, _lock } = self;
        drop(appends);
        writer.await.map_err(io::Error::other)?
    }
}

/// Keeps a second writer out, until the file is closed.
async fn lock(dir: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).open(dir.join("lock")).await?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("another process writes the log in {}", dir.display()),
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn ended() -> io::Error {
    io::Error::other("the log's writer ended after an error")
}
