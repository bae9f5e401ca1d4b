//! Pipes and FIFOs.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use socket2::SockRef;

use super::read::read_by_reference;
use super::reader::Reader;
use super::write::write_by_reference;
use super::writer::Writer;
use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};
use crate::driver;

/// A pipe: what is written to the sender the receiver reads.
///
/// ```
/// annulus::run(async {
///     let (sender, receiver) = annulus::io::pipe()?;
///     sender.write_all(b"hello").await?;
///     drop(sender);
///     let mut bytes = Vec::new();
///     assert_eq!(receiver.read_to_end(&mut bytes).await?, 5);
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// As `pipe2(2)`: that no descriptor is left.
///
/// # Panics
///
/// Outside a runtime.
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (reader, writer) = io::pipe()?;
    Ok((Sender::own(writer.into())?, Receiver::own(reader.into())?))
}

/// Linux 6.1 waits for a pipe only where that does not block; newer kernels do anyway. So this is done where nobody
/// else has the open file, and the kernel is an old one; whether it was done.
fn prepare(fd: &OwnedFd) -> io::Result<bool> {
    let is_needed = driver::current::get().is_some_and(|driver| !driver.features().multishot_read);
    if is_needed {
        SockRef::from(fd).set_nonblocking(true)?;
    }
    Ok(is_needed)
}

/// Undoes [`prepare`] before the descriptor leaves us.
fn hand_over(fd: OwnedFd, was_prepared: bool) -> io::Result<OwnedFd> {
    if was_prepared {
        SockRef::from(&fd).set_nonblocking(false)?;
    }
    Ok(fd)
}

/// The descriptor, if it is that of a pipe.
fn check(fd: OwnedFd) -> io::Result<OwnedFd> {
    let file = File::from(fd);
    match file.metadata()?.file_type().is_fifo() {
        true => Ok(file.into()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is not a pipe")),
    }
}

/// The reading end of a pipe.
///
/// What arrives belongs to it, as with a [`TcpStream`](crate::net::TcpStream): a dropped read loses nothing. While a
/// task waits to read, a second one that reads gets [`ResourceBusy`](io::ErrorKind::ResourceBusy). Once it was read
/// from, a pipe without a name goes on reading, up to the builder's `undelivered_max`; from Linux 6.7 on with one
/// operation for many messages.
///
/// It is at its end when every writing end is closed, those included that other processes inherited.
#[derive(Debug)]
pub struct Receiver {
    pub(crate) reader: Reader,
    was_prepared: bool,
}

impl Receiver {
    /// Takes over the reading end of a pipe, whose open file others may share. Its flags stay as they are.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a pipe.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::new(check(fd)?, false))
    }

    fn new(fd: OwnedFd, was_prepared: bool) -> Self {
        Self { reader: Reader::new(fd, true, "pipe::Receiver"), was_prepared }
    }

    /// One that nobody else has.
    pub(crate) fn own(fd: OwnedFd) -> io::Result<Self> {
        let was_prepared = prepare(&fd)?;
        Ok(Self::new(fd, was_prepared))
    }

    /// The next bytes, in the buffer where the kernel put them; `None` at the end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As `read(2)`, once; the end afterwards. `ResourceBusy` if another task reads.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        self.reader.recv().await
    }

    /// Reads some bytes, at least one unless `buf` is empty; 0 is the end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).await
    }

    /// Fills `buf`.
    ///
    /// If the future is dropped, the bytes that it had copied are in `buf` and gone from the pipe.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), and `UnexpectedEof` if the end comes before.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buf).await
    }

    /// Reads some bytes into the caller's buffer, from its first byte, and sets its length; 0 is the end, or a buffer
    /// without capacity. They are copied there from a buffer of the pool.
    ///
    /// Nothing is lost if the future is dropped, except the buffer.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), with the buffer.
    pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        self.reader.read_owned(buf).await
    }

    /// Appends all that comes, to the end; returns how much it was. There is no limit but the memory.
    ///
    /// If the future is dropped, what it had read is in `bytes`.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv); what was read before is in `bytes`.
    pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.reader.read_to_end(bytes).await
    }

    /// The descriptor back, and the bytes that had arrived and were not taken. It blocks.
    ///
    /// If the future is dropped, so is the receiver, with the bytes that it held.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a leaked future holds it.
    pub async fn into_fd(self) -> io::Result<(OwnedFd, Vec<u8>)> {
        let (fd, rest) = self.reader.into_fd().await?;
        Ok((hand_over(fd, self.was_prepared)?, rest))
    }

    /// The descriptor back, if it was not read from yet.
    pub(crate) fn try_into_fd(self) -> io::Result<OwnedFd> {
        hand_over(self.reader.try_into_fd()?, self.was_prepared)
    }
}

