//! Files that leave no name behind, and directories that go with all that is in them.
#![allow(unsafe_code, reason = "pipes are made by system calls")]

use std::ffi::CString;
use std::fs::{File, OpenOptions, remove_file};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::thread::this_thread;

/// An empty file, open for reading and writing, whose name is gone already.
pub(crate) fn nameless_file() -> File {
    let path = std::env::temp_dir().join(new_name());
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("a file in the temporary directory");
    remove_file(&path).expect("it was just made");
    file
}

/// As [`nameless_file`], open past the page cache; an error where the temporary directory has no direct I/O.
pub(crate) fn direct_file() -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = Folder::new();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).custom_flags(libc::O_DIRECT);
    options.open(folder.join("file"))
}

fn new_name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("annulus-test-{}-{number}", std::process::id())
}

/// A file as [`nameless_file`] makes it, and the same file opened with other rights.
pub(crate) fn reopened(file: &File, options: &OpenOptions) -> File {
    options
        .open(format!("/proc/self/task/{}/fd/{}", this_thread(), file.as_raw_fd()))
        .expect("reopen")
}

/// A new directory, which goes with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(new_name());
        std::fs::create_dir(&path).expect("a directory in the temporary one");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a name in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A file in it with this content.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).expect("a file in a new directory");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A pipe whose writes are packets, and whose ends are open for direct I/O: a file of that kind that waits.
pub(crate) fn packet_pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: there is room for two numbers.
    let status = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_DIRECT | libc::O_CLOEXEC) };
    assert_eq!(status, 0, "pipe2");
    // SAFETY: both were just made, for nobody else.
    let [reader, writer] = ends.map(|end| File::from(unsafe { OwnedFd::from_raw_fd(end) }));
    // The call above means the writing end alone.
    // SAFETY: no memory is passed.
    let status = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_DIRECT) };
    assert_eq!(status, 0, "fcntl");
    (reader, writer)
}

/// Makes a named pipe.
pub(crate) fn make_fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero in it");
    // SAFETY: the path ends in zero and is read during the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "mkfifo");
}
