//! What lies in a directory.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::start::Start;
use super::{FileType, Metadata};
use crate::blocking;
use crate::op::close::Fd;
use crate::op::open::How;
use crate::sys::directory::{Entry, next_entries};

/// The size of a batch: some 800 entries.
const BATCH_SIZE: usize = 32 * 1024;

/// The entries of a directory, in the file system's order, less `.` and `..`.
///
/// ```
/// use annulus::fs::read_dir;
///
/// annulus::run(async {
///     let mut entries = read_dir("/proc/self/task").await?;
///     while let Some(entry) = entries.next_entry().await? {
///         assert!(entry.file_type().await?.is_dir());
///     }
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// They come in batches of 32 KiB, each of which is a job on the pool of blocking threads: the ring has no operation
/// for it, and a directory that is not in the cache waits for the disk.
pub struct ReadDir {
    from: Rc<From>,
    state: State,
    entries: VecDeque<Entry>,
}

/// Where the entries lie.
#[derive(Debug)]
struct From {
    start: Start,
    path: PathBuf,
}

enum State {
    Open(OwnedFd),
    Reading(Pin<Box<dyn Future<Output = Read>>>),
    Ended,
}

/// What a job gives back.
type Read = io::Result<(OwnedFd, io::Result<Option<Vec<Entry>>>)>;

/// Opens a directory to read its entries.
///
/// If the future is dropped, the directory is closed.
///
/// # Errors
///
/// As `open(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    ReadDir::open(Start::current("annulus::fs::read_dir"), path.as_ref()).await
}

impl ReadDir {
    pub(super) async fn open(start: Start, path: &Path) -> io::Result<Self> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let fd = start.open(path, How { flags, mode: 0, beneath: false })?.await?;
        let from = Rc::new(From { start, path: path.to_owned() });
        let state = State::Open(fd.into_owned());
        Ok(Self { from, state, entries: VecDeque::new() })
    }

    /// The next entry; `None` at the end. What comes or goes meanwhile may or may not be among them.
    ///
    /// If the future is dropped, nothing is lost.
    ///
    /// # Errors
    ///
    /// As `getdents(2)`, and the end afterwards; that the pool is closed.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// As [`next_entry`](Self::next_entry), where nothing can wait.
    ///
    /// # Errors
    ///
    /// As for [`next_entry`](Self::next_entry).
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        while self.entries.is_empty() && !matches!(self.state, State::Ended) {
            ready!(self.poll_batch(cx))?;
        }
        Poll::Ready(Ok(self.entries.pop_front().map(|entry| self.named(entry))))
    }

    /// All the entries of the next batch, which waits only if the last one is used up; none at the end.
    ///
    /// If the future is dropped, nothing is lost.
    ///
    /// # Errors
    ///
    /// As for [`next_entry`](Self::next_entry).
    pub async fn next_batch(&mut self) -> io::Result<Vec<DirEntry>> {
        while self.entries.is_empty() && !matches!(self.state, State::Ended) {
            poll_fn(|cx| self.poll_batch(cx)).await?;
        }
        let entries = std::mem::take(&mut self.entries);
        Ok(entries.into_iter().map(|entry| self.named(entry)).collect())
    }

    fn named(&self, entry: Entry) -> DirEntry {
        DirEntry { from: Rc::clone(&self.from), entry }
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Open(_) = self.state
            && let State::Open(dir) = std::mem::replace(&mut self.state, State::Ended)
        {
            let read = move || {
                let entries = next_entries(dir.as_fd(), &mut vec![0; BATCH_SIZE]);
                (dir, entries)
            };
            self.state = State::Reading(Box::pin(blocking::run("ReadDir", read)));
        }
        let State::Reading(reading) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let read = ready!(reading.as_mut().poll(cx));
        self.state = State::Ended;
        let (dir, entries) = read?;
        match entries {
            Ok(Some(entries)) => {
                self.entries.extend(entries);
                self.state = State::Open(dir);
                Poll::Ready(Ok(()))
            }
            Ok(None) => {
                self.close(dir);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.close(dir);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Closes the directory through the ring.
    fn close(&self, dir: OwnedFd) {
        drop(Fd::new(Rc::clone(&self.from.start.driver), dir));
    }
}

impl Drop for ReadDir {
    fn drop(&mut self) {
        if let State::Open(dir) = std::mem::replace(&mut self.state, State::Ended) {
            self.close(dir);
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.from.path).finish_non_exhaustive()
    }
}

/// An entry of a directory.
#[derive(Clone)]
pub struct DirEntry {
    from: Rc<From>,
    entry: Entry,
}

impl DirEntry {
    /// The path of the directory as it was given, with the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.from.path.join(&self.entry.name)
    }

    /// The name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.name.clone()
    }

    /// The name, without a copy of it.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.entry.name
    }

    /// The number of the file on its device.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.entry.ino
    }

    /// The kind of the file, of a symbolic link its own. The directory mostly tells it; else it is asked for.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As for [`metadata`](Self::metadata), if it has to be asked for.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.entry.kind {
            libc::DT_UNKNOWN => Ok(self.metadata().await?.file_type()),
            // `DT_` and `S_IF` are the same numbers, twelve bits apart.
            kind => Ok(FileType::of_mode(u32::from(kind) << 12)),
        }
    }

    /// What the kernel knows about the file, of a symbolic link about itself.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As `statx(2)`; the file may be gone.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.from.start.statx(&self.path(), libc::AT_SYMLINK_NOFOLLOW)?.await.map(Metadata::new)
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}
