//! Extended attributes: names with values that a file system keeps beside a file.
//!
//! Their names begin with a class, for ordinary programs `user.`. All four are jobs on the pool of blocking threads:
//! the ring has operations for two of them, and they go to a thread of the kernel's there. If a future is dropped, a
//! change may happen all the same, and its error is lost; that of a change through a [`File`] is told as
//! [`File::set_len`] says.
//!
//! ```
//! use annulus::fs::{self, xattr};
//!
//! annulus::run(async {
//!     let path = std::env::temp_dir().join(format!("annulus-xattr-{}", std::process::id()));
//!     fs::write(&path, "content").await?;
//!     if xattr::set(&path, "user.origin", "a test").await.is_ok() {
//!         assert_eq!(xattr::get(&path, "user.origin").await?.as_deref(), Some(b"a test".as_slice()));
//!     }
//!     fs::remove_file(path).await
//! })
//! # .unwrap();
//! ```

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::path::Path;

use super::File;
use crate::blocking;
use crate::op::place::c_path;
use crate::sys::xattr::{self, Target};

/// The value of an attribute of what a path leads to; `None` if it has none of that name.
///
/// # Errors
///
/// `Unsupported` if the file system keeps none; otherwise as `getxattr(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn get(path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
    get_of(Target::Path(c_path(path.as_ref())?), name.as_ref()).await
}

/// The names of all attributes of what a path leads to.
///
/// # Errors
///
/// As for [`get`], as `listxattr(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn list(path: impl AsRef<Path>) -> io::Result<Vec<OsString>> {
    list_of(Target::Path(c_path(path.as_ref())?)).await
}

/// Gives an attribute of what a path leads to a value, in place of the one it had.
///
/// # Errors
///
/// As for [`get`], as `setxattr(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn set(
    path: impl AsRef<Path>,
    name: impl AsRef<OsStr>,
    value: impl Into<Vec<u8>>,
) -> io::Result<()> {
    set_of(Target::Path(c_path(path.as_ref())?), name.as_ref(), value.into()).await
}

/// Takes an attribute away from what a path leads to.
///
/// # Errors
///
/// `ENODATA` if it has none of that name; otherwise as for [`get`], as `removexattr(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn remove(path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> io::Result<()> {
    remove_of(Target::Path(c_path(path.as_ref())?), name.as_ref()).await
}

impl File {
    /// The value of an attribute; see [`xattr::get`](get).
    ///
    /// # Errors
    ///
    /// As for [`xattr::get`](get).
    pub async fn xattr(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
        get_of(self.target()?, name.as_ref()).await
    }

    /// The names of all attributes; see [`xattr::list`](list).
    ///
    /// # Errors
    ///
    /// As for [`xattr::list`](list).
    pub async fn xattrs(&self) -> io::Result<Vec<OsString>> {
        list_of(self.target()?).await
    }

    /// Gives an attribute a value; see [`xattr::set`](set).
    ///
    /// # Errors
    ///
    /// As for [`xattr::set`](set).
    pub async fn set_xattr(
        &self,
        name: impl AsRef<OsStr>,
        value: impl Into<Vec<u8>>,
    ) -> io::Result<()> {
        let (name, value) = (c_name(name.as_ref())?, value.into());
        let set = move |file: std::fs::File| xattr::set(&Target::File(file.into()), &name, &value);
        self.change("File::set_xattr", set).await
    }

    /// Takes an attribute away; see [`xattr::remove`](remove).
    ///
    /// # Errors
    ///
    /// As for [`xattr::remove`](remove).
    pub async fn remove_xattr(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = c_name(name.as_ref())?;
        let remove = move |file: std::fs::File| xattr::remove(&Target::File(file.into()), &name);
        self.change("File::remove_xattr", remove).await
    }

    fn target(&self) -> io::Result<Target> {
        self.file.duplicate().map(Target::File)
    }
}

fn c_name(name: &OsStr) -> io::Result<CString> {
    c_path(Path::new(name))
}

async fn get_of(target: Target, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let name = c_name(name)?;
    blocking::query("annulus::fs::xattr::get", move || xattr::get(&target, &name)).await?
}

async fn list_of(target: Target) -> io::Result<Vec<OsString>> {
    blocking::query("annulus::fs::xattr::list", move || xattr::list(&target)).await?
}

async fn set_of(target: Target, name: &OsStr, value: Vec<u8>) -> io::Result<()> {
    let name = c_name(name)?;
    blocking::run("annulus::fs::xattr::set", move || xattr::set(&target, &name, &value)).await?
}

async fn remove_of(target: Target, name: &OsStr) -> io::Result<()> {
    let name = c_name(name)?;
    blocking::run("annulus::fs::xattr::remove", move || xattr::remove(&target, &name)).await?
}
