//! Names for Unix sockets that no other test has: a directory that goes with its guard, and abstract ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

fn unique() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("annulus-name-{}-{number}", std::process::id())
}

/// An abstract name, with its NUL in front.
pub(crate) fn abstract_name() -> String {
    format!("\0{}", unique())
}

/// An empty directory; dropped, it is removed with all that is in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(unique());
        std::fs::create_dir(&path).expect("a directory in the temporary one");
        Self(path)
    }

    /// The path of `name` in it.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A test that failed is heard of, not that its directory could not be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
