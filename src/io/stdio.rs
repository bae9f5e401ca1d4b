//! The standard streams of the process, whatever lies behind them: a terminal, a pipe, a file, nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::read::read_by_reference;
use super::reader::Reader;
use super::write::write_by_reference;
use super::writer::Writer;
use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};

/// The standard input of the process; a duplicate of descriptor 0.
///
/// # Errors
///
/// That no descriptor is left.
///
/// # Panics
///
/// Outside a runtime.
pub fn stdin() -> io::Result<Stdin> {
    let fd = own(io::stdin().as_fd())?;
    Ok(Stdin { reader: Reader::new(fd, false, "annulus::io::stdin") })
}

/// The standard output of the process; a duplicate of descriptor 1.
///
/// ```
/// annulus::run(async {
///     annulus::io::stdout()?.write_all(b"hello\n").await
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// That no descriptor is left.
///
/// # Panics
///
/// Outside a runtime.
pub fn stdout() -> io::Result<Stdout> {
    Ok(Stdout { writer: Writer::new(own(io::stdout().as_fd())?, "annulus::io::stdout") })
}

/// The standard error of the process; a duplicate of descriptor 2.
///
/// # Errors
///
/// That no descriptor is left.
///
/// # Panics
///
/// Outside a runtime.
pub fn stderr() -> io::Result<Stderr> {
    Ok(Stderr { writer: Writer::new(own(io::stderr().as_fd())?, "annulus::io::stderr") })
}

fn own(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// The standard input; made by [`stdin`].
///
/// It reads only while somebody waits: when a future is dropped, its read is ended, so that a child that inherits
/// the input finds it. What the read had brought by then, and what a short read left of a buffer of at most 64 KiB,
/// stays here for the next read. So one is enough for a process; what lies in one, or in the buffer of
/// [`std::io::Stdin`], another does not see. At its end it stays there.
///
/// Polled as an [`AsyncRead`](super::AsyncRead), as by a [`BufReader`](super::BufReader), it reads on when the one who
/// waited is gone, until it is dropped.
#[derive(Debug)]
pub struct Stdin {
    reader: Reader,
}

/// Ends the read that is under way.
struct Recall<'a>(&'a Reader);

impl Drop for Recall<'_> {
    fn drop(&mut self) {
        self.0.recall();
    }
}

impl Stdin {
    /// The next bytes, in the buffer where the kernel put them; `None` at the end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As `read(2)`, once; the end afterwards. `ResourceBusy` if another task reads.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        let _recall = Recall(&self.reader);
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
        let _recall = Recall(&self.reader);
        self.reader.read(buf).await
    }

    /// Fills `buf`.
    ///
    /// If the future is dropped, the bytes that it had copied are in `buf` and gone from the input.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), and `UnexpectedEof` if the end comes before.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let _recall = Recall(&self.reader);
        self.reader.read_exact(buf).await
    }

    /// Reads some bytes into the caller's buffer, from its first byte, and sets its length; 0 is the end, or a buffer
    /// without capacity.
    ///
    /// Nothing is lost if the future is dropped, except the buffer.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), with the buffer.
    pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        let _recall = Recall(&self.reader);
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
        let _recall = Recall(&self.reader);
        self.reader.read_to_end(bytes).await
    }
}

read_by_reference!(Stdin, reader);

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// A standard stream to write to.
macro_rules! output {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        ///
        /// Each write goes to the kernel at once, past the buffers of std, and one at a time: a second task that writes
        /// gets [`ResourceBusy`](io::ErrorKind::ResourceBusy). A dropped write is under way until `flush` returns; the
        /// process must not end before.
        #[derive(Debug)]
        pub struct $name {
            writer: Writer,
        }

        impl $name {
            /// Writes some of the bytes, at most 64 KiB, of which it makes a copy; returns how many.
            ///
            /// If the future is dropped before the loop turned, nothing is written; afterwards the bytes may or may not
            /// be written, in order; the next write waits for them and reports their error.
            ///
            /// # Errors
            ///
            /// As `write(2)`. `ResourceBusy` if another task writes.
            pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.writer.write(bytes).await
            }

            /// Writes all of the bytes, of which it makes copies.
            ///
            /// Dropped as `write`; how much was written is not known then.
            ///
            /// # Errors
            ///
            /// As for `write`.
            pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
                self.writer.write_all(bytes).await
            }

            /// Writes some bytes of a buffer, which it gives back.
            ///
            /// Dropped as `write`; the buffer is dropped when the kernel is done with it.
            ///
            /// # Errors
            ///
            /// As for `write`, with the buffer.
            pub async fn write_owned<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
                self.writer.write_owned(buf).await
            }

            /// Writes all of a buffer, which it gives back.
            ///
            /// Dropped as `write_owned`; how much was written is not known then.
            ///
            /// # Errors
            ///
            /// As for `write`, with the buffer.
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
        }

        write_by_reference!($name, writer);

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.writer.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.writer.as_raw_fd()
            }
        }
    };
}

output! {
    /// The standard output; made by [`stdout`].
    Stdout
}

output! {
    /// The standard error; made by [`stderr`].
    Stderr
}
