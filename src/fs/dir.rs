//! A directory that is kept open, and the operations on what lies in it.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::operating::Operating;
use super::start::{self, Start};
use super::{DirBuilder, File, Metadata, OpenOptions, ReadDir};
use crate::driver;
use crate::op::close::Fd;
use crate::op::fsync::Fsync;
use crate::op::open::How;
use crate::op::open_file::{Hold, OpenFile};
use crate::op::place::{Base, Place};

/// A directory that is kept open.
///
/// Relative paths start from it, wherever it is moved and whatever the process's current directory is. An absolute path
/// is itself; to keep paths of others inside, see [`OpenOptions::beneath`].
///
/// ```
/// use annulus::fs::{self, Dir};
///
/// annulus::run(async {
///     let path = std::env::temp_dir().join(format!("annulus-dir-{}", std::process::id()));
///     fs::create_dir(&path).await?;
///     let dir = Dir::open(&path).await?;
///     dir.create("new").await?.write_all_at("content", 0).await?;
///     dir.rename("new", &dir, "file").await?;
///     // The names are on the disk now, too.
///     dir.sync_all().await?;
///     assert_eq!(dir.metadata("file").await?.len(), 7);
///     fs::remove_dir_all(path).await
/// })
/// # .unwrap();
/// ```
pub struct Dir {
    start: Start,
    dir: Rc<OpenFile>,
}

