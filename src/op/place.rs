//! A path as an entry names it: the bytes, and the directory that it starts from.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use super::open_file::OpenFile;

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
    /// `None` is the base itself.
    path: Option<CString>,
}

impl Place {
    /// # Errors
    ///
    /// `InvalidInput` if there is a zero in the path.
    #[inline]
    pub(crate) fn new(base: &Base, path: &Path) -> io::Result<Self> {
        Ok(Self { base: base.clone(), path: Some(c_path(path)?) })
    }

    /// The open file itself; an operation has to be told that the path may be empty.
    pub(crate) fn of_file(file: &Rc<OpenFile>) -> Self {
        Self { base: Base::Dir(Rc::clone(file)), path: None }
    }

    /// The directory for an entry.
    pub(super) fn dir(&self) -> io_uring::types::Fd {
        match &self.base {
            Base::Current => io_uring::types::Fd(libc::AT_FDCWD),
            Base::Dir(dir) => dir.target(),
        }
    }

    /// The path for an entry.
    pub(super) fn path(&self) -> *const libc::c_char {
        self.path.as_deref().unwrap_or(c"").as_ptr()
    }
}

/// A path as the kernel reads it.
///
/// # Errors
///
/// `InvalidInput` if there is a zero in it.
#[inline]
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero byte in it"))
}
