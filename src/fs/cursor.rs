//! Reads and writes at the file's own position, as tokio's `File` has them.

use std::io::{self, SeekFrom};
use std::os::fd::AsFd;
use std::rc::Rc;

use super::File;
use super::operating::{Operating, quiet, settle};
use crate::buf::Slice;
use crate::op::open_file::{Hold, OpenFile};
use crate::op::position::{KERNELS, Position};
use crate::op::read_at::ReadAt;
use crate::op::receive::busy;
use crate::op::write_at::WriteAt;
use crate::sys::files;

/// The most bytes that one `read` or `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// The right to use the position.
struct Turn<'a>(&'a Rc<OpenFile>);

impl<'a> Turn<'a> {
    fn take(file: &'a Rc<OpenFile>) -> io::Result<Self> {
        if file.cursor().busy.replace(true) {
            return Err(busy("another task is using this file's position"));
        }
        Ok(Self(file))
    }

    /// The offset for an entry.
    fn offset(&self) -> io::Result<u64> {
        let position = &self.0.cursor().position;
        if position.get() == Position::Unasked {
            position.set(ask(self.0)?);
        }
        match position.get() {
            Position::At(offset) => Ok(offset),
            Position::Kernels | Position::Unasked => Ok(KERNELS),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.cursor().busy.set(false);
    }
}

fn ask(file: &OpenFile) -> io::Result<Position> {
    if files::appends(file.as_fd())? {
        return Ok(Position::Kernels);
    }
    match files::position(file.as_fd()) {
        Ok(offset) => Ok(Position::At(offset)),
        Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => Ok(Position::Kernels),
        Err(error) => Err(error),
    }
}

/// The methods that use the file's position. They copy, at most 64 KiB at a time, through memory that the file keeps;
/// [`read_at`](File::read_at) and [`write_at`](File::write_at) do not.
///
/// A second task that uses the position meanwhile gets [`ResourceBusy`](io::ErrorKind::ResourceBusy); nothing is lost
/// by it. They wait until what dropped futures left in the kernel is over. Of a file that is open for appending, and of
/// one without positions such as a pipe, the kernel alone knows the position: there a read that is dropped may have
/// taken bytes away.
impl File {
    /// Reads some bytes at the position and moves it behind them; 0 is the end of the file, or an empty `buf`.
    ///
    /// If the future is dropped, the position has not moved, and nothing is lost.
    ///
    /// # Errors
    ///
    /// As `read(2)`.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        quiet(&self.file).await;
        let turn = Turn::take(&self.file)?;
        let bytes = read_some(&turn, buf.len()).await?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        let count = bytes.len();
        keep(&turn, bytes);
        Ok(count)
    }

