//! Where paths start, and the operations on what they name: the same for free functions and directories.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Metadata;
use crate::blocking;
use crate::driver::{self, Driver, Op, Operation};
use crate::op::link::Link;
use crate::op::mkdir::Mkdir;
use crate::op::open::{How, Open};
use crate::op::place::{Base, Place, c_path};
use crate::op::rename::Rename;
use crate::op::statx::Statx;
use crate::op::symlink::Symlink;
use crate::op::unlink::Unlink;
use crate::sys::names;

/// A runtime, and where relative paths start.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) driver: Rc<Driver>,
    pub(super) base: Base,
}

/// What every metadata has.
const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Asks what the kernel knows of a place.
#[inline]
pub(super) fn statx(driver: Rc<Driver>, place: Place, flags: i32) -> Op<Statx> {
    Op::new(driver, Statx::new(place, flags, MASK))
}

/// The operations are made at once and submitted at their first poll; a path with a zero in it is refused before.
impl Start {
    /// The current directory, of the process.
    ///
    /// # Panics
    ///
    /// Outside a runtime; `name` is that of the caller.
    #[inline]
    pub(super) fn current(name: &str) -> Self {
        Self { driver: driver::current::expect(name), base: Base::Current }
    }

    #[inline]
    fn place(&self, path: &Path) -> io::Result<Place> {
        Place::new(&self.driver, &self.base, path)
    }

    #[inline]
    fn operation<T: Operation>(&self, operation: T) -> io::Result<Op<T>> {
        Ok(Op::new(Rc::clone(&self.driver), operation))
    }

    #[inline]
    pub(super) fn open(&self, path: &Path, how: How) -> io::Result<Op<Open>> {
        self.operation(Open::new(self.place(path)?, how))
    }

    #[inline]
    pub(super) fn statx(&self, path: &Path, flags: i32) -> io::Result<Op<Statx>> {
        Ok(statx(Rc::clone(&self.driver), self.place(path)?, flags))
    }

    /// As [`statx`](Self::statx), for who asks no more.
    #[inline]
    pub(super) fn into_statx(self, path: &Path, flags: i32) -> io::Result<Op<Statx>> {
        let place = self.place(path)?;
        Ok(statx(self.driver, place, flags))
    }

    /// Whether there is something of that name; broken links are not followed into an answer.
    pub(super) async fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.statx(path, 0)?.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn unlink(&self, path: &Path, dir: bool) -> io::Result<Op<Unlink>> {
        self.operation(Unlink { place: self.place(path)?, dir })
    }

    pub(super) fn mkdir(&self, path: &Path, mode: u32) -> io::Result<Op<Mkdir>> {
        self.operation(Mkdir { place: self.place(path)?, mode })
    }

    /// Makes a directory and those above it that are not there.
    pub(super) async fn mkdir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        let above = |path: &&Path| !path.as_os_str().is_empty();
        let mut missing: Vec<&Path> = Vec::new();
        for path in path.ancestors().take_while(above) {
            match self.mkdir_or_find(path, mode).await {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
                Err(error) => return Err(error),
            }
        }
        // The first one above what was missing is there now.
        while let Some(path) = missing.pop() {
            self.mkdir_or_find(path, mode).await?;
        }
        Ok(())
    }

    /// Somebody else may have made it meanwhile.
    async fn mkdir_or_find(&self, path: &Path, mode: u32) -> io::Result<()> {
        match self.mkdir(path, mode)?.await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) => match self.statx(path, 0)?.await.map(Metadata::new) {
                Ok(metadata) if metadata.is_dir() => Ok(()),
                _ => Err(error),
            },
        }
    }

    pub(super) fn rename(&self, from: &Path, there: &Self, to: &Path) -> io::Result<Op<Rename>> {
        self.operation(Rename { from: self.place(from)?, to: there.place(to)? })
    }

    pub(super) fn link(&self, from: &Path, there: &Self, to: &Path) -> io::Result<Op<Link>> {
        self.operation(Link { from: self.place(from)?, to: there.place(to)? })
    }

    pub(super) fn symlink(&self, target: &Path, link: &Path) -> io::Result<Op<Symlink>> {
        self.operation(Symlink { target: c_path(target)?, place: self.place(link)? })
    }

    pub(super) async fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let (path, dir) = (c_path(path)?, self.dir()?);
        blocking::query("fs::read_link", move || names::read_link(borrowed(dir.as_ref()), &path))
            .await?
    }

    pub(super) async fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.change("fs::set_permissions", path, move |dir, path| names::set_mode(dir, path, mode))
            .await
    }

    /// See [`names::set_owner`].
    pub(super) async fn set_owner(
        &self,
        path: &Path,
        ids: (Option<u32>, Option<u32>),
        follow: bool,
    ) -> io::Result<()> {
        self.change("fs::chown", path, move |dir, path| names::set_owner(dir, path, ids, follow))
            .await
    }

    /// Has a thread change what a path names; it keeps the directory open by itself.
    async fn change(
        &self,
        name: &str,
        path: &Path,
        change: impl FnOnce(names::Dir<'_>, &CStr) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (path, dir) = (c_path(path)?, self.dir()?);
        blocking::run(name, move || change(borrowed(dir.as_ref()), &path)).await?
    }

    fn dir(&self) -> io::Result<Option<OwnedFd>> {
        match &self.base {
            Base::Current => Ok(None),
            Base::Dir(dir) => dir.duplicate().map(Some),
        }
    }
}

fn borrowed(dir: Option<&OwnedFd>) -> names::Dir<'_> {
    dir.map(OwnedFd::as_fd)
}
