//! Messages in a stream of bytes: each with its length before it, or each a line.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::buf_reader::without_end;
use super::{AsyncRead, AsyncWrite, BufReader, BufWriter, TooLong};
use crate::buf::Chunk;
use crate::sys::bytes::find;

/// The longest message, where nothing else is said.
const LENGTH_MAX: usize = 8 * 1024 * 1024;
const LINE_MAX: usize = 64 * 1024;

/// How messages lie in a stream of bytes; makes the [reader](Self::reader) and the [writer](Self::writer) of them.
///
/// ```
/// use annulus::io::{Framing, duplex};
///
/// annulus::run(async {
///     let (near, far) = duplex(1024);
///     let framing = Framing::u16().max(1000);
///     let (mut writer, mut reader) = (framing.writer(near), framing.reader(far));
///     writer.send(Vec::from("one")).await?;
///     writer.send(Vec::new()).await?;
///     assert_eq!(reader.next().await?, Some(&b"one"[..]));
///     assert_eq!(reader.next().await?, Some(&b""[..]));
///     assert!(writer.send(vec![0; 1001]).await.is_err());
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    kind: Kind,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lines,
    Lengths { width: usize, is_little: bool },
}

impl Framing {
    /// Lines. They are read without their ends, `\n` or `\r\n`, and written with `\n`. At most 64 KiB.
    pub fn lines() -> Self {
        Self { kind: Kind::Lines, max: LINE_MAX }
    }

    fn lengths(width: usize, max: usize) -> Self {
        Self { kind: Kind::Lengths { width, is_little: false }, max }
    }

    /// Each with its length before it, in one byte.
    pub fn u8() -> Self {
        Self::lengths(1, usize::from(u8::MAX))
    }

    /// Each with its length before it, in two bytes, the high one first.
    pub fn u16() -> Self {
        Self::lengths(2, usize::from(u16::MAX))
    }

    /// Each with its length before it, in four bytes, the highest first. At most 8 MiB.
    pub fn u32() -> Self {
        Self::lengths(4, LENGTH_MAX)
    }

    /// Each with its length before it, in eight bytes, the highest first. At most 8 MiB.
    pub fn u64() -> Self {
        Self::lengths(8, LENGTH_MAX)
    }

    /// The lowest byte of the length first. Of lines it changes nothing.
    #[must_use]
    pub fn little_endian(mut self) -> Self {
        if let Kind::Lengths { is_little, .. } = &mut self.kind {
            *is_little = true;
        }
        self
    }

    /// The longest message, in bytes, without its length or its end; less where the length has no room for so much.
    #[must_use]
    pub fn max(mut self, max: usize) -> Self {
        self.max = match self.kind {
            Kind::Lengths { width: 1, .. } => max.min(usize::from(u8::MAX)),
            Kind::Lengths { width: 2, .. } => max.min(usize::from(u16::MAX)),
            Kind::Lengths { width: 4, .. } => max.min(u32::MAX as usize),
            Kind::Lengths { .. } | Kind::Lines => max,
        };
        self
    }

    /// Reads messages from any reader.
    pub fn reader<R: AsyncRead>(self, reader: R) -> FrameReader<R> {
        // With its end.
        let limit = self.max.saturating_add(2);
        FrameReader { reader: BufReader::with_limit(limit, reader), framing: self }
    }

    /// Writes messages to any writer.
    pub fn writer<W: AsyncWrite>(self, writer: W) -> FrameWriter<W> {
        FrameWriter { writer: BufWriter::new(writer), body: None, framing: self }
    }
}

/// Messages out of a stream; made by [`Framing::reader`].
///
/// A dropped future loses nothing: a message is taken when it is there as a whole.
pub struct FrameReader<R> {
    reader: BufReader<R>,
    framing: Framing,
}

