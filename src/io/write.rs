//! What can be written to, whatever it is.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::buf::Chunk;

/// Something that bytes are written to, as a trait object too.
///
/// A write *accepts* bytes: it takes them over, whole and in order, and lets them leave without anybody waiting. So
/// nothing is lost or doubled when a task gives up: while a method is pending it has accepted nothing, and what it
/// accepted goes on its way also if nobody polls again. The error of accepted bytes is that of the next method called.
/// What is accepted is bounded: sockets and pipes take the next bytes when the last are in the kernel's hands. The
/// async forms are in [`AsyncWriteExt`].
///
/// Sockets, pipes and the streams of this module implement it, and so does a reference to a socket or pipe. Unlike
/// tokio's trait of this name it takes `&mut Self` without a pin, and takes over whole buffers without copying them.
pub trait AsyncWrite {
    /// Accepts a copy of some of the bytes, at least one unless there are none; says how many.
    ///
    /// # Errors
    ///
    /// Those of the writer, those of bytes accepted before included; nothing was accepted.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Accepts a chunk, whole: takes it when it is ready, and leaves it while pending. There is nothing to do if there
    /// is none.
    ///
    /// As provided it copies; it may then take off the chunk's front what it accepted, before it is ready.
    ///
    /// # Errors
    ///
    /// As for [`poll_write`](Self::poll_write); what was not accepted is left.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = chunk.as_mut().filter(|rest| !rest.is_empty()) {
            match ready!(self.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => rest.advance(count),
            }
        }
        *chunk = None;
        Poll::Ready(Ok(()))
    }

    /// Waits until all that was accepted has left this process, or lies where the other side reads it.
    ///
    /// # Errors
    ///
    /// Those of the writer, those of accepted bytes included.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, and ends what is written: the other side reads to the end of it. A pipe is ended by its drop alone, and
    /// flushed here.
    ///
    /// # Errors
    ///
    /// As for [`poll_flush`](Self::poll_flush), and those of the end.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The four methods, by those of what `self` leads to.
macro_rules! write_as {
    ($self:ident => $inner:expr) => {
        fn poll_write(
            &mut $self,
            cx: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            $inner.poll_write(cx, bytes)
        }

        fn poll_send(
            &mut $self,
            cx: &mut std::task::Context<'_>,
            chunk: &mut Option<$crate::buf::Chunk>,
        ) -> std::task::Poll<std::io::Result<()>> {
            $inner.poll_send(cx, chunk)
        }

        fn poll_flush(
            &mut $self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            $inner.poll_flush(cx)
        }

        fn poll_shutdown(
            &mut $self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            $inner.poll_shutdown(cx)
        }
    };
}
pub(crate) use write_as;

impl<W: AsyncWrite + ?Sized> AsyncWrite for &mut W {
    write_as!(self => (**self));
}

impl<W: AsyncWrite + ?Sized> AsyncWrite for Box<W> {
    write_as!(self => (**self));
}

/// The async forms of [`AsyncWrite`], for any writer.
///
/// ```
/// use annulus::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
///
/// async fn greet(writer: &mut dyn AsyncWrite) -> std::io::Result<()> {
///     writer.write_all(b"hello ").await?;
///     writer.send(Vec::from("world")).await?;
///     writer.shutdown().await
/// }
///
/// annulus::run(async {
///     let (mut near, mut far) = annulus::io::duplex(64);
///     greet(&mut near).await?;
///     let mut text = Vec::new();
///     far.read_to_end(&mut text).await?;
///     assert_eq!(text, b"hello world");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[expect(async_fn_in_trait, reason = "no future of this crate is Send")]
pub trait AsyncWriteExt: AsyncWrite {
    /// Accepts a copy of some of the bytes; says how many. If the future is dropped, none were accepted.
    ///
    /// # Errors
    ///
    /// Those of the writer, those of bytes accepted before included; nothing was accepted.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, bytes)).await
    }

    /// Accepts a copy of all of the bytes. If the future is dropped, or fails, how many were accepted is not known.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and `WriteZero` if the writer takes no more.
    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Accepts all of a buffer, without a copy where the writer can. If the future is dropped before, so is the buffer;
    /// whoever wants to keep it polls [`AsyncWrite::poll_send`].
    ///
    /// # Errors
    ///
    /// As for [`write_all`](Self::write_all).
    async fn send(&mut self, buffer: impl Into<Chunk>) -> io::Result<()> {
        let mut chunk = Some(buffer.into());
        poll_fn(|cx| self.poll_send(cx, &mut chunk)).await
    }

    /// Waits until all that was accepted has left. Dropping the future has no effect: it leaves all the same, but from
    /// a buffer that only a flush empties.
    ///
    /// # Errors
    ///
    /// As for [`AsyncWrite::poll_flush`].
    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Flushes and ends what is written. If the future is dropped, it has not ended.
    ///
    /// # Errors
    ///
    /// As for [`AsyncWrite::poll_shutdown`].
    async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }
}

impl<W: AsyncWrite + ?Sized> AsyncWriteExt for W {}

/// [`AsyncWrite`] for a type, and for a reference to it, whose field or method polls by `&self`.
macro_rules! write_by_reference {
    ([$($generic:ident)?] $name:ty, $($way:tt)+) => {
        impl $(<$generic>)? $crate::io::AsyncWrite for &$name {
            $crate::io::write_as!(self => self.$($way)+);
        }

        impl $(<$generic>)? $crate::io::AsyncWrite for $name {
            $crate::io::write_as!(self => (&*self));
        }
    };
    ($name:ty, $($way:tt)+) => {
        $crate::io::write_by_reference!([] $name, $($way)+);
    };
}
pub(crate) use write_by_reference;
