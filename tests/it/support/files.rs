//! Files that leave no name behind.

use std::fs::{File, OpenOptions, remove_file};
use std::sync::atomic::{AtomicUsize, Ordering};

/// An empty file, open for reading and writing, whose name is gone already.
pub(crate) fn nameless_file() -> File {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("annulus-test-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("a file in the temporary directory");
    remove_file(&path).expect("it was just made");
    file
}

/// A file as [`nameless_file`] makes it, and the same file opened with other rights.
pub(crate) fn reopened(file: &File, options: &OpenOptions) -> File {
    use std::os::fd::AsRawFd;
    options
        .open(format!("/proc/self/task/{}/fd/{}", thread_id(), file.as_raw_fd()))
        .expect("reopen")
}

/// The kernel's number of this thread, which has a descriptor table of its own.
fn thread_id() -> String {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc is mounted");
    link.file_name().expect("pid/task/tid").to_string_lossy().into_owned()
}
