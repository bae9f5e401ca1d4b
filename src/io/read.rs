//! What can be read from, whatever it is.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::buf::Chunk;

/// The most bytes that `poll_recv` brings where a reader has no chunks of its own.
const PART: usize = 8 * 1024;

/// Something that bytes are read from, as a trait object too.
///
/// Its methods are polled, so nothing is lost when a task gives up: what they did not return stays in the reader. The
/// task that polled last is woken. The async forms are in [`AsyncReadExt`].
///
/// Sockets, pipes and the streams of this module implement it, and so does a reference to a socket or pipe: one task
/// may read by `&stream` while another writes. Unlike tokio's trait of this name it takes `&mut Self` without a pin,
/// and gives whole buffers of the core's pool, so that what only passes through is not copied.
pub trait AsyncRead {
    /// Copies some bytes to `buf`, at least one unless it is empty; 0 is the end.
    ///
    /// # Errors
    ///
    /// Those of the reader. Bytes that came before the error are given first.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// The next bytes, at least one, where they lie; `None` at the end.
    ///
    /// As provided it copies, at most 8 KiB.
    ///
    /// # Errors
    ///
    /// As for [`poll_read`](Self::poll_read).
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let mut buf = [0; PART];
        let count = ready!(self.poll_read(cx, &mut buf))?;
        Poll::Ready(Ok((count > 0).then(|| Chunk::from(buf[..count].to_vec()))))
    }
}

impl<R: AsyncRead + ?Sized> AsyncRead for &mut R {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        (**self).poll_recv(cx)
    }
}

impl<R: AsyncRead + ?Sized> AsyncRead for Box<R> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        (**self).poll_recv(cx)
    }
}

/// The async forms of [`AsyncRead`], for any reader.
///
/// ```
/// use annulus::io::{AsyncRead, AsyncReadExt};
///
/// async fn first_two(reader: &mut dyn AsyncRead) -> std::io::Result<[u8; 2]> {
///     let mut two = [0; 2];
///     reader.read_exact(&mut two).await?;
///     Ok(two)
/// }
///
/// annulus::run(async {
///     let (sender, mut receiver) = annulus::io::pipe()?;
///     sender.write_all(b"hello").await?;
///     assert_eq!(&first_two(&mut receiver).await?, b"he");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[expect(async_fn_in_trait, reason = "no future of this crate is Send")]
pub trait AsyncReadExt: AsyncRead {
    /// The next bytes, where they lie; `None` at the end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    async fn recv(&mut self) -> io::Result<Option<Chunk>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Reads some bytes, at least one unless `buf` is empty; 0 is the end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Fills `buf`. If the future is dropped, the bytes that it had copied are in `buf` and gone from the reader; that
    /// of [`BufReader`](super::BufReader) is without this.
    ///
    /// # Errors
    ///
    /// Those of the reader, and `UnexpectedEof` if the end comes before.
    async fn read_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buf = &mut buf[count..],
            }
        }
        Ok(())
    }

    /// Appends all that comes, to the end; returns how much it was. There is no limit but the memory. If the future is
    /// dropped, what it had read is in `bytes`.
    ///
    /// # Errors
    ///
    /// Those of the reader; what was read before is in `bytes`.
    async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let before = bytes.len();
        while let Some(chunk) = self.recv().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.len() - before)
    }
}

impl<R: AsyncRead + ?Sized> AsyncReadExt for R {}

/// [`AsyncRead`] for a type, and for a reference to it, whose field or method polls by `&self`.
macro_rules! read_by_reference {
    ([$($generic:ident)?] $name:ty, $($way:tt)+) => {
        impl $(<$generic>)? $crate::io::AsyncRead for &$name {
            fn poll_read(
                &mut self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.$($way)+.poll_read(cx, buf)
            }

            fn poll_recv(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<Option<$crate::buf::Chunk>>> {
                self.$($way)+.poll_recv(cx)
            }
        }

        impl $(<$generic>)? $crate::io::AsyncRead for $name {
            fn poll_read(
                &mut self,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                (&*self).poll_read(cx, buf)
            }

            fn poll_recv(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<Option<$crate::buf::Chunk>>> {
                (&*self).poll_recv(cx)
            }
        }
    };
    ($name:ty, $($way:tt)+) => {
        $crate::io::read_by_reference!([] $name, $($way)+);
    };
}
pub(crate) use read_by_reference;
