//! Writing little by little, and sending it in large pieces.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use super::AsyncWrite;
use super::read::AsyncRead;
use crate::buf::Chunk;

/// What is gathered before it is sent, where nothing else is said.
const CAPACITY: usize = 8 * 1024;

/// Gathers what is written, and hands it on in pieces of at most its capacity, whose memory is sent as it is.
///
/// At most so much waits here, beside what the writer within has accepted. What is gathered leaves when it is full, by
/// [`flush`](super::AsyncWriteExt::flush) or [`shutdown`](super::AsyncWriteExt::shutdown); **dropped before, it is
/// lost** with the writer, because nobody is there to wait for it; [`into_parts`](Self::into_parts) gives it back.
/// Chunks and writes that are longer than the capacity go past it, in order.
///
/// ```
/// use annulus::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
///
/// annulus::run(async {
///     let (near, mut far) = annulus::io::duplex(1024);
///     let mut writer = BufWriter::new(near);
///     for number in 0..3 {
///         writer.write_all(format!("{number}\n").as_bytes()).await?;
///     }
///     writer.flush().await?;
///     assert_eq!(&*far.recv().await?.expect("it was flushed"), b"0\n1\n2\n");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
pub struct BufWriter<W> {
    writer: W,
    gathered: Vec<u8>,
    /// What is full and the writer has not accepted.
    full: Option<Chunk>,
    capacity: usize,
}

impl<W: AsyncWrite> BufWriter<W> {
    /// That gathers 8 KiB.
    pub fn new(writer: W) -> Self {
        Self::with_capacity(CAPACITY, writer)
    }

    /// That gathers `capacity` bytes.
    pub fn with_capacity(capacity: usize, writer: W) -> Self {
        Self { writer, gathered: Vec::new(), full: None, capacity }
    }

    /// Waits until so much can be gathered at once, at most the capacity.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<()>> {
        if self.full.is_some() || self.gathered.len() + len > self.capacity {
            ready!(self.poll_hand_on(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gathers what there is room for.
    #[inline]
    pub(super) fn gather(&mut self, bytes: &[u8]) {
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(self.capacity);
        }
        self.gathered.extend_from_slice(bytes);
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Hands on all that was gathered: the writer within has accepted it then.
    pub(super) fn poll_hand_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.full.is_none() && !self.gathered.is_empty() {
            self.full = Some(Chunk::from(std::mem::take(&mut self.gathered)));
        }
        match self.full {
            Some(_) => self.writer.poll_send(cx, &mut self.full),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<W> BufWriter<W> {
    /// The writer within. What is written to it there overtakes what is gathered here.
    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    /// As [`get_ref`](Self::get_ref).
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// What was gathered and not handed on.
    fn rest(&self) -> usize {
        self.full.as_ref().map_or(0, |full| full.len()) + self.gathered.len()
    }

    /// The writer within, and what was not handed on to it.
    pub fn into_parts(self) -> (W, Vec<u8>) {
        let mut rest = self.full.map(Chunk::into_bytes).unwrap_or_default();
        rest.extend_from_slice(&self.gathered);
        (self.writer, rest)
    }
}

impl<W: AsyncWrite> AsyncWrite for BufWriter<W> {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx, bytes.len()))?;
        if bytes.len() > self.capacity {
            return self.writer.poll_write(cx, bytes);
        }
        self.gather(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        let len = chunk.as_ref().map_or(0, |chunk| chunk.len());
        // A copy is cheaper than a send of its own.
        if self.full.is_none()
            && self.gathered.len() + len <= self.capacity / 4
            && let Some(chunk) = chunk.take()
        {
            return self.poll_write(cx, &chunk).map_ok(drop);
        }
        ready!(self.poll_hand_on(cx))?;
        self.writer.poll_send(cx, chunk)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_on(cx))?;
        self.writer.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_on(cx))?;
        self.writer.poll_shutdown(cx)
    }
}

/// As the stream within, past the buffer.
impl<S: AsyncRead> AsyncRead for BufWriter<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.writer.poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        self.writer.poll_recv(cx)
    }
}

impl<W: fmt::Debug> fmt::Debug for BufWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter")
            .field("writer", &self.writer)
            .field("gathered", &self.rest())
            .field("capacity", &self.capacity)
            .finish()
    }
}
