//! Whole files: read, written.

use std::io;
use std::path::Path;

use super::File;
use crate::buf::{IoBuf, Slice};

/// What the first read of a file asks for: most files are smaller, and a file that is not is asked for its length then.
const FIRST_SIZE: usize = 16 * 1024;

/// Reads a whole file.
///
/// If the future is dropped, what was read is, too.
///
/// # Errors
///
/// As for [`File::open`] and [`File::read_at`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    let mut bytes = Vec::with_capacity(FIRST_SIZE);
    loop {
        let done = bytes.len();
        let slice = Slice::for_read(bytes, done..);
        let (count, slice) = file.read_at(slice, done as u64).await?;
        bytes = slice.into_inner();
        if count == 0 {
            break;
        }
        if bytes.len() == bytes.capacity() {
            let rest = file.metadata().await?.len().saturating_sub(bytes.len() as u64);
            // One more byte shows the end. A file that says less than it has grows by doubling.
            bytes.try_reserve(usize::try_from(rest).unwrap_or(usize::MAX).saturating_add(1))?;
        }
    }
    if bytes.len() < bytes.capacity() / 2 {
        bytes.shrink_to_fit();
    }
    Ok(bytes)
}

/// Reads a whole file that is text.
///
/// If the future is dropped, what was read is, too.
///
/// # Errors
///
/// `InvalidData` if it is not UTF-8; otherwise as for [`read`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    utf8(read(path).await?)
}

/// Makes a file, or empties it, and writes all of `contents`, which it takes over: nothing is copied. It does not wait
/// for the disk.
///
/// If the future is dropped, the file may be there with a part of the bytes.
///
/// # Errors
///
/// As for [`File::create`] and [`File::write_all_at`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn write(path: impl AsRef<Path>, contents: impl IoBuf) -> io::Result<()> {
    let file = File::create(path).await?;
    file.write_all_at(contents, 0).await?;
    Ok(())
}

/// The text that the bytes are.
pub(super) fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not valid UTF-8"))
}
