//! Copying a file.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::{File, OpenOptions};
use crate::blocking;
use crate::sys::copying::copy_range;

/// What one job copies: long enough that the way to a thread and back is little of it, short enough for news of the
/// progress.
const JOB_SIZE: usize = 16 << 20;

/// What one read takes where the kernel does not copy by itself.
const READ_SIZE: usize = 256 << 10;

/// Copies the content and the permissions of a file; returns the count of bytes.
///
/// The kernel copies, with `copy_file_range(2)` on the pool of blocking threads: a read and a write through our memory
/// would copy each byte twice, and some file systems share the space instead. Where it does not, as between some file
/// systems, it is reads and writes through the ring.
///
/// If the future is dropped, the new file has a part of the content.
///
/// # Errors
///
/// `InvalidInput` if `from` is no regular file; otherwise as for [`File::open`], [`File::create`] and
/// `copy_file_range(2)`.
///
/// # Panics
///
/// Outside a runtime.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    copy_with(from, to, |_| {}).await
}

/// As [`copy`], and calls `progress` with the count of bytes that were copied so far, every 16 MiB at most, and at the
/// end.
///
/// If the future is dropped: as for [`copy`].
///
/// # Errors
///
/// As for [`copy`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn copy_with(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    progress: impl FnMut(u64),
) -> io::Result<u64> {
    let from = File::open(from).await?;
    let metadata = from.metadata().await?;
    if !metadata.is_file() {
        let text = "what is to be copied is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mode = metadata.mode();
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(mode).open(to).await?;
    // A device has permissions of its own.
    if to.metadata().await?.is_file() {
        to.set_permissions(metadata.permissions()).await?;
    }
    copy_all(&from, &to, progress).await
}

/// Copies from the first byte on, to the first byte on.
async fn copy_all(from: &File, to: &File, mut progress: impl FnMut(u64)) -> io::Result<u64> {
    let mut fds = (from.file.duplicate()?, to.file.duplicate()?);
    let mut done = 0;
    loop {
        let copied = {
            let (back, copied) = copy_part(fds, done).await?;
            fds = back;
            copied
        };
        match copied {
            // Files of the kernel's own say that they are empty.
            Ok(0) if done == 0 => return copy_through(from, to, progress).await,
            Ok(0) => return Ok(done),
            Ok(count) => {
                done += count as u64;
                progress(done);
            }
            Err(error) if done == 0 && is_refusal(&error) => {
                return copy_through(from, to, progress).await;
            }
            Err(error) => return Err(error),
        }
    }
}

type Fds = (OwnedFd, OwnedFd);

async fn copy_part(fds: Fds, offset: u64) -> io::Result<(Fds, io::Result<usize>)> {
    let copy = move || {
        let copied = copy_range(fds.0.as_fd(), fds.1.as_fd(), offset, JOB_SIZE);
        (fds, copied)
    };
    blocking::run("annulus::fs::copy", copy).await
}

/// The kernel does not copy between these two by itself.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::EXDEV, libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM];
    error.raw_os_error().is_some_and(|code| refusals.contains(&code))
}

async fn copy_through(from: &File, to: &File, mut progress: impl FnMut(u64)) -> io::Result<u64> {
    let mut buf = Vec::with_capacity(READ_SIZE);
    let mut done = 0;
    loop {
        let (count, read) = from.read_at(buf, done).await?;
        if count == 0 {
            return Ok(done);
        }
        buf = to.write_all_at(read, done).await?;
        done += count as u64;
        progress(done);
    }
}
