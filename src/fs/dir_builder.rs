//! How a directory is made.

use std::io;
use std::path::Path;

use super::start::Start;

/// How a directory is made, as in std.
///
/// ```
/// use annulus::fs::{self, DirBuilder};
///
/// annulus::run(async {
///     let root = std::env::temp_dir().join(format!("annulus-dirs-{}", std::process::id()));
///     DirBuilder::new().recursive(true).mode(0o700).create(root.join("spool/new")).await?;
///     assert_eq!(fs::metadata(root.join("spool")).await?.mode() & 0o777, 0o700);
///     fs::remove_dir_all(root).await
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct DirBuilder {
    mode: u32,
    recursive: bool,
}

impl Default for DirBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DirBuilder {
    /// The permissions if nobody says others.
    pub(super) const MODE: u32 = 0o777;

    /// As [`create_dir`](super::create_dir) makes it.
    #[must_use]
    pub fn new() -> Self {
        Self { mode: Self::MODE, recursive: false }
    }

    /// Those above it that are not there are made too, with the same permissions, and a directory that is there is no
    /// error.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// The permissions, less the process's umask; 0o777 at first.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Makes the directory. If the future is dropped: as for [`create_dir`](super::create_dir) and
    /// [`create_dir_all`](super::create_dir_all).
    ///
    /// # Errors
    ///
    /// As `mkdir(2)`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.create_from(&Start::current("DirBuilder::create"), path.as_ref()).await
    }

    pub(super) async fn create_from(&self, start: &Start, path: &Path) -> io::Result<()> {
        if self.recursive {
            start.mkdir_all(path, self.mode).await
        } else {
            start.mkdir(path, self.mode)?.await
        }
    }
}
