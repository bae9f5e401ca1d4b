//! A path as an entry names it: the bytes, and the directory that it starts from.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use super::open_file::OpenFile;
use crate::driver::{Driver, Scratch};

/// Where paths start that are not absolute.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// The process's current directory, when the kernel looks.
    Current,
    Dir(Rc<OpenFile>),
}

/// A path from a base. The bytes lie on the heap: moving it moves none of them.
#[derive(Debug)]
pub(crate) struct Place {
    base: Base,
    scratch: Scratch,
}

impl Place {
    /// # Errors
    ///
    /// `InvalidInput` if there is a zero in the path.
    #[inline]
    pub(crate) fn new(driver: &Rc<Driver>, base: &Base, path: &Path) -> io::Result<Self> {
        let mut scratch = Scratch::new(driver);
        if !scratch.block_mut().put_path(path.as_os_str().as_bytes()) {
            return Err(has_zero());
        }
        Ok(Self { base: base.clone(), scratch })
    }

    /// The open file itself; an operation has to be told that the path may be empty.
    pub(crate) fn of_file(file: &Rc<OpenFile>) -> Self {
        let mut scratch = Scratch::new(file.driver());
        scratch.block_mut().put_path(b"");
        Self { base: Base::Dir(Rc::clone(file)), scratch }
    }

    #[inline]
    pub(super) fn driver(&self) -> &Rc<Driver> {
        self.scratch.driver()
    }

    /// The directory for an entry.
    #[inline]
    pub(super) fn dir(&self) -> io_uring::types::Fd {
        match &self.base {
            Base::Current => io_uring::types::Fd(libc::AT_FDCWD),
            Base::Dir(dir) => dir.target(),
        }
    }

    /// The path for an entry.
    #[inline]
    pub(super) fn path(&self) -> *const libc::c_char {
        self.scratch.block().path()
    }

    /// Where the kernel may answer, on the heap too.
    #[inline]
    pub(super) fn answer(&self) -> &[u64; 32] {
        &self.scratch.block().answer
    }

    #[inline]
    pub(super) fn answer_mut(&mut self) -> &mut [u64; 32] {
        &mut self.scratch.block_mut().answer
    }
}

/// A path as the kernel reads it.
///
/// # Errors
///
/// `InvalidInput` if there is a zero in it.
#[inline]
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| has_zero())
}

#[cold]
fn has_zero() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero byte in it")
}