impl<R: AsyncRead> FrameReader<R> {
    /// The next message, lent; `None` at the end of the stream. What lies in one buffer of the pool is not copied.
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader. [`TooLong`] if it is, before memory is taken for it; `UnexpectedEof` if the stream ends
    /// within a message, of which a last line is none. After those two the error stays: where the next message begins
    /// is not known.
    pub async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let found = poll_fn(|cx| self.poll_found(cx)).await?;
        Ok(found.map(|found| self.take(found)))
    }

    /// As [`next`](Self::next), polled, the message on its own; the task that polled last is woken.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_next_owned(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        let found = ready!(self.poll_found(cx))?;
        Poll::Ready(Ok(found.map(|found| self.take(found).to_vec())))
    }

    /// Waits until a message is there: how many bytes come before it, and how many it has with its end.
    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<(usize, usize)>>> {
        let Kind::Lengths { width, is_little } = self.framing.kind else {
            return self.poll_line(cx);
        };
        if !ready!(self.reader.poll_gather(width, cx))? {
            return Poll::Ready(if self.reader.is_empty() { Ok(None) } else { Err(cut_off()) });
        }
        let mut bytes = [0; 8];
        let header = self.reader.contiguous(width);
        let len = if is_little {
            bytes[..width].copy_from_slice(header);
            u64::from_le_bytes(bytes)
        } else {
            bytes[8 - width..].copy_from_slice(header);
            u64::from_be_bytes(bytes)
        };
        let len = usize::try_from(len).ok().filter(|len| *len <= self.framing.max);
        let Some(len) = len else {
            return Poll::Ready(Err(TooLong::error(self.framing.max)));
        };
        match ready!(self.reader.poll_gather(width + len, cx))? {
            true => Poll::Ready(Ok(Some((width, len)))),
            false => Poll::Ready(Err(cut_off())),
        }
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<(usize, usize)>>> {
        let max = self.framing.max;
        let found = match ready!(self.reader.poll_until(b'\n', cx)) {
            Err(error) if TooLong::is(&error) => return Poll::Ready(Err(TooLong::error(max))),
            found => found?,
        };
        let Some(len) = found else {
            return Poll::Ready(Ok(None));
        };
        match without_end(self.reader.contiguous(len)).len() <= max {
            true => Poll::Ready(Ok(Some((0, len)))),
            false => Poll::Ready(Err(TooLong::error(max))),
        }
    }

    fn take(&mut self, (before, len): (usize, usize)) -> &[u8] {
        self.reader.consume(before);
        let is_line = self.framing.kind == Kind::Lines;
        let bytes = self.reader.take(len);
        if is_line { without_end(bytes) } else { bytes }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended within a message")
}

impl<R> FrameReader<R> {
    /// The reader within, with what had come and was not taken.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }

    /// The reader within.
    pub fn get_mut(&mut self) -> &mut BufReader<R> {
        &mut self.reader
    }
}

/// Messages into a stream; made by [`Framing::writer`].
///
/// A message is accepted whole or not at all, so a dropped future tears none. What was accepted waits here until the
/// writer within accepts it: at most 8 KiB of small ones, and one large one. Dropped before, it is lost.
pub struct FrameWriter<W> {
    writer: BufWriter<W>,
    /// A large message whose length was gathered, and which comes next.
    body: Option<Chunk>,
    framing: Framing,
}

impl<W: AsyncWrite> FrameWriter<W> {
    /// Accepts a message and hands it on to the writer. A large one is not copied.
    ///
    /// If the future is dropped, the message was accepted as a whole, and leaves with the next call, or it was not.
    ///
    /// # Errors
    ///
    /// Those of the writer. `InvalidInput` for a message over the [maximum](Framing::max), or a line with a `\n` in
    /// it, of which nothing is written.
    pub async fn send(&mut self, message: impl Into<Chunk>) -> io::Result<()> {
        self.feed(message).await?;
        poll_fn(|cx| {
            ready!(self.poll_body(cx))?;
            self.writer.poll_hand_on(cx)
        })
        .await
    }

    /// Accepts a message; small ones are gathered, to leave with later ones or a [`flush`](Self::flush).
    ///
    /// If the future is dropped before it is done, the message was not accepted.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Chunk>) -> io::Result<()> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.poll_feed(cx, &mut message)).await
    }

    /// Waits until all that was accepted has left. Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(self.poll_body(cx))?;
            self.writer.poll_flush(cx)
        })
        .await
    }

    /// Flushes and ends what is written. If the future is dropped, it has not ended.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(self.poll_body(cx))?;
            self.writer.poll_shutdown(cx)
        })
        .await
    }

    /// The writer within, if nothing waits here.
    pub fn get_mut(&mut self) -> &mut BufWriter<W> {
        &mut self.writer
    }

    /// As [`feed`](Self::feed), polled: takes the message when it is ready.
    fn poll_feed(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        let Some(bytes) = message.as_ref() else {
            return Poll::Ready(Ok(()));
        };
        if let Err(error) = self.framing.check(bytes) {
            return Poll::Ready(Err(error));
        }
        ready!(self.poll_body(cx))?;
        let mut room = [0; 8];
        let (header, end) = self.framing.around(bytes.len(), &mut room);
        let len = header.len() + bytes.len() + end.len();
        let is_small = len <= self.writer.capacity();
        let gathered = if is_small { len } else { header.len() };
        ready!(self.writer.poll_room(cx, gathered))?;
        self.writer.gather(header);
        if is_small {
            self.writer.gather(bytes);
            self.writer.gather(end);
            *message = None;
            return Poll::Ready(Ok(()));
        }
        self.body = message.take();
        Poll::Ready(Ok(()))
    }

    /// Hands on the message whose length was gathered.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.body.is_some() {
            ready!(self.writer.poll_send(cx, &mut self.body))?;
            if self.framing.kind == Kind::Lines {
                // Nothing is gathered behind what was handed on.
                self.writer.gather(b"\n");
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Framing {
    fn check(&self, message: &[u8]) -> io::Result<()> {
        let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if message.len() > self.max {
            let (len, max) = (message.len(), self.max);
            return refuse(format!("a message of {len} bytes; at most {max} are allowed"));
        }
        if self.kind == Kind::Lines && find(b'\n', message).is_some() {
            return refuse("a line with a line end in it".to_owned());
        }
        Ok(())
    }

    /// What comes before a message and after it.
    fn around<'a>(&self, len: usize, room: &'a mut [u8; 8]) -> (&'a [u8], &'static [u8]) {
        match self.kind {
            Kind::Lines => (&[], b"\n"),
            Kind::Lengths { width, is_little: true } => {
                *room = (len as u64).to_le_bytes();
                (&room[..width], &[])
            }
            Kind::Lengths { width, is_little: false } => {
                *room = (len as u64).to_be_bytes();
                (&room[8 - width..], &[])
            }
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for FrameReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("reader", &self.reader)
            .field("framing", &self.framing)
            .finish()
    }
}

impl<W: fmt::Debug> fmt::Debug for FrameWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("writer", &self.writer)
            .field("framing", &self.framing)
            .finish()
    }
}
