//! Reading by lines and lengths, with what is not used kept for the next read.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::write::{AsyncWrite, write_as};
use super::{AsyncRead, Lines, Split, TooLong};
use crate::buf::Chunk;
use crate::sys::bytes::{self, BLOCK, find, places};

/// The longest line, where nothing else is said.
const LIMIT: usize = 64 * 1024;

/// Blocks that are looked through before the search that is made for long ones.
const NEAR: usize = 3;

/// Reads lines, pieces and exact lengths from any reader, and keeps what it has not used.
///
/// It looks at the chunks where they lie: what lies in one is lent or copied straight from there. A dropped future, in
/// a `select!` or a timeout, loses nothing, whatever it had read so far: this is so for all methods here, other than
/// in tokio, where `read_line`, `read_until` and `read_exact` lose what they had.
///
/// A line is at most as long as the [limit](Self::with_limit), so a peer that never ends its line takes up that much
/// and a chunk. The error is [`TooLong`]. Nothing is lost by it, and the reader goes on to be usable: its bytes can be
/// taken by [`fill_buf`](Self::fill_buf) and [`consume`](Self::consume), and until they are, the error stays.
///
/// ```
/// use annulus::io::{AsyncWriteExt, BufReader};
///
/// annulus::run(async {
///     let (mut near, far) = annulus::io::duplex(1024);
///     near.write_all(b"HELO there\r\nDATA 3\r\nabc").await?;
///     drop(near);
///
///     let mut reader = BufReader::new(far);
///     assert_eq!(reader.line().await?, Some(&b"HELO there"[..]));
///     assert_eq!(reader.line().await?, Some(&b"DATA 3"[..]));
///     assert_eq!(reader.exact(3).await?, b"abc");
///     assert_eq!(reader.line().await?, None);
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
pub struct BufReader<R> {
    reader: R,
    /// What came and was not consumed: the first chunk from `start` on, and those behind it.
    first: Option<Chunk>,
    start: usize,
    others: VecDeque<Chunk>,
    /// Bytes of all that.
    len: usize,
    /// So many of them are known to be without `delimiter`.
    searched: usize,
    delimiter: u8,
    /// The first chunk was looked through up to here, a block at a time: where in the last block the delimiter is, what
    /// was consumed left out, is in `places`, and nowhere between `start` and that. So where the next line is looked
    /// for does not follow from where the last one ended, and the processor need not wait for that (`net`, `lines`).
    ahead: usize,
    places: u64,
    limit: usize,
}

impl<R: AsyncRead> BufReader<R> {
    /// With lines of at most 64 KiB.
    pub fn new(reader: R) -> Self {
        Self::with_limit(LIMIT, reader)
    }

    /// With lines of at most `limit` bytes, their end included. What has an end further away, or none within so many
    /// bytes, is refused.
    pub fn with_limit(limit: usize, reader: R) -> Self {
        Self {
            reader,
            first: None,
            start: 0,
            others: VecDeque::new(),
            len: 0,
            searched: 0,
            delimiter: b'\n',
            ahead: 0,
            places: 0,
            limit,
        }
    }

    /// The next line, lent, without its end, `\n` or `\r\n`; `None` at the end of the stream, whose last line need not
    /// have an end.
    ///
    /// The fastest way to read lines: what lies in one chunk is not copied. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader; [`TooLong`].
    #[inline]
    pub fn line(&mut self) -> impl Future<Output = io::Result<Option<&[u8]>>> {
        Lend { reader: Some(self), delimiter: b'\n', cut: without_end }
    }

    /// The bytes up to the next `delimiter`, lent, with it; what there is at the end of the stream; then `None`.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`line`](Self::line).
    #[inline]
    pub fn until(&mut self, delimiter: u8) -> impl Future<Output = io::Result<Option<&[u8]>>> {
        Lend { reader: Some(self), delimiter, cut: |piece| piece }
    }

