//! Reading by lines and lengths, with what is not used kept for the next read.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::front::Front;
use super::write::{AsyncWrite, write_as};
use super::{AsyncRead, Lines, Split, TooLong};
use crate::buf::Chunk;
use crate::sys::bytes::{self, find};

/// The longest line, where nothing else is said.
const LIMIT: usize = 64 * 1024;

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
    /// What came and was not consumed lies in the first chunk, and those behind it.
    front: Front,
    others: VecDeque<Chunk>,
    /// Bytes of those behind it.
    behind: usize,
    /// The search that is made for long pieces found none that ends before this, from the beginning of the first chunk
    /// on, so that it stays when a piece of that is taken.
    searched: usize,
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
            front: Front::new(b'\n'),
            others: VecDeque::new(),
            behind: 0,
            searched: 0,
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
            let append = |piece: &[u8]| {
                line.push_str(text(piece)?);
                Ok(piece.len())
            };
            self.poll_piece(b'\n', cx, append).map_ok(Option::unwrap_or_default)
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
            let append = |piece: &[u8]| {
                bytes.extend_from_slice(piece);
                Ok(piece.len())
            };
            self.poll_piece(delimiter, cx, append).map_ok(Option::unwrap_or_default)
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

    /// Takes the first `count` bytes of what is there: they are not read again.
    ///
    /// # Panics
    ///
    /// If so many are not there.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        if count <= self.front.rest().len() {
            return self.front.pass(count);
        }
        assert!(count <= self.len(), "consume {count} of {} bytes", self.len());
        self.skip(count);
    }

    /// Goes past so many bytes, which lie in several chunks.
    fn skip(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let here = self.settle();
            self.front.pass(left.min(here));
            left = left.saturating_sub(here);
        }
    }

    /// Has the first chunk be one with bytes that were not consumed, and says how many. There are some.
    #[inline]
    fn settle(&mut self) -> usize {
        while self.front.rest().is_empty() {
            let next = self.others.pop_front().expect("there are bytes that were not consumed");
            self.behind -= next.len();
            self.begin(Some(next));
        }
        self.front.rest().len()
    }

    /// Takes `len` bytes that are there, lent.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        self.gather(len);
        let start = self.front.start();
        self.front.pass(len);
        &self.front.whole()[start..start + len]
    }

    /// The first `len` bytes, which are there, in one piece.
    #[inline]
    pub(super) fn contiguous(&mut self, len: usize) -> &[u8] {
        self.gather(len);
        &self.front.rest()[..len]
    }

    /// Has the first `len` bytes, which are there, lie in the first chunk.
    #[inline]
    fn gather(&mut self, len: usize) {
        if self.front.rest().len() < len && self.settle() < len {
            self.join(len);
        }
    }

    /// Makes one chunk of the first `len` bytes, which lie in several.
    #[cold]
    fn join(&mut self, len: usize) {
        let searched = self.searched.saturating_sub(self.front.start());
        let mut joined = vec![0; len];
        self.copy_out(&mut joined);
        if let Some(rest) = self.begin(Some(Chunk::from(joined))) {
            self.behind += rest.len();
            self.others.push_front(rest);
        }
        self.searched = searched;
    }

    /// The first chunk is this from now on; what was not consumed of the last one.
    #[inline]
    fn begin(&mut self, first: Option<Chunk>) -> Option<Chunk> {
        self.searched = self.searched.saturating_sub(self.front.whole().len());
        self.front.replace(first)
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

    /// Waits until the bytes up to the next delimiter are there, with it, and says what `take` makes of them: they are
    /// consumed unless that is an error. `None` is the end of the stream, with nothing before it.
    #[inline(always)]
    pub(super) fn poll_piece<T>(
        &mut self,
        delimiter: u8,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> io::Result<T>,
    ) -> Poll<io::Result<Option<T>>> {
        if let Some(near) = self.front.look(delimiter, self.limit) {
            let taken = take(self.front.piece(&near))?;
            self.front.pass_near(&near);
            return Poll::Ready(Ok(Some(taken)));
        }
        let Some(len) = ready!(self.poll_far(delimiter, cx))? else {
            return Poll::Ready(Ok(None));
        };
        let taken = take(self.contiguous(len))?;
        self.front.pass(len);
        Poll::Ready(Ok(Some(taken)))
    }

    /// Waits until the bytes up to the next delimiter are there: how many, with it. `None` is the end of the stream,
    /// with nothing before it.
    #[inline]
    pub(super) fn poll_until(
        &mut self,
        delimiter: u8,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        match self.front.look(delimiter, self.limit) {
            Some(near) => Poll::Ready(Ok(Some(near.len()))),
            None => self.poll_far(delimiter, cx),
        }
    }

    /// As `poll_until`, where the delimiter is not known to be near.
    #[inline(never)]
    fn poll_far(&mut self, delimiter: u8, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        if self.front.delimiter() != delimiter {
            self.front.set_delimiter(delimiter);
            self.searched = 0;
        }
        loop {
            match self.search() {
                Some(len) if len <= self.limit => return Poll::Ready(Ok(Some(len))),
                None if self.len() < self.limit => {}
                _ => return Poll::Ready(Err(TooLong::error(self.limit))),
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Ok((!self.is_empty()).then(|| self.len())));
            }
        }
    }

    /// Looks for the delimiter where it was not looked for yet: the bytes up to it, with it.
    fn search(&mut self) -> Option<usize> {
        let searched = self.searched.max(self.front.known());
        let mut before = 0;
        let others = self.others.iter().map(|chunk| &**chunk);
        for part in [self.front.whole()].into_iter().chain(others) {
            let known = searched.saturating_sub(before).min(part.len());
            if let Some(at) = find(self.front.delimiter(), &part[known..]) {
                // It is looked for from there, should nobody take it.
                self.searched = before + known + at;
                return Some(self.searched + 1 - self.front.start());
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
        while self.len() < len {
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
        if self.is_empty() {
            ready!(self.poll_more(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives one more chunk; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.is_empty() {
            // Its buffer goes back: who waits holds none.
            self.begin(None);
        }
        let Some(chunk) = ready!(self.reader.poll_recv(cx))? else {
            return Poll::Ready(Ok(false));
        };
        if self.is_empty() {
            self.begin(Some(chunk));
        } else {
            self.behind += chunk.len();
            self.others.push_back(chunk);
        }
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
        let reader = this.reader.take().expect("a future is not polled after its result");
        if let Some(near) = reader.front.look(this.delimiter, reader.limit) {
            reader.front.pass_near(&near);
            return Poll::Ready(Ok(Some((this.cut)(reader.front.piece(&near)))));
        }
        let Poll::Ready(found) = reader.poll_far(this.delimiter, cx) else {
            this.reader = Some(reader);
            return Poll::Pending;
        };
        match found? {
            Some(len) => Poll::Ready(Ok(Some((this.cut)(reader.take(len))))),
            None => Poll::Ready(Ok(None)),
        }
    }
}

impl<R> BufReader<R> {
    /// Nothing is there that was not consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are there and were not consumed.
    fn len(&self) -> usize {
        self.front.rest().len() + self.behind
    }

    /// What is there and was not consumed, or the first part of it, without waiting.
    pub fn buffer(&self) -> &[u8] {
        let rest = self.front.rest();
        if rest.is_empty() { self.others.front().map_or(&[], |second| second) } else { rest }
    }

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
        let mut rest = Vec::with_capacity(self.len());
        rest.extend_from_slice(self.front.rest());
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
        let count = self.len().min(buf.len());
        self.copy_out(&mut buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        ready!(self.poll_some(cx))?;
        if self.is_empty() {
            return Poll::Ready(Ok(None));
        }
        self.settle();
        Poll::Ready(Ok(self.begin(None)))
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
            .field("buffered", &self.len())
            .field("limit", &self.limit)
            .finish()
    }
}
