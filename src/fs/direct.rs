//! A file that is read and written past the page cache, and how it comes and goes.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use super::alignment::unsupported;
use super::start::Start;
use super::{Alignment, Allocation, File, Metadata, OpenOptions};
use crate::buf::AlignedBuf;
use crate::sys::files;

/// A file open for direct I/O (`O_DIRECT`): its bytes go between the disk and the caller's buffers, past the page
/// cache.
///
/// It is for programs with a cache of their own, such as databases, and for logs. Offsets, lengths and the addresses of
/// buffers must be [aligned](Self::alignment), for which there is [`AlignedBuf`], best of a
/// [`RegisteredPool`](super::RegisteredPool); what is not is refused with an error that names what is wanted and what
/// was given. Methods take `&self`, so tasks can read and write one file at once. What a dropped future does is as for
/// [`File`].
///
/// That a direct write is over does not mean that it lasts: the disk may have it in a cache of its own, and the file
/// system not have written where it lies. For that there are [`write_durable_at`](Self::write_durable_at) and
/// [`sync_data`](Self::sync_data).
///
/// There is no polling for completions (`IORING_SETUP_IOPOLL`): a ring polls for all of its operations or for none, and
/// so could have no socket or timer; and disks are polled only where the driver was loaded with queues for it, which
/// none does by default.
///
/// ```no_run
/// use annulus::fs::DirectFile;
///
/// annulus::run(async {
///     let file = DirectFile::create("journal").await?;
///     let mut block = file.buffer(4096);
///     block.resize(block.capacity(), b'x');
///     let block = file.write_all_durable_at(block, 0).await?;
///     let block = file.read_exact_at(block, 0).await?;
///     assert!(block.iter().all(|byte| *byte == b'x'));
///     file.close().await
/// })
/// # .unwrap();
/// ```
pub struct DirectFile {
    pub(super) file: File,
    pub(super) alignment: Alignment,
}

impl OpenOptions {
    /// Opens the file past the page cache; see [`DirectFile`].
    ///
    /// If the future is dropped: as for [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// `InvalidInput` also with [`append`](Self::append), because the end of a file need not be aligned; `Unsupported`
    /// if the file system, or this file of it, has no direct I/O, in which case the file may have been made; otherwise
    /// as for [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn open_direct(&self, path: impl AsRef<Path>) -> io::Result<DirectFile> {
        let start = Start::current("OpenOptions::open_direct");
        let mut how = self.how()?;
        if how.flags & libc::O_APPEND != 0 {
            return Err(appending());
        }
        how.flags |= libc::O_DIRECT;
        match start.open(path.as_ref(), how)?.await {
            Ok(fd) => DirectFile::of(File::from_fd(fd)).await,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(unsupported()),
            Err(error) => Err(error),
        }
    }
}

impl DirectFile {
    /// Opens a file for reading; see [`OpenOptions::open_direct`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open_direct`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open_direct(path).await
    }

    /// Opens a file for reading and writing, makes it if there is none, and empties it; see
    /// [`OpenOptions::open_direct`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open_direct`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.open_direct(path).await
    }

    /// Takes over a file that was opened with `O_DIRECT`.
    ///
    /// If the future is dropped, the file is closed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it was opened without `O_DIRECT` or for appending; `Unsupported` as for
    /// [`OpenOptions::open_direct`]. It is closed then.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn from_std(file: std::fs::File) -> io::Result<Self> {
        let file = File::from_std(file);
        let flags = files::flags(file.as_fd())?;
        if flags & libc::O_DIRECT == 0 {
            let text = "the file was not opened for direct I/O (O_DIRECT)";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if flags & libc::O_APPEND != 0 {
            return Err(appending());
        }
        Self::of(file).await
    }

    async fn of(file: File) -> io::Result<Self> {
        let alignment = Alignment::of(&file.file).await?;
        Ok(Self { file, alignment })
    }

    /// What offsets, lengths and addresses must be multiples of.
    ///
    /// The kernel says so. Where a file system does not tell, which is so for some that take anything, it is the file
    /// system's block, and at most 4096.
    #[must_use]
    pub fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// An empty buffer for this file with room for at least `capacity` bytes, in whole units of its alignment.
    ///
    /// # Panics
    ///
    /// If that is beyond `isize::MAX`.
    #[must_use]
    pub fn buffer(&self, capacity: usize) -> AlignedBuf {
        let Alignment { memory, offset } = self.alignment;
        AlignedBuf::new(capacity.checked_next_multiple_of(offset).unwrap_or(usize::MAX), memory)
    }

    /// Gives the file to std when no operation is under way on it; its position is where it was opened.
    ///
    /// If the future is dropped, the file is closed.
    ///
    /// # Errors
    ///
    /// As for [`File::into_std`].
    pub async fn into_std(self) -> io::Result<std::fs::File> {
        self.file.into_std().await
    }

    /// Closes the file when no operation is under way on it, and tells how that went; see [`File::close`].
    ///
    /// If the future is dropped, the file is closed all the same.
    ///
    /// # Errors
    ///
    /// As for [`File::close`].
    pub async fn close(self) -> io::Result<()> {
        self.file.close().await
    }

    /// Waits until all that was written, and what the kernel keeps about the file, is on the disk; see
    /// [`File::sync_all`].
    ///
    /// If the future is dropped: as for [`File::sync_all`].
    ///
    /// # Errors
    ///
    /// As for [`File::sync_all`].
    pub async fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all().await
    }

    /// As [`sync_all`](Self::sync_all), for the bytes and what is needed to read them.
    ///
    /// If the future is dropped: as for [`File::sync_all`].
    ///
    /// # Errors
    ///
    /// As for [`File::sync_all`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().await
    }

    /// Cuts the file to `len` bytes, which need not be aligned, or lengthens it; see [`File::set_len`].
    ///
    /// If the future is dropped: as for [`File::set_len`].
    ///
    /// # Errors
    ///
    /// As for [`File::set_len`].
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).await
    }

    /// Gives a range of the file its space in advance, or takes it away; see [`File::allocate`].
    ///
    /// A write into space that was never written is dearer than one over bytes that are there: the file system notes
    /// with each that the space now holds something. For a log, write zeroes over the space once.
    ///
    /// If the future is dropped: as for [`File::allocate`].
    ///
    /// # Errors
    ///
    /// As for [`File::allocate`].
    pub async fn allocate(&self, range: Range<u64>, allocation: Allocation) -> io::Result<()> {
        self.file.allocate(range, allocation).await
    }

    /// What the kernel knows about the file; see [`File::metadata`].
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As for [`File::metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata().await
    }

    /// The size in bytes; of a block device it is 0.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As for [`File::metadata`].
    pub async fn size(&self) -> io::Result<u64> {
        self.file.metadata().await.map(|metadata| metadata.len())
    }
}

fn appending() -> io::Error {
    let text = "a file that is read and written past the page cache cannot be open for appending: its end need not be \
                aligned";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl fmt::Debug for DirectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("DirectFile");
        debug.field("fd", &self.as_raw_fd()).field("alignment", &self.alignment);
        debug.finish_non_exhaustive()
    }
}

impl AsFd for DirectFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for DirectFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