    /// The next `len` bytes, lent.
    ///
    /// There is no limit to `len` but the memory, which the bytes take up as they come. Nothing is lost if the future
    /// is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader; `UnexpectedEof` if the stream ends before: what came is then still there to be read.
    pub async fn exact(&mut self, len: usize) -> io::Result<&[u8]> {
        poll_fn(|cx| self.poll_exact(len, cx)).await?;
        Ok(self.take(len))
    }

    /// Appends a line to `line`, with its end; returns how many bytes it was, 0 at the end of the stream. As in std and
    /// tokio, but nothing is lost if the future is dropped: `line` is appended to when all is there.
    ///
    /// # Errors
    ///
    /// As for [`line`](Self::line). `InvalidData` if it is not UTF-8: `line` is as before, and the bytes are still
    /// there to be read, by [`line`](Self::line) or [`until`](Self::until).
    #[inline]
    pub fn read_line(&mut self, line: &mut String) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| {
            let Some(len) = ready!(self.poll_until(b'\n', cx))? else {
                return Poll::Ready(Ok(0));
            };
            line.push_str(text(self.contiguous(len))?);
            self.consume(len);
            Poll::Ready(Ok(len))
        })
    }

    /// Appends the bytes up to the next `delimiter` to `bytes`, with it; returns how many, 0 at the end of the stream.
    /// As in std and tokio, but nothing is lost if the future is dropped: `bytes` is appended to when all is there.
    ///
    /// # Errors
    ///
    /// As for [`line`](Self::line).
    #[inline]
    pub fn read_until(
        &mut self,
        delimiter: u8,
        bytes: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| {
            let len = ready!(self.poll_until(delimiter, cx))?.unwrap_or(0);
            bytes.extend_from_slice(self.take(len));
            Poll::Ready(Ok(len))
        })
    }

    /// Fills `buf`, when all of it is there. Nothing is lost if the future is dropped: `buf` is as before then, and
    /// what came waits here, so meanwhile there may be twice the memory.
    ///
    /// # Errors
    ///
    /// As for [`exact`](Self::exact); `buf` is as before.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        poll_fn(|cx| self.poll_exact(buf.len(), cx)).await?;
        self.copy_out(buf);
        Ok(())
    }

    /// The lines as texts of their own, without their ends.
    pub fn lines(self) -> Lines<R> {
        Lines::new(self)
    }

    /// The pieces between the delimiters, each on its own.
    pub fn split(self, delimiter: u8) -> Split<R> {
        Split::new(self, delimiter)
    }

    /// What is there and was not consumed, lent; waits for more if there is nothing. Empty at the end of the stream.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        poll_fn(|cx| self.poll_some(cx)).await?;
        Ok(self.buffer())
    }

    /// Nothing is there that was not consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is there and was not consumed, or the first part of it, without waiting.
    pub fn buffer(&self) -> &[u8] {
        let rest = self.first.as_ref().map_or(&[][..], |first| &first[self.start..]);
        if rest.is_empty() { self.others.front().map_or(&[], |second| second) } else { rest }
    }

    /// Takes the first `count` bytes of what is there: they are not read again.
    ///
    /// # Panics
    ///
    /// If so many are not there.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "consume {count} of {} bytes", self.len);
        self.len -= count;
        self.searched = self.searched.saturating_sub(count);
        match &self.first {
            Some(first) if count <= first.len() - self.start => self.pass(count),
            _ => self.skip(count),
        }
    }

    /// Goes past bytes of the first chunk.
    #[inline(always)]
    fn pass(&mut self, count: usize) {
        self.start += count;
        match self.ahead.checked_sub(self.start) {
            Some(left) => {
                let passed = BLOCK.saturating_sub(left) as u32;
                self.places &= u64::MAX.checked_shl(passed).unwrap_or(0);
            }
            None => (self.ahead, self.places) = (self.start, 0),
        }
    }

    /// Goes past so many bytes, which lie in several chunks.
    fn skip(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let here = self.settle().len() - self.start;
            self.pass(left.min(here));
            left = left.saturating_sub(here);
        }
    }

    /// The first chunk, which has bytes that were not consumed. There are some.
    #[inline]
    fn settle(&mut self) -> &Chunk {
        while self.first.as_ref().is_none_or(|first| first.len() == self.start) {
            let next = self.others.pop_front();
            self.begin(next);
        }
        self.first.as_ref().expect("there are bytes that were not consumed")
    }

    /// Takes `len` bytes that are there, lent.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        if self.first.as_ref().is_none_or(|first| first.len() - self.start < len) {
            self.contiguous(len);
        }
        let start = self.start;
        self.pass(len);
        self.len -= len;
        self.searched = self.searched.saturating_sub(len);
        self.first.as_ref().map_or(&[], |first| &first[start..start + len])
    }

    /// The first `len` bytes, which are there, in one piece.
    #[inline]
    pub(super) fn contiguous(&mut self, len: usize) -> &[u8] {
        if len > 0 && self.settle().len() - self.start < len {
            self.join(len);
        }
        self.first.as_ref().map_or(&[], |first| &first[self.start..self.start + len])
    }

    /// Makes one chunk of the first `len` bytes, which lie in several.
    #[cold]
    fn join(&mut self, len: usize) {
        let (all, searched) = (self.len, self.searched);
        let mut joined = vec![0; len];
        self.copy_out(&mut joined);
        if let Some(rest) = self.first.take().filter(|rest| rest.len() > self.start) {
            self.others.push_front(rest);
            self.others[0].advance(self.start);
        }
        self.begin(Some(Chunk::from(joined)));
        (self.len, self.searched) = (all, searched);
    }

    /// The first chunk is this from now on.
    #[inline]
    fn begin(&mut self, first: Option<Chunk>) {
        self.first = first;
        (self.start, self.ahead, self.places) = (0, 0, 0);
    }

    /// Takes as many bytes as `buf` holds, which are there.
    fn copy_out(&mut self, buf: &mut [u8]) {
        let mut copied = 0;
        while copied < buf.len() {
            self.settle();
            let rest = self.buffer();
            let count = rest.len().min(buf.len() - copied);
            buf[copied..copied + count].copy_from_slice(&rest[..count]);
            self.consume(count);
            copied += count;
        }
    }

    /// Waits until the bytes up to the next delimiter are there: how many, with it. `None` is the end of the stream,
    /// with nothing before it.
    #[inline(always)]
    pub(super) fn poll_until(
        &mut self,
        delimiter: u8,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        match self.search_near(delimiter) {
            Some(len) if len <= self.limit => Poll::Ready(Ok(Some(len))),
            _ => self.poll_far_until(delimiter, cx),
        }
    }

    /// Looks for the delimiter in the next blocks of the first chunk: the bytes up to it, with it.
    #[inline(always)]
    fn search_near(&mut self, delimiter: u8) -> Option<usize> {
        if delimiter != self.delimiter || self.searched > 0 {
            return None;
        }
        let mut blocks = 0;
        while self.places == 0 {
            if blocks == NEAR {
                return None;
            }
            let block = self.first.as_ref()?.get(self.ahead..)?.first_chunk()?;
            self.places = places(delimiter, block);
            self.ahead += BLOCK;
            blocks += 1;
        }
        let at = self.ahead - BLOCK + self.places.trailing_zeros() as usize;
        Some(at + 1 - self.start)
    }

    /// Where the delimiter is not known to be near.
    #[inline(never)]
    fn poll_far_until(
        &mut self,
        delimiter: u8,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        if self.delimiter != delimiter {
            (self.delimiter, self.searched) = (delimiter, 0);
            (self.ahead, self.places) = (self.start, 0);
        }
        loop {
            match self.search() {
                Some(len) if len <= self.limit => return Poll::Ready(Ok(Some(len))),
                None if self.len < self.limit => {}
                _ => return Poll::Ready(Err(TooLong::error(self.limit))),
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Ok((self.len > 0).then_some(self.len)));
            }
        }
    }

    /// Looks for the delimiter where it was not looked for yet: the bytes up to it, with it.
    fn search(&mut self) -> Option<usize> {
        let mut before = 0;
        let first = self.first.as_ref().map_or(&[][..], |first| &first[self.start..]);
        for part in [first].into_iter().chain(self.others.iter().map(|chunk| &**chunk)) {
            let known = self.searched.saturating_sub(before).min(part.len());
            if let Some(at) = find(self.delimiter, &part[known..]) {
                // It is looked for from there, should nobody take it.
                self.searched = before + known + at;
                return Some(self.searched + 1);
            }
            before += part.len();
        }
        self.searched = before;
        None
    }

    /// Waits until `len` bytes are there; false if the end comes before.
    pub(super) fn poll_gather(
        &mut self,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        while self.len < len {
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }

    /// As `poll_gather`, for who cannot do with less.
    fn poll_exact(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_gather(len, cx))? {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Waits until something is there, or the end has come.
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.len == 0 {
            ready!(self.poll_more(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives one more chunk; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.len == 0 {
            // Its buffer goes back: who waits holds none.
            self.begin(None);
        }
        let Some(chunk) = ready!(self.reader.poll_recv(cx))? else {
            return Poll::Ready(Ok(false));
        };
        let len = chunk.len();
        match self.len {
            0 => self.begin(Some(chunk)),
            _ => self.others.push_back(chunk),
        }
        self.len += len;
        Poll::Ready(Ok(true))
    }
}

/// Lends the bytes up to the next delimiter, cut to what is wanted of them. Not an async block: what that keeps of its
/// state is half of what a line costs (`net`, `lines`).
struct Lend<'a, R, C> {
    reader: Option<&'a mut BufReader<R>>,
    delimiter: u8,
    cut: C,
}

// The reader is not pinned.
impl<R, C> Unpin for Lend<'_, R, C> {}

impl<'a, R: AsyncRead, C: Fn(&'a [u8]) -> &'a [u8]> Future for Lend<'a, R, C> {
    type Output = io::Result<Option<&'a [u8]>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let reader = this.reader.as_mut().expect("a future is not polled after its result");
        let found = ready!(reader.poll_until(this.delimiter, cx))?;
        Poll::Ready(Ok(found.and_then(|len| Some((this.cut)(this.reader.take()?.take(len))))))
    }
}

