//! What the kernel knows about a file.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{File, start};
use crate::op::place::Place;
use crate::op::statx::{Answer, Head, Stamp};

/// What the kernel knows about a file: `statx(2)`, of which std's type shows less and cannot be made.
#[derive(Clone)]
pub struct Metadata {
    statx: Head,
}

/// What kind of a file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileType {
    mode: u32,
}

impl FileType {
    pub(super) fn of_mode(mode: u32) -> Self {
        Self { mode: mode & libc::S_IFMT }
    }

    /// A regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode == libc::S_IFREG
    }

    /// A directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode == libc::S_IFDIR
    }

    /// A symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode == libc::S_IFLNK
    }

    /// A named pipe.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.mode == libc::S_IFIFO
    }

    /// A socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.mode == libc::S_IFSOCK
    }

    /// A block device.
    #[must_use]
    pub fn is_block_device(&self) -> bool {
        self.mode == libc::S_IFBLK
    }

    /// A character device.
    #[must_use]
    pub fn is_char_device(&self) -> bool {
        self.mode == libc::S_IFCHR
    }
}

/// The number that programs know as `st_dev`.
fn device([major, minor]: [u32; 2]) -> u64 {
    libc::makedev(major, minor)
}

impl Metadata {
    /// What kind of a file it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::of_mode(self.mode())
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// The size in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "std's name; it is no collection")]
    pub fn len(&self) -> u64 {
        self.statx.size
    }

    /// The permissions.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// When the content was changed last.
    ///
    /// # Errors
    ///
    /// None: every file system of Linux keeps it. A result because std has one.
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(self.statx.modified)
    }

    /// When the content was read last; how exactly this is kept is a setting of the mount.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Self::modified).
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(self.statx.accessed)
    }

    /// When the file was made.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the file system does not keep it.
    pub fn created(&self) -> io::Result<SystemTime> {
        if self.statx.mask & libc::STATX_BTIME == 0 {
            let text = "the file system does not keep when a file was made";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        time(self.statx.created)
    }

    /// When the content, the permissions, the owner or the links were changed last.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Self::modified).
    pub fn changed(&self) -> io::Result<SystemTime> {
        time(self.statx.changed)
    }

    /// The kind and the permissions, as `st_mode`.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.statx.mode.into()
    }

    /// The device that it lies on.
    #[must_use]
    pub fn dev(&self) -> u64 {
        device(self.statx.dev)
    }

    /// Of a device file, its device.
    #[must_use]
    pub fn rdev(&self) -> u64 {
        device(self.statx.rdev)
    }

    /// Its number on the device.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.statx.ino
    }

    /// How many names it has.
    #[must_use]
    pub fn nlink(&self) -> u64 {
        self.statx.nlink.into()
    }

    /// The user it belongs to.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.statx.uid
    }

    /// The group it belongs to.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.statx.gid
    }

    /// The size of a transfer that suits the file system, in bytes.
    #[must_use]
    pub fn blksize(&self) -> u64 {
        self.statx.blksize.into()
    }

    /// The space that it takes up, in units of 512 bytes.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.statx.blocks
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("permissions", &format_args!("{:o}", self.mode() & 0o7777))
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

fn time(stamp: Stamp) -> io::Result<SystemTime> {
    let seconds = Duration::from_secs(stamp.seconds.unsigned_abs());
    let whole = if stamp.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(stamp.nanoseconds.into())))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a time that has no place here"))
}

impl Metadata {
    #[inline]
    pub(super) fn new(answer: Answer) -> Self {
        Self { statx: answer.head() }
    }
}

impl File {
    /// What the kernel knows about the file.
    ///
    /// An operation, which the kernel hands to a thread of its own: on a network's or a user's file system the call may
    /// wait for others. Where it does not it would be 7 us cheaper.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// As `statx(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let (driver, place) = (Rc::clone(self.file.driver()), Place::of_file(&self.file));
        start::statx(driver, place, libc::AT_EMPTY_PATH).await.map(Metadata::new)
    }
}
