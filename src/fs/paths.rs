//! The functions on paths, with std's names.
//!
//! Each takes the way that was measured to cost least among those that cannot block the loop. Where the ring has the
//! operation it is that: the kernel does most of these in a thread of its own, at 5 to 8 us, and several at once share
//! the call that submits them; a job on the pool of blocking threads costs 10 us and more, wakes a thread of ours and
//! then us. What the ring does not have on Linux 6.1 goes to the pool.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::start::Start;
use super::{DirBuilder, File, Metadata};
use crate::blocking;

/// Removes a file, or a symbolic link.
///
/// If the future is dropped after the loop turned, it happens all the same, and an error is lost; so it is with all
/// functions here that change names.
///
/// # Errors
///
/// As `unlink(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    Start::current("annulus::fs::remove_file").unlink(path.as_ref(), false)?.await
}

/// Removes an empty directory; see [`remove_file`].
///
/// # Errors
///
/// As `rmdir(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    Start::current("annulus::fs::remove_dir").unlink(path.as_ref(), true)?.await
}

/// Removes a directory with all that is in it. Symbolic links are removed, not followed.
///
/// One job on the pool of blocking threads, however large the tree: it is a long row of short calls, each of which
/// waits for the one before. If the future is dropped, it goes on, and an error is lost.
///
/// # Errors
///
/// As [`std::fs::remove_dir_all`]; a part may be gone then. That the pool is closed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    blocking::run("annulus::fs::remove_dir_all", move || std::fs::remove_dir_all(path)).await?
}

/// Makes a directory; see [`remove_file`].
///
/// # Errors
///
/// As `mkdir(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    Start::current("annulus::fs::create_dir").mkdir(path.as_ref(), DirBuilder::MODE)?.await
}

/// Makes a directory and those above it that are not there; see [`remove_file`]. If the future is dropped, a part may
/// have been made.
///
/// # Errors
///
/// As `mkdir(2)`; a directory that is there is none.
///
/// # Panics
///
/// Outside a runtime.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let start = Start::current("annulus::fs::create_dir_all");
    start.mkdir_all(path.as_ref(), DirBuilder::MODE).await
}

/// Gives a file or a directory another name, in place of what had it; see [`remove_file`].
///
/// # Errors
///
/// As `rename(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let start = Start::current("annulus::fs::rename");
    start.rename(from.as_ref(), &start, to.as_ref())?.await
}

/// Gives a file one more name; see [`remove_file`].
///
/// # Errors
///
/// As `link(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let start = Start::current("annulus::fs::hard_link");
    start.link(original.as_ref(), &start, link.as_ref())?.await
}

/// Makes a symbolic link that says `original`; see [`remove_file`].
///
/// # Errors
///
/// As `symlink(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    Start::current("annulus::fs::symlink").symlink(original.as_ref(), link.as_ref())?.await
}

/// What a symbolic link says. A job on the pool: the ring has no operation for it.
///
/// Dropping the future has no effect.
///
/// # Errors
///
/// As `readlink(2)`; that the pool is closed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    Start::current("annulus::fs::read_link").read_link(path.as_ref()).await
}

/// The absolute path, without symbolic links, `.` or `..`. A job on the pool: the ring has no operation for it.
///
/// Dropping the future has no effect.
///
/// # Errors
///
/// As `realpath(3)`; that the pool is closed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    blocking::query("annulus::fs::canonicalize", move || std::fs::canonicalize(path)).await?
}

/// What the kernel knows about a file, of a symbolic link what it leads to. Never a call that waits for a cold disk.
///
/// Dropping the future has no effect.
///
/// # Errors
///
/// As `statx(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let statx = Start::current("annulus::fs::metadata").into_statx(path.as_ref(), 0)?;
    statx.await.map(Metadata::new)
}

/// As [`metadata`], of a symbolic link itself.
///
/// # Errors
///
/// As `statx(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let start = Start::current("annulus::fs::symlink_metadata");
    start.into_statx(path.as_ref(), libc::AT_SYMLINK_NOFOLLOW)?.await.map(Metadata::new)
}

/// Whether the path leads to something.
///
/// Dropping the future has no effect.
///
/// # Errors
///
/// As `statx(2)`, where it does not say whether: a directory on the way may not be searched.
///
/// # Panics
///
/// Outside a runtime.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    Start::current("annulus::fs::exists").exists(path.as_ref()).await
}

/// [`exists`], under tokio's name.
///
/// # Errors
///
/// As for [`exists`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    Start::current("annulus::fs::try_exists").exists(path.as_ref()).await
}

/// Changes the permissions. A job on the pool: the ring has no operation for it.
///
/// If the future is dropped, it may happen all the same, and an error is lost.
///
/// # Errors
///
/// As `chmod(2)`; that the pool is closed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let start = Start::current("annulus::fs::set_permissions");
    start.set_mode(path.as_ref(), permissions.mode()).await
}

/// Changes the owner and the group, those that are given, as `std::os::unix::fs::chown`. A job on the pool: the ring
/// has no operation for it.
///
/// If the future is dropped: as for [`set_permissions`].
///
/// # Errors
///
/// As `chown(2)`: who is not privileged may at most choose among the groups that it is in. That the pool is closed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn chown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    Start::current("annulus::fs::chown").set_owner(path.as_ref(), (uid, gid), true).await
}

/// As [`chown`], of a symbolic link itself, as `std::os::unix::fs::lchown`.
///
/// # Errors
///
/// As for [`chown`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn lchown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    Start::current("annulus::fs::lchown").set_owner(path.as_ref(), (uid, gid), false).await
}

/// As [`chown`], of an open file, as `std::os::unix::fs::fchown`.
///
/// If the future is dropped: as for [`File::set_len`].
///
/// # Errors
///
/// As for [`chown`].
pub async fn fchown(file: &File, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let change = move |file: std::fs::File| std::os::unix::fs::fchown(file, uid, gid);
    file.change("annulus::fs::fchown", change).await
}