impl<R> BufReader<R> {
    /// The reader within. What is read from it there is missing here.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// As [`get_ref`](Self::get_ref).
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The reader within, and what had come and was not consumed.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let mut rest = Vec::with_capacity(self.len);
        if let Some(first) = &self.first {
            rest.extend_from_slice(&first[self.start..]);
        }
        self.others.iter().for_each(|chunk| rest.extend_from_slice(chunk));
        (self.reader, rest)
    }
}

/// A line without `\n` or `\r\n`.
#[inline]
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    match line {
        [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => line,
        line => line,
    }
}

/// The bytes as a text.
pub(super) fn text(bytes: &[u8]) -> io::Result<&str> {
    bytes::text(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// First what is here, then what comes.
impl<R: AsyncRead> AsyncRead for BufReader<R> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_some(cx))?;
        let count = self.len.min(buf.len());
        self.copy_out(&mut buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        ready!(self.poll_some(cx))?;
        if self.len == 0 {
            return Poll::Ready(Ok(None));
        }
        self.settle();
        let chunk = self.first.take().map(|mut first| {
            first.advance(self.start);
            first
        });
        self.begin(None);
        let count = chunk.as_ref().map_or(0, |chunk| chunk.len());
        self.len -= count;
        self.searched = self.searched.saturating_sub(count);
        Poll::Ready(Ok(chunk))
    }
}

/// As the stream within, past the buffer.
impl<S: AsyncWrite> AsyncWrite for BufReader<S> {
    write_as!(self => self.reader);
}

impl<R: fmt::Debug> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader")
            .field("reader", &self.reader)
            .field("buffered", &self.len)
            .field("limit", &self.limit)
            .finish()
    }
}
