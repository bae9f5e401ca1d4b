//! How a file is opened.

use std::io;
use std::path::Path;

use super::File;
use super::start::Start;
use crate::driver::Op;
use crate::op::open::{How, Open};

/// How a file is opened, as in std.
///
/// ```
/// use annulus::fs::OpenOptions;
///
/// annulus::run(async {
///     let path = std::env::temp_dir().join(format!("annulus-log-{}", std::process::id()));
///     let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).await?;
///     log.write_all(b"a line\n").await?;
///     std::fs::remove_file(path)
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
    beneath: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is set: one of read, write or append has to be.
    #[must_use]
    pub fn new() -> Self {
        Self {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
            beneath: false,
        }
    }

    /// The file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// The file can be written.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// The file can be written, at its end whatever the offset.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// The file is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// The file is made if there is none.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// The file is made, and it is an error if there is one.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is made, less the process's umask; 0o666 at first.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// More flags of `open(2)`, such as `libc::O_DIRECT`; those of the access mode are ignored. Unlike `open(2)`, the
    /// operation refuses flags that the kernel does not know.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }

    /// A path that leaves the directory that it starts from is refused as
    /// [`CrossesDevices`](io::ErrorKind::CrossesDevices), be it absolute, by `..`, or by a symbolic link. For paths of
    /// others, relative to a [`Dir`](super::Dir).
    pub fn beneath(&mut self, beneath: bool) -> &mut Self {
        self.beneath = beneath;
        self
    }

    /// Opens the file. Where the kernel has the path in its cache and nothing is to be made or emptied, it does so at
    /// once, otherwise in a thread of its own. A named pipe may be open before its other end is.
    ///
    /// If the future is dropped, what was opened is closed; a file may have been made or emptied by then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the settings contradict each other or the path has a zero in it; otherwise as `openat2(2)`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.opening(path.as_ref())?.await.map(File::from_fd)
    }

    /// The operation: it has the settings in it, so that nobody keeps them while it waits.
    pub(super) fn opening(&self, path: &Path) -> io::Result<Op<Open>> {
        Start::current("OpenOptions::open").open(path, self.how()?)
    }

    pub(super) fn how(&self) -> io::Result<How> {
        let flags =
            self.access_flags()? | self.creation_flags()? | self.custom_flags & !libc::O_ACCMODE;
        let makes = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
        // A mode is refused where nothing is made.
        let mode = if makes { self.mode & 0o7777 } else { 0 };
        Ok(How { flags, mode, beneath: self.beneath })
    }

    fn access_flags(&self) -> io::Result<i32> {
        match (self.read, self.write, self.append) {
            (true, false, false) => Ok(libc::O_RDONLY),
            (false, true, false) => Ok(libc::O_WRONLY),
            (true, true, false) => Ok(libc::O_RDWR),
            (false, _, true) => Ok(libc::O_WRONLY | libc::O_APPEND),
            (true, _, true) => Ok(libc::O_RDWR | libc::O_APPEND),
            (false, false, false) => Err(invalid("neither read, write nor append is set")),
        }
    }

    fn creation_flags(&self) -> io::Result<i32> {
        let writes = self.write || self.append;
        if !writes && (self.truncate || self.create || self.create_new) {
            return Err(invalid("to make or empty a file, write or append must be set"));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(invalid("append and truncate contradict each other"));
        }
        Ok(match (self.create, self.truncate, self.create_new) {
            (false, false, false) => 0,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
        })
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
