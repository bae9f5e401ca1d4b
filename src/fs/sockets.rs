//! From files to sockets and back.
//!
//! What a read brought is sent from where it lies, and what arrived is written from where it lies, while the next is
//! read: no byte is copied in user space. `sendfile(2)` and `splice(2)` would spare the copy in the kernel, but called
//! in place they wait for a cold disk with the whole loop, and as an operation of the ring a splice always goes to a
//! thread of the kernel, which was measured at 10 to 38 us where the call itself takes 4.5.

use std::io;
use std::ops::RangeBounds;

use super::File;
use crate::net::TcpStream;
use crate::net::unix::UnixStream;

/// A stream that files are copied to and from: a [`TcpStream`] or a [`UnixStream`].
pub trait ByteStream: sealed::Sealed {}

impl ByteStream for TcpStream {}
impl ByteStream for UnixStream {}

mod sealed {
    use std::io;

    use crate::buf::{BufError, Chunk};
    use crate::net::TcpStream;
    use crate::net::unix::UnixStream;

    /// What the copies need of a stream.
    pub trait Sealed {
        fn receive(&self) -> impl Future<Output = io::Result<Option<Chunk>>>;
        fn send_bytes(
            &self,
            buf: Vec<u8>,
        ) -> impl Future<Output = Result<Vec<u8>, BufError<Vec<u8>>>>;
    }

    macro_rules! sealed {
        ($($stream:ty),+) => {$(
            impl Sealed for $stream {
                fn receive(&self) -> impl Future<Output = io::Result<Option<Chunk>>> {
                    self.recv()
                }

                fn send_bytes(
                    &self,
                    buf: Vec<u8>,
                ) -> impl Future<Output = Result<Vec<u8>, BufError<Vec<u8>>>> {
                    self.send_all(buf)
                }
            }
        )+};
    }

    sealed!(TcpStream, UnixStream);
}

impl File {
    /// Sends a range of the file, or what there is of it, and calls `progress` with the count of bytes sent so far;
    /// returns that count.
    ///
    /// If the future is dropped, how much was sent is not known; what was under way leaves whole.
    ///
    /// # Errors
    ///
    /// As for [`read_at`](Self::read_at) and [`TcpStream::send_all`].
    pub async fn send_to<S: ByteStream>(
        &self,
        stream: &S,
        range: impl RangeBounds<u64>,
        mut progress: impl FnMut(u64),
    ) -> io::Result<u64> {
        let mut chunks = self.chunks(range);
        let mut sent = 0;
        while let Some(chunk) = chunks.next().await? {
            let len = chunk.len();
            chunks.recycle(stream.send_bytes(chunk).await?);
            sent += len as u64;
            progress(sent);
        }
        Ok(sent)
    }

    /// Writes all that arrives until the end of the stream, from `offset` on, and calls `progress` with the count of
    /// bytes taken from the stream so far; returns that count. It does not wait for the disk.
    ///
    /// If the future is dropped, what was taken from the stream is written, and if that fails, the next write, sync or
    /// close says so.
    ///
    /// # Errors
    ///
    /// As for [`TcpStream::recv`] and [`write_all_at`](Self::write_all_at).
    pub async fn receive_from<S: ByteStream>(
        &self,
        stream: &S,
        offset: u64,
        mut progress: impl FnMut(u64),
    ) -> io::Result<u64> {
        let mut writer = self.write_behind(offset);
        let mut received = 0;
        while let Some(chunk) = stream.receive().await? {
            received += chunk.len() as u64;
            // What is given back is a buffer of the pool, which goes there by itself.
            writer.write(chunk).await?;
            progress(received);
        }
        writer.finish().await?;
        Ok(received)
    }
}
