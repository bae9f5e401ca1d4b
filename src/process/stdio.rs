//! The ends of the pipes to a child.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Stdio;

use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};
use crate::io::pipe::{Receiver, Sender};
use crate::io::{read_by_reference, write_by_reference};

/// What the child reads; as an end of a pipe, [`Sender`]. Dropping it is the end of the
/// child's input.
#[derive(Debug)]
pub struct ChildStdin {
    pub(super) sender: Sender,
}

impl ChildStdin {
    /// See [`Sender::write`].
    ///
    /// # Errors
    ///
    /// As there: `BrokenPipe` if the child reads no more.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.sender.write(bytes).await
    }

    /// See [`Sender::write_all`].
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.sender.write_all(bytes).await
    }

    /// See [`Sender::write_owned`].
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer.
    pub async fn write_owned<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        self.sender.write_owned(buf).await
    }

    /// See [`Sender::write_all_owned`].
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer.
    pub async fn write_all_owned<B: IoBuf>(&self, buf: B) -> Result<B, BufError<B>> {
        self.sender.write_all_owned(buf).await
    }

    /// See [`Sender::flush`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn flush(&self) -> io::Result<()> {
        self.sender.flush().await
    }

    /// See [`Sender::into_fd`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn into_fd(self) -> io::Result<OwnedFd> {
        self.sender.into_fd().await
    }
}

/// An output of a child; as an end of a pipe, [`Receiver`].
macro_rules! output {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        ///
        /// It is at its end when the child has closed it or ended, and all that the child started and let inherit it.
        #[derive(Debug)]
        pub struct $name {
            pub(super) receiver: Receiver,
        }

        impl $name {
            /// See [`Receiver::recv`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn recv(&self) -> io::Result<Option<Chunk>> {
                self.receiver.recv().await
            }

            /// See [`Receiver::read`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.receiver.read(buf).await
            }

            /// See [`Receiver::read_exact`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
                self.receiver.read_exact(buf).await
            }

            /// See [`Receiver::read_owned`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
                self.receiver.read_owned(buf).await
            }

            /// See [`Receiver::read_to_end`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
                self.receiver.read_to_end(bytes).await
            }

            /// See [`Receiver::into_fd`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn into_fd(self) -> io::Result<(OwnedFd, Vec<u8>)> {
                self.receiver.into_fd().await
            }
        }

        read_by_reference!($name, receiver.reader);

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.receiver.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.receiver.as_raw_fd()
            }
        }

        /// For the input of another child. Fails with `ResourceBusy` if it was read from here already: bytes may have
        /// arrived.
        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            fn try_from(output: $name) -> io::Result<Self> {
                Ok(output.receiver.try_into_fd()?.into())
            }
        }
    };
}

output! {
    /// What the child writes.
    ChildStdout
}

output! {
    /// What the child writes of its errors.
    ChildStderr
}

write_by_reference!(ChildStdin, sender.writer);

impl AsFd for ChildStdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.as_fd()
    }
}

impl AsRawFd for ChildStdin {
    fn as_raw_fd(&self) -> RawFd {
        self.sender.as_raw_fd()
    }
}

/// For the output of another child. Fails with `ResourceBusy` if something is being written.
impl TryFrom<ChildStdin> for Stdio {
    type Error = io::Error;

    fn try_from(input: ChildStdin) -> io::Result<Self> {
        Ok(input.sender.try_into_fd()?.into())
    }
}
