//! Where paths start, and the operations on what they name: the same for free functions and directories.

use std::io;
use std::path::Path;
use std::rc::Rc;

use super::Metadata;
use crate::driver::{self, Driver, Op};
use crate::op::close::Fd;
use crate::op::link::Link;
use crate::op::mkdir::Mkdir;
use crate::op::open::{How, Open};
use crate::op::place::{Base, Place, c_path};
use crate::op::rename::Rename;
use crate::op::statx::Statx;
use crate::op::symlink::Symlink;
use crate::op::unlink::Unlink;

/// A runtime, and where relative paths start.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) driver: Rc<Driver>,
    pub(super) base: Base,
}

/// What every metadata has.
const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// What the kernel knows of a place.
pub(super) async fn statx(driver: &Rc<Driver>, place: Place, flags: i32) -> io::Result<Metadata> {
    let statx = Statx::new(place, flags, MASK);
    Op::new(Rc::clone(driver), statx).await.map(Metadata::new)
}

impl Start {
    /// The current directory, of the process.
    ///
    /// # Panics
    ///
    /// Outside a runtime; `name` is that of the caller.
    pub(super) fn current(name: &str) -> Self {
        Self { driver: driver::current::expect(name), base: Base::Current }
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        Place::new(&self.base, path)
    }

    pub(super) async fn open(&self, path: &Path, how: How) -> io::Result<Fd> {
        let open = Open::new(&self.driver, self.place(path)?, how);
        Op::new(Rc::clone(&self.driver), open).await
    }

    pub(super) async fn statx(&self, path: &Path, flags: i32) -> io::Result<Metadata> {
        statx(&self.driver, self.place(path)?, flags).await
    }

    /// Whether there is something of that name; broken links are not followed into an answer.
    pub(super) async fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.statx(path, 0).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn unlink(&self, path: &Path, dir: bool) -> io::Result<()> {
        let unlink = Unlink { place: self.place(path)?, dir };
        Op::new(Rc::clone(&self.driver), unlink).await
    }

    pub(super) async fn mkdir(&self, path: &Path) -> io::Result<()> {
        let mkdir = Mkdir { place: self.place(path)?, mode: 0o777 };
        Op::new(Rc::clone(&self.driver), mkdir).await
    }

    /// Makes a directory and those above it that are not there.
    pub(super) async fn mkdir_all(&self, path: &Path) -> io::Result<()> {
        let above = |path: &&Path| !path.as_os_str().is_empty();
        let mut missing: Vec<&Path> = Vec::new();
        for path in path.ancestors().take_while(above) {
            match self.mkdir_or_find(path).await {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
                Err(error) => return Err(error),
            }
        }
        // The first one above what was missing is there now.
        while let Some(path) = missing.pop() {
            self.mkdir_or_find(path).await?;
        }
        Ok(())
    }

    /// Somebody else may have made it meanwhile.
    async fn mkdir_or_find(&self, path: &Path) -> io::Result<()> {
        match self.mkdir(path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) => match self.statx(path, 0).await {
                Ok(metadata) if metadata.is_dir() => Ok(()),
                _ => Err(error),
            },
        }
    }

    pub(super) async fn rename(&self, from: &Path, there: &Self, to: &Path) -> io::Result<()> {
        let rename = Rename { from: self.place(from)?, to: there.place(to)? };
        Op::new(Rc::clone(&self.driver), rename).await
    }

    pub(super) async fn link(&self, from: &Path, there: &Self, to: &Path) -> io::Result<()> {
        let link = Link { from: self.place(from)?, to: there.place(to)? };
        Op::new(Rc::clone(&self.driver), link).await
    }

    pub(super) async fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        let symlink = Symlink { target: c_path(target)?, place: self.place(link)? };
        Op::new(Rc::clone(&self.driver), symlink).await
    }
}
