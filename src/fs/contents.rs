//! What becomes of a file's bytes: on the disk, in advance, and in the cache.

use std::io;
use std::ops::Range;

use super::File;
use super::operating::{Operating, settle};
use crate::op::fadvise::Fadvise;
use crate::op::fallocate::Fallocate;
use crate::op::fsync::Fsync;
use crate::op::open_file::Hold;

/// What [`File::allocate`] does with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocation {
    /// Space for the range; the file grows to its end, and what is new reads as zeroes.
    Extend,
    /// Space for the range; the file's length stays.
    KeepLen,
    /// The range reads as zeroes, its space stays, and the file grows to its end.
    Zero,
    /// The space goes back to the file system, and the range reads as zeroes; the file's length stays.
    PunchHole,
}

/// What the kernel is told about the use of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing in particular.
    Normal,
    /// From its begin to its end: read ahead more.
    Sequential,
    /// Here and there: do not read ahead.
    Random,
    /// Soon: begin to read it.
    WillNeed,
    /// Not soon: what is cached and not dirty may go.
    DontNeed,
    /// Once.
    NoReuse,
}

impl File {
    /// Waits until all that was written, and what the kernel keeps about the file, is on the disk. It waits first for
    /// the writes whose futures were dropped.
    ///
    /// An operation, because the call would block the loop; the kernel hands it to a thread of its own.
    ///
    /// If the future is dropped before it is done, it ends in the kernel, and if it fails the next write, sync or close
    /// says so.
    ///
    /// # Errors
    ///
    /// That of a write or sync whose future was dropped; otherwise as `fsync(2)`. After an error it is not known which
    /// writes reached the disk, and a second sync that succeeds says nothing about them.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(false, 0, 0).await
    }

    /// As [`sync_all`](Self::sync_all), for the bytes and what is needed to read them, such as the length.
    ///
    /// If the future is dropped, and errors: as for `sync_all`, with `fdatasync(2)`.
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(true, 0, 0).await
    }

    /// As [`sync_data`](Self::sync_data), for a range of bytes at least: it is up to the file system whether it writes
    /// more than that.
    ///
    /// If the future is dropped: as for [`sync_all`](Self::sync_all).
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](Self::sync_all).
    pub async fn sync_range(&self, range: Range<u64>) -> io::Result<()> {
        match u32::try_from(range.end.saturating_sub(range.start)) {
            Ok(0) => settle(&self.file).await,
            Ok(len) => self.sync(true, range.start, len).await,
            // The entry has no room for the length.
            Err(_) => self.sync(true, 0, 0).await,
        }
    }

    async fn sync(&self, data: bool, offset: u64, len: u32) -> io::Result<()> {
        settle(&self.file).await?;
        Operating::new(&*self.file, Fsync { hold: Hold::new(&self.file), data, offset, len }).await
    }

    /// Gives a range of the file its space in advance, or takes it away.
    ///
    /// If the future is dropped after the loop turned, it happens all the same, and if it fails the next write, sync or
    /// close says so.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; `StorageFull` if there is not enough space; `Unsupported` if the file
    /// system has no such thing; otherwise as `fallocate(2)`, which refuses an empty range.
    pub async fn allocate(&self, range: Range<u64>, allocation: Allocation) -> io::Result<()> {
        let mode = match allocation {
            Allocation::Extend => 0,
            Allocation::KeepLen => libc::FALLOC_FL_KEEP_SIZE,
            Allocation::Zero => libc::FALLOC_FL_ZERO_RANGE,
            Allocation::PunchHole => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        };
        let (offset, len) = (range.start, range.end.saturating_sub(range.start));
        let hold = Hold::new(&self.file);
        Operating::new(&*self.file, Fallocate { hold, mode, offset, len }).await
    }

    /// Tells the kernel how a range will be used. It is free to do nothing about it.
    ///
    /// If the future is dropped, it may or may not have been told.
    ///
    /// # Errors
    ///
    /// As `posix_fadvise(2)`; a pipe takes no advice.
    pub async fn advise(&self, range: Range<u64>, advice: Advice) -> io::Result<()> {
        let advice = match advice {
            Advice::Normal => libc::POSIX_FADV_NORMAL,
            Advice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
            Advice::Random => libc::POSIX_FADV_RANDOM,
            Advice::WillNeed => libc::POSIX_FADV_WILLNEED,
            Advice::DontNeed => libc::POSIX_FADV_DONTNEED,
            Advice::NoReuse => libc::POSIX_FADV_NOREUSE,
        };
        let (mut offset, end) = (range.start, range.end);
        while offset < end {
            let len = (end - offset).min(ADVICE_MAX);
            // A length of zero is the rest, for the kernel too.
            let entry_len = if end == u64::MAX { 0 } else { len as u32 };
            let hold = Hold::new(&self.file);
            Operating::new(&*self.file, Fadvise { hold, advice, offset, len: entry_len }).await?;
            offset = if end == u64::MAX { end } else { offset + len };
        }
        Ok(())
    }
}

/// The longest range of one advice: what an entry has room for, in whole pages.
const ADVICE_MAX: u64 = (u32::MAX as u64) & !0xffff;
