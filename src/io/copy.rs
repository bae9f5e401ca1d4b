//! All that one stream brings, written to another.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::{AsyncRead, AsyncWrite};
use crate::buf::Chunk;

/// Writes all that `reader` brings to `writer`, to the end; says how many bytes it was.
///
/// Chunks are handed over where they lie, one at a time: while one is on its way the next may come. What the writer
/// gathers is flushed whenever the reader has nothing more, and in the end.
///
/// If the future is dropped, all that was read was accepted by the writer, but for a chunk that the writer had no room
/// for: that one is lost. To go on after that, keep the future.
///
/// # Errors
///
/// That of the reader or of the writer, with what was accepted until then. Of what was accepted last, the writer may
/// not have sent all.
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> Result<u64, CopyError<u64>>
where
    R: AsyncRead + ?Sized,
    W: AsyncWrite + ?Sized,
{
    let mut flow = Flow::default();
    let ended = poll_fn(|cx| flow.poll_through(cx, reader, writer)).await;
    match ended {
        Ok(()) => Ok(flow.copied),
        Err(error) => Err(CopyError { error, copied: flow.copied }),
    }
}

/// Copies both ways between two streams, until both have ended; says how many bytes went from `a` to `b`, and from `b`
/// to `a`.
///
/// The end of one direction is passed on when all before it is out, by a shutdown, and the other direction goes on. So
/// a connection that is passed through ends as one that is not.
///
/// If the future is dropped: as of [`copy`], for both directions.
///
/// # Errors
///
/// The first one of either stream, with what had gone each way; the other direction ends with it.
///
/// ```
/// use annulus::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex};
///
/// annulus::run(async {
///     let ((mut client, mut near), (mut far, mut server)) = (duplex(64), duplex(64));
///     let proxy = annulus::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
///     client.write_all(b"ping").await?;
///     client.shutdown().await?;
///     let mut text = Vec::new();
///     server.read_to_end(&mut text).await?;
///     server.write_all(b"the answer").await?;
///     drop(server);
///     client.read_to_end(&mut text).await?;
///     assert_eq!(text, b"pingthe answer");
///     assert_eq!(proxy.await?.map_err(|failed| failed.error)?, (4, 10));
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
pub async fn copy_bidirectional<A, B>(
    a: &mut A,
    b: &mut B,
) -> Result<(u64, u64), CopyError<(u64, u64)>>
where
    A: AsyncRead + AsyncWrite + ?Sized,
    B: AsyncRead + AsyncWrite + ?Sized,
{
    let (mut to_b, mut to_a) = (Flow::default(), Flow::default());
    let ended = poll_fn(|cx| {
        let there = to_b.poll_to_the_end(cx, a, b)?;
        let back = to_a.poll_to_the_end(cx, b, a)?;
        match there.is_ready() && back.is_ready() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    });
    let ended: io::Result<()> = ended.await;
    let copied = (to_b.copied, to_a.copied);
    match ended {
        Ok(()) => Ok(copied),
        Err(error) => Err(CopyError { error, copied }),
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// What was read and not accepted.
    chunk: Option<Chunk>,
    len: u64,
    copied: u64,
    /// Something was accepted since the last flush.
    is_dirty: bool,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Copying,
    Ending,
    Ended,
}

impl Flow {
    /// Copies until the reader has ended and all is flushed.
    fn poll_through<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        loop {
            if self.chunk.is_some() {
                ready!(writer.poll_send(cx, &mut self.chunk))?;
                self.copied += std::mem::take(&mut self.len);
                self.is_dirty = true;
            }
            let Poll::Ready(arrival) = reader.poll_recv(cx) else {
                ready!(self.poll_flush(cx, writer))?;
                return Poll::Pending;
            };
            match arrival? {
                None => return self.poll_flush(cx, writer),
                Some(chunk) => {
                    self.len = chunk.len() as u64;
                    self.chunk = Some(chunk);
                }
            }
        }
    }

    fn poll_flush<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.is_dirty {
            ready!(writer.poll_flush(cx))?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Copies until the reader has ended, and passes the end on.
    fn poll_to_the_end<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> io::Result<Poll<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        if self.stage == Stage::Copying {
            match self.poll_through(cx, reader, writer)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) => self.stage = Stage::Ending,
            }
        }
        if self.stage == Stage::Ending {
            match writer.poll_shutdown(cx)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) => self.stage = Stage::Ended,
            }
        }
        Ok(Poll::Ready(()))
    }
}

/// A copy that failed, and how many bytes had gone until then, `(from a to b, from b to a)` where it went both ways.
///
/// It converts into [`io::Error`].
#[derive(Debug)]
pub struct CopyError<C> {
    /// What went wrong.
    pub error: io::Error,
    /// Bytes that the writer had accepted.
    pub copied: C,
}

impl<C> From<CopyError<C>> for io::Error {
    fn from(failed: CopyError<C>) -> Self {
        failed.error
    }
}

impl<C> fmt::Display for CopyError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C: fmt::Debug> Error for CopyError<C> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