impl Dir {
    /// Opens a directory.
    ///
    /// If the future is dropped, it is closed.
    ///
    /// # Errors
    ///
    /// `NotADirectory` if it is something else; otherwise as `open(2)`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_from(&Start::current("Dir::open"), path.as_ref()).await
    }

    async fn open_from(start: &Start, path: &Path) -> io::Result<Self> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        Ok(Self::from_fd(start.open(path, How { flags, mode: 0, beneath: false })?.await?))
    }

    /// Takes over a descriptor. Whether it is a directory's shows at the first use.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_owned_fd(fd: OwnedFd) -> Self {
        Self::from_fd(Fd::new(driver::current::expect("Dir::from_owned_fd"), fd))
    }

    fn from_fd(fd: Fd) -> Self {
        let driver = Rc::clone(fd.driver());
        let dir = OpenFile::new(fd);
        Self { start: Start { driver, base: Base::Dir(Rc::clone(&dir)) }, dir }
    }

    /// Opens a directory in this one; see [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub async fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_from(&self.start, path.as_ref()).await
    }

    /// Opens a file for reading; see [`File::open`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    pub async fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_with(OpenOptions::new().read(true), path).await
    }

    /// Opens a file for writing, makes it if there is none, and empties it; see [`File::create`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.open_with(OpenOptions::new().write(true).create(true).truncate(true), path).await
    }

    /// Opens a file; see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    pub async fn open_with(
        &self,
        options: &OpenOptions,
        path: impl AsRef<Path>,
    ) -> io::Result<File> {
        self.start.open(path.as_ref(), options.how()?)?.await.map(File::from_fd)
    }

    /// The entries of this directory; see [`read_dir`](super::read_dir()).
    ///
    /// # Errors
    ///
    /// As for [`read_dir`](super::read_dir()).
    pub async fn read_dir(&self) -> io::Result<ReadDir> {
        ReadDir::open(self.start.clone(), Path::new(".")).await
    }

    /// What the kernel knows about the directory itself; see [`File::metadata`].
    ///
    /// # Errors
    ///
    /// As `statx(2)`.
    pub async fn dir_metadata(&self) -> io::Result<Metadata> {
        let (driver, place) = (Rc::clone(&self.start.driver), Place::of_file(&self.dir));
        start::statx(driver, place, libc::AT_EMPTY_PATH).await.map(Metadata::new)
    }

    /// See [`metadata`](super::metadata()).
    ///
    /// # Errors
    ///
    /// As `statx(2)`.
    pub async fn metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        self.start.statx(path.as_ref(), 0)?.await.map(Metadata::new)
    }

    /// See [`symlink_metadata`](super::symlink_metadata).
    ///
    /// # Errors
    ///
    /// As `statx(2)`.
    pub async fn symlink_metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        self.start.statx(path.as_ref(), libc::AT_SYMLINK_NOFOLLOW)?.await.map(Metadata::new)
    }

    /// See [`exists`](super::exists).
    ///
    /// # Errors
    ///
    /// As for [`exists`](super::exists).
    pub async fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        self.start.exists(path.as_ref()).await
    }

    /// See [`remove_file`](super::remove_file).
    ///
    /// # Errors
    ///
    /// As `unlink(2)`.
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.start.unlink(path.as_ref(), false)?.await
    }

    /// See [`remove_dir`](super::remove_dir).
    ///
    /// # Errors
    ///
    /// As `rmdir(2)`.
    pub async fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.start.unlink(path.as_ref(), true)?.await
    }

    /// See [`create_dir`](super::create_dir).
    ///
    /// # Errors
    ///
    /// As `mkdir(2)`.
    pub async fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.start.mkdir(path.as_ref(), DirBuilder::MODE)?.await
    }

    /// See [`create_dir_all`](super::create_dir_all).
    ///
    /// # Errors
    ///
    /// As `mkdir(2)`.
    pub async fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.start.mkdir_all(path.as_ref(), DirBuilder::MODE).await
    }

    /// Makes a directory; see [`DirBuilder::create`].
    ///
    /// # Errors
    ///
    /// As for [`DirBuilder::create`].
    pub async fn create_dir_with(
        &self,
        builder: &DirBuilder,
        path: impl AsRef<Path>,
    ) -> io::Result<()> {
        builder.create_from(&self.start, path.as_ref()).await
    }

    /// Gives what lies here a name in `there`, which may be this directory; see [`rename`](super::rename).
    ///
    /// # Errors
    ///
    /// As `rename(2)`.
    pub async fn rename(
        &self,
        from: impl AsRef<Path>,
        there: &Self,
        to: impl AsRef<Path>,
    ) -> io::Result<()> {
        self.start.rename(from.as_ref(), &there.start, to.as_ref())?.await
    }

    /// Gives what lies here one more name, in `there`; see [`hard_link`](super::hard_link).
    ///
    /// # Errors
    ///
    /// As `link(2)`.
    pub async fn hard_link(
        &self,
        original: impl AsRef<Path>,
        there: &Self,
        link: impl AsRef<Path>,
    ) -> io::Result<()> {
        self.start.link(original.as_ref(), &there.start, link.as_ref())?.await
    }

    /// Makes a symbolic link here that says `original`; see [`symlink`](super::symlink).
    ///
    /// # Errors
    ///
    /// As `symlink(2)`.
    pub async fn symlink(
        &self,
        original: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> io::Result<()> {
        self.start.symlink(original.as_ref(), link.as_ref())?.await
    }

    /// What a symbolic link says; see [`read_link`](super::read_link).
    ///
    /// # Errors
    ///
    /// As `readlink(2)`; that the pool is closed.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        self.start.read_link(path.as_ref()).await
    }

    /// Changes the permissions of what lies here; see [`set_permissions`](super::set_permissions).
    ///
    /// # Errors
    ///
    /// As `chmod(2)`; that the pool is closed.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn set_permissions(
        &self,
        path: impl AsRef<Path>,
        permissions: Permissions,
    ) -> io::Result<()> {
        self.start.set_mode(path.as_ref(), permissions.mode()).await
    }

    /// Changes the owner and the group of what lies here; see [`chown`](super::chown).
    ///
    /// # Errors
    ///
    /// As for [`chown`](super::chown).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn chown(
        &self,
        path: impl AsRef<Path>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> io::Result<()> {
        self.start.set_owner(path.as_ref(), (uid, gid), true).await
    }

    /// As [`chown`](Self::chown), of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// As for [`chown`](super::chown).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn lchown(
        &self,
        path: impl AsRef<Path>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> io::Result<()> {
        self.start.set_owner(path.as_ref(), (uid, gid), false).await
    }

    /// Waits until the names in this directory are on the disk: after a file was made, renamed or removed, only this
    /// makes that last. See [`File::sync_all`].
    ///
    /// # Errors
    ///
    /// As `fsync(2)`.
    pub async fn sync_all(&self) -> io::Result<()> {
        let hold = Hold::new(&self.dir);
        Operating::new(&*self.dir, Fsync { hold, data: false, offset: 0, len: 0 }).await
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dir").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl AsRawFd for Dir {
    fn as_raw_fd(&self) -> RawFd {
        self.dir.as_raw_fd()
    }
}