/// The writing end of a pipe.
///
/// One write at a time: a second task that writes gets [`ResourceBusy`](io::ErrorKind::ResourceBusy). What one write
/// takes, if it is at most 4096 bytes, is never mixed with what others write to the pipe.
///
/// Dropping it closes this end. A write that is under way, because its future was dropped, may finish within the
/// builder's `linger` time; then it is cancelled. Writing to a pipe that nobody reads gives `BrokenPipe`, and raises
/// `SIGPIPE`, which Rust programs ignore unless they ask for it.
#[derive(Debug)]
pub struct Sender {
    pub(crate) writer: Writer,
    was_prepared: bool,
}

impl Sender {
    /// Takes over the writing end of a pipe, whose open file others may share. Its flags stay as they are.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a pipe.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_owned_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::new(check(fd)?, false))
    }

    fn new(fd: OwnedFd, was_prepared: bool) -> Self {
        Self { writer: Writer::new(fd, "pipe::Sender"), was_prepared }
    }

    /// One that nobody else has.
    pub(crate) fn own(fd: OwnedFd) -> io::Result<Self> {
        let was_prepared = prepare(&fd)?;
        Ok(Self::new(fd, was_prepared))
    }

    /// Writes some of the bytes, at most 64 KiB, of which it makes a copy; returns how many.
    ///
    /// If the future is dropped before the loop turned, nothing is written; afterwards the bytes may or may not be
    /// written, in order; the next write waits for them and reports their error.
    ///
    /// # Errors
    ///
    /// As `write(2)`: `BrokenPipe` if nobody reads. `ResourceBusy` if another task writes.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).await
    }

    /// Writes all of the bytes, of which it makes copies.
    ///
    /// Dropped as [`write`](Self::write); how much was written is not known then.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Writes some bytes of a buffer, which it gives back.
    ///
    /// Dropped as [`write`](Self::write); the buffer is dropped when the kernel is done with it.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer.
    pub async fn write_owned<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        self.writer.write_owned(buf).await
    }

    /// Writes all of a buffer, which it gives back.
    ///
    /// Dropped as [`write_owned`](Self::write_owned); how much was written is not known then.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer.
    pub async fn write_all_owned<B: IoBuf>(&self, buf: B) -> Result<B, BufError<B>> {
        self.writer.write_all_owned(buf).await
    }

    /// Waits until a write whose future was dropped is over. Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// That of such a write.
    pub async fn flush(&self) -> io::Result<()> {
        self.writer.flush().await
    }

    /// The descriptor back, once a write whose future was dropped is over. It blocks.
    ///
    /// If the future is dropped, so is the sender.
    ///
    /// # Errors
    ///
    /// That of such a write, or `ResourceBusy` if a leaked future holds it; the descriptor is closed then.
    pub async fn into_fd(self) -> io::Result<OwnedFd> {
        hand_over(self.writer.into_fd().await?, self.was_prepared)
    }

    /// The descriptor back, if nothing is being written.
    pub(crate) fn try_into_fd(self) -> io::Result<OwnedFd> {
        hand_over(self.writer.try_into_fd()?, self.was_prepared)
    }
}

/// How to open a FIFO, a pipe with a name.
///
/// ```no_run
/// use annulus::io::pipe::OpenOptions;
///
/// annulus::run(async {
///     let receiver = OpenOptions::new().open_receiver("/run/service/commands")?;
///     while let Some(command) = receiver.recv().await? {
///         println!("{}", command.escape_ascii());
///     }
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read_write: bool,
}

impl OpenOptions {
    /// To open it for one direction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it for both directions, which Linux allows: a receiver is then never at its end, whoever comes and goes,
    /// and a sender need not find a receiver.
    #[must_use]
    pub fn read_write(mut self, both: bool) -> Self {
        self.read_write = both;
        self
    }

    /// Opens it for reading; does not wait until somebody opens it for writing, but the first read does. When all who
    /// did are gone, it is at its end for good.
    ///
    /// # Errors
    ///
    /// As `open(2)`; `InvalidInput` if it is not a FIFO.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn open_receiver(&self, path: impl AsRef<Path>) -> io::Result<Receiver> {
        let receiver = Receiver::own(self.open(path.as_ref(), true)?)?;
        receiver.reader.wait_for_sender(!self.read_write);
        Ok(receiver)
    }

    /// Opens it for writing.
    ///
    /// # Errors
    ///
    /// As `open(2)`, with `ENXIO` if nobody has it open for reading; `InvalidInput` if it is not a FIFO.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn open_sender(&self, path: impl AsRef<Path>) -> io::Result<Sender> {
        Sender::own(self.open(path.as_ref(), false)?)
    }

    /// Opens without waiting for the other side, and blocking from then on.
    fn open(&self, path: &Path, reads: bool) -> io::Result<OwnedFd> {
        let file = File::options()
            .read(reads || self.read_write)
            .write(!reads || self.read_write)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        hand_over(check(file.into())?, true)
    }
}

read_by_reference!(Receiver, reader);
write_by_reference!(Sender, writer);

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl AsRawFd for Sender {
    fn as_raw_fd(&self) -> RawFd {
        self.writer.as_raw_fd()
    }
}