    /// Fills `buf` from the position on.
    ///
    /// If the future is dropped, the position is behind the bytes that it had copied into `buf`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; otherwise as for [`read`](Self::read).
    pub async fn read_exact(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buf = &mut buf[count..],
            }
        }
        Ok(())
    }

    /// Appends all from the position to the end of the file to `bytes`; returns the count.
    ///
    /// If the future is dropped, the position is behind the bytes that it had appended.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let before = bytes.len();
        loop {
            quiet(&self.file).await;
            let turn = Turn::take(&self.file)?;
            let some = read_some(&turn, COPY_MAX).await?;
            bytes.extend_from_slice(&some);
            let count = some.len();
            keep(&turn, some);
            if count == 0 {
                return Ok(bytes.len() - before);
            }
        }
    }

    /// Appends all from the position to the end of the file to `text`; returns the count of bytes.
    ///
    /// If the future is dropped, nothing is appended, and the position is behind what it had read.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is not UTF-8, and nothing is appended; otherwise as for [`read`](Self::read).
    pub async fn read_to_string(&self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let count = self.read_to_end(&mut bytes).await?;
        text.push_str(&super::whole::utf8(bytes)?);
        Ok(count)
    }

    /// Writes a copy of some of `bytes` at the position and moves it behind them.
    ///
    /// If the future is dropped before the loop turned, nothing is written; afterwards the write happens all the same:
    /// the next use of the position waits for it and goes on behind it, and if it failed the next write says so.
    ///
    /// # Errors
    ///
    /// That of an earlier write whose future was dropped, and this one did not happen; otherwise as `write(2)`.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_part(bytes, false).await
    }

    /// Writes a copy of all of `bytes` at the position and moves it behind them.
    ///
    /// If the future is dropped, the part under way is treated as by [`write`](Self::write), and the rest is not
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write). The position is behind what was written.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_part(bytes, true).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    async fn write_part(&self, bytes: &[u8], whole: bool) -> io::Result<usize> {
        settle(&self.file).await?;
        let turn = Turn::take(&self.file)?;
        let mut copy = spare(&turn);
        copy.clear();
        copy.extend_from_slice(&bytes[..bytes.len().min(COPY_MAX)]);
        let (hold, offset) = (Hold::new(&self.file), turn.offset()?);
        let write = WriteAt { hold, buf: copy, offset, whole, moves: true, durable: false };
        match Operating::new(&*self.file, write).await {
            Ok((count, copy)) => {
                self.file.cursor().advance(count as u32);
                keep(&turn, copy);
                Ok(count)
            }
            Err(failed) => {
                keep(&turn, failed.buf);
                Err(failed.error)
            }
        }
    }

    /// Waits until the writes whose futures were dropped are over. It does not wait for the disk: that is
    /// [`sync_data`](Self::sync_data).
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped.
    pub async fn flush(&self) -> io::Result<()> {
        settle(&self.file).await
    }

    /// Moves the position; returns where it is then. A place beyond the end is allowed.
    ///
    /// If the future is dropped before it is done, the position stays.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the place is before the first byte; `ESPIPE` if the file has no positions.
    pub async fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        quiet(&self.file).await;
        let turn = Turn::take(&self.file)?;
        let kernels = turn.offset()? == KERNELS;
        let (from, by) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(by) if kernels => (files::position(self.as_fd())?, by),
            SeekFrom::Current(by) => (turn.offset()?, by),
            SeekFrom::End(by) => (self.metadata().await?.len(), by),
        };
        let position = from
            .checked_add_signed(by)
            .filter(|position| i64::try_from(*position).is_ok())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        if kernels {
            return files::set_position(self.as_fd(), position);
        }
        self.file.cursor().position.set(Position::At(position));
        Ok(position)
    }

    /// Moves the position to the first byte; see [`seek`](Self::seek).
    ///
    /// # Errors
    ///
    /// As for [`seek`](Self::seek).
    pub async fn rewind(&self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// The position; see [`seek`](Self::seek).
    ///
    /// # Errors
    ///
    /// As for [`seek`](Self::seek).
    pub async fn stream_position(&self) -> io::Result<u64> {
        self.seek(SeekFrom::Current(0)).await
    }
}

/// Reads at most `len` bytes at the position, into the spare memory, and moves the position.
async fn read_some(turn: &Turn<'_>, len: usize) -> io::Result<Vec<u8>> {
    let offset = turn.offset()?;
    let mut bytes = spare(turn);
    bytes.clear();
    let len = len.min(COPY_MAX);
    bytes.reserve_exact(len);
    let buf = Slice::for_read(bytes, ..len);
    let read = ReadAt { hold: Hold::new(turn.0), buf, offset };
    match Operating::new(&**turn.0, read).await {
        Ok((count, slice)) => {
            turn.0.cursor().advance(count as u32);
            Ok(slice.into_inner())
        }
        Err(failed) => {
            keep(turn, failed.buf.into_inner());
            Err(failed.error)
        }
    }
}

fn spare(turn: &Turn<'_>) -> Vec<u8> {
    turn.0.cursor().spare.take()
}

/// Keeps the memory for the next turn.
fn keep(turn: &Turn<'_>, bytes: Vec<u8>) {
    turn.0.cursor().spare.replace(bytes);
}
