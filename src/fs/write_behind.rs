//! Writing a file from its begin to its end, some writes behind.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::File;
use super::operating::Operating;
use crate::buf::{Chunk, IoBuf, Slice};
use crate::io::AsyncWrite;
use crate::op::open_file::{Hold, OpenFile};
use crate::op::position::named;
use crate::op::write_at::WriteAt;

/// Writes buffers one behind the other; a bounded number of them is under way while the next is made.
///
/// ```
/// use annulus::fs::{self, File};
///
/// annulus::run(async {
///     let path = std::env::temp_dir().join(format!("annulus-behind-{}", std::process::id()));
///     let file = File::create(&path).await?;
///     let mut writer = file.write_behind(0);
///     for line in 0..1000 {
///         writer.write(format!("line {line}\n")).await?;
///     }
///     let end = writer.finish().await?;
///     assert_eq!(fs::metadata(&path).await?.len(), end);
///     fs::remove_file(path).await
/// })
/// # .unwrap();
/// ```
///
/// With [`Chunk`]s it is a writer of [`io`](crate::io), too, to which a socket can be copied.
///
/// Dropped before [`finish`](Self::finish), what is under way is written all the same, and if it fails the next write,
/// sync or close of the file says so. It holds the file: [`File::close`] and `into_std` are refused as long as it
/// lives.
pub struct WriteBehind<B: IoBuf> {
    file: Rc<OpenFile>,
    /// Where the next buffer goes.
    offset: u64,
    bound: usize,
    writes: VecDeque<Writing<B>>,
}

struct Writing<B: IoBuf> {
    /// Where the rest goes.
    offset: u64,
    len: usize,
    done: usize,
    write: Operating<Rc<OpenFile>, WriteAt<Slice<B>>>,
}

/// The most bytes that one write by polls copies.
const COPY_MAX: usize = 64 * 1024;

/// How many writes are under way, if nobody says another count.
const BOUND: usize = 4;

impl File {
    /// Writes buffers from `offset` on, some of them at once.
    pub fn write_behind<B: IoBuf>(&self, offset: u64) -> WriteBehind<B> {
        let file = Rc::clone(&self.file);
        WriteBehind { file, offset, bound: BOUND, writes: VecDeque::new() }
    }
}

impl<B: IoBuf> WriteBehind<B> {
    /// How many buffers are under way at most, and so in memory; 4 at first.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn bound(mut self, count: usize) -> Self {
        assert!(count > 0, "no write under way writes nothing");
        self.bound = count;
        self
    }

    /// Has the buffer written behind the ones before it. Waits until there is room for it among those under way; what
    /// that gives back is a buffer that was written, for its memory.
    ///
    /// If the future is dropped while it waits, the buffer is dropped, not written; those before it are.
    ///
    /// # Errors
    ///
    /// That of an earlier buffer, as for [`File::write_all_at`]; this one is dropped then.
    pub async fn write(&mut self, buf: B) -> io::Result<Option<B>> {
        let back = poll_fn(|cx| self.poll_room(cx)).await?;
        let mut buf = Some(buf);
        let begun = poll_fn(|cx| Poll::Ready(buf.take().map(|buf| self.begin(cx, buf)))).await;
        Ok(begun.transpose()?.flatten().or(back))
    }

    /// Begins to write behind what is under way; gives the buffer back if that has ended it.
    fn begin(&mut self, cx: &mut Context<'_>, buf: B) -> io::Result<Option<B>> {
        let (offset, len) = (self.offset, buf.buf_len());
        let mut writing = Writing::new(&self.file, Slice::new(buf, ..), offset, len, 0);
        self.offset = offset.saturating_add(len as u64);
        match writing.poll(&self.file, cx) {
            Poll::Pending => self.writes.push_back(writing),
            Poll::Ready(result) => return result.map(Some),
        }
        Ok(None)
    }

    /// Waits until all was written; returns the offset behind it. It does not wait for the disk.
    ///
    /// If the future is dropped, what is under way is written all the same.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub async fn finish(mut self) -> io::Result<u64> {
        while !self.writes.is_empty() {
            poll_fn(|cx| self.poll_first(cx)).await?;
        }
        Ok(self.offset)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<B>>> {
        // Each is polled: a write that the kernel cut short goes on.
        match self.poll_first(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending if self.writes.len() < self.bound => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// One that ended, whichever; `None` if there is none under way.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<B>>> {
        for index in 0..self.writes.len() {
            if let Poll::Ready(result) = self.writes[index].poll(&self.file, cx) {
                self.writes.remove(index);
                return Poll::Ready(result.map(Some));
            }
        }
        if self.writes.is_empty() { Poll::Ready(Ok(None)) } else { Poll::Pending }
    }
}

/// So a file takes what goes to a stream: [`io::copy`](crate::io::copy) from a socket, without a copy of its own. A
/// flush waits until all was written, not for the disk; a shutdown does the same.
impl AsyncWrite for WriteBehind<Chunk> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        if !part.is_empty() {
            self.begin(cx, Chunk::from(part.to_vec()))?;
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_room(cx))?;
        if let Some(chunk) = chunk.take().filter(|chunk| !chunk.is_empty()) {
            self.begin(cx, chunk)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writes.is_empty() {
            ready!(self.poll_first(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<B: IoBuf> Writing<B> {
    fn new(file: &Rc<OpenFile>, buf: Slice<B>, offset: u64, len: usize, done: usize) -> Self {
        let hold = Hold::new(file);
        let write =
            WriteAt { hold, buf, offset: named(offset), whole: true, moves: false, durable: false };
        Self { offset, len, done, write: Operating::new(Rc::clone(file), write) }
    }

    fn poll(&mut self, file: &Rc<OpenFile>, cx: &mut Context<'_>) -> Poll<io::Result<B>> {
        loop {
            let (count, slice) = ready!(Pin::new(&mut self.write).poll(cx))?;
            let (done, buf) = (self.done + count, slice.into_inner());
            if done == self.len {
                return Poll::Ready(Ok(buf));
            }
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let offset = self.offset.saturating_add(count as u64);
            *self = Self::new(file, Slice::new(buf, done..), offset, self.len, done);
        }
    }
}

impl<B: IoBuf> fmt::Debug for WriteBehind<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("WriteBehind");
        debug.field("offset", &self.offset).field("under_way", &self.writes.len());
        debug.finish_non_exhaustive()
    }
}
