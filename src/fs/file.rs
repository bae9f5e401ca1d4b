//! An open file, and how it comes and goes.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;

use super::OpenOptions;
use super::operating::{quiet, settle};
use super::start::Start;
use crate::driver::{self, Op};
use crate::op::close::{CloseChecked, Fd};
use crate::op::open::How;
use crate::op::open_file::OpenFile;
use crate::op::position::Position;
use crate::op::receive::busy;
use crate::sys::files;

/// An open file.
///
/// Methods take `&self`, so tasks can read and write one file at once. [`read_at`](Self::read_at) and
/// [`write_at`](Self::write_at), with the caller's own buffers, are the way of least cost; [`read`](Self::read),
/// [`write`](Self::write) and [`seek`](Self::seek) use a position that the file keeps, and copy.
///
/// Dropping it closes the descriptor through the ring, after the last operation on it; an error of that close, or of
/// a dropped write, is lost then. [`close`](Self::close) tells them.
///
/// ```
/// use annulus::fs::File;
///
/// annulus::run(async {
///     let path = std::env::temp_dir().join(format!("annulus-doc-{}", std::process::id()));
///     let file = File::create_new(&path).await?;
///     file.write_all_at("hello", 0).await?;
///     file.sync_data().await?;
///     file.close().await?;
///     let file = File::open(&path).await?;
///     let (count, bytes) = file.read_at(Vec::with_capacity(16), 0).await?;
///     assert_eq!((count, bytes.as_slice()), (5, b"hello".as_slice()));
///     std::fs::remove_file(path)
/// })
/// # .unwrap();
/// ```
pub struct File {
    pub(super) file: Rc<OpenFile>,
}

impl File {
    /// Opens a file for reading; see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let open = Start::current("File::open").open(path.as_ref(), How::READ)?;
        open.await.map(Self::from_fd)
    }

    /// Opens a file for writing, makes it if there is none, and empties it; see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let open =
            OpenOptions::new().write(true).create(true).truncate(true).opening(path.as_ref())?;
        open.await.map(Self::from_fd)
    }

    /// Makes a file, and opens it for reading and writing; see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is something of that name; otherwise as for [`OpenOptions::open`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        let open =
            OpenOptions::new().read(true).write(true).create_new(true).opening(path.as_ref())?;
        open.await.map(Self::from_fd)
    }

    /// The settings with which a file is opened.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over an open file, at its position.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(file: std::fs::File) -> Self {
        let driver = driver::current::expect("File::from_std");
        Self::from_fd(Fd::new(driver, OwnedFd::from(file)))
    }

    pub(super) fn from_fd(fd: Fd) -> Self {
        Self { file: OpenFile::new(fd) }
    }

    /// Gives the file to std, at its position, when no operation is under way on it.
    ///
    /// If the future is dropped, the file is closed.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; `ResourceBusy` if a [`Chunks`](super::Chunks), a
    /// [`WriteBehind`](super::WriteBehind) or a leaked future holds the file. It is closed then.
    pub async fn into_std(self) -> io::Result<std::fs::File> {
        settle(&self.file).await?;
        if let Position::At(position) = self.file.cursor().position.get() {
            files::set_position(self.as_fd(), position)?;
        }
        Ok(self.into_fd()?.into_owned().into())
    }

    /// Closes the file when no operation is under way on it, and tells how that went. Some file systems, such as those
    /// of networks, write only then.
    ///
    /// If the future is dropped, the file is closed all the same.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; otherwise as `close(2)`. `ResourceBusy` if a
    /// [`Chunks`](super::Chunks), a [`WriteBehind`](super::WriteBehind) or a leaked future holds the file. The
    /// descriptor is closed in each case, in the last one after them.
    pub async fn close(self) -> io::Result<()> {
        quiet(&self.file).await;
        let lost = self.file.take_lost();
        let driver = Rc::clone(self.file.driver());
        let fd = self.into_fd()?;
        let closed = Op::new(driver, CloseChecked { fd }).await;
        lost.map_or(closed, Err)
    }

    fn into_fd(self) -> io::Result<Fd> {
        self.file
            .into_fd()
            .ok_or_else(|| busy("a leaked future, a Chunks or a WriteBehind of this file holds it"))
    }

    /// A second handle of the same open file, with a descriptor of its own. It starts at this one's position, and then
    /// each has its own; locks are shared. A system call that does not block.
    ///
    /// # Errors
    ///
    /// As `fcntl(2)` with `F_DUPFD_CLOEXEC`.
    pub fn try_clone(&self) -> io::Result<Self> {
        let fd = self.file.duplicate()?;
        let clone = Self::from_fd(Fd::new(Rc::clone(self.file.driver()), fd));
        clone.file.cursor().position.set(self.file.cursor().position.get());
        Ok(clone)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
