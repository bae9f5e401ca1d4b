//! Reading a file from its begin to its end, some reads ahead.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::File;
use super::operating::Operating;
use crate::buf::{Chunk, Slice};
use crate::io::AsyncRead;
use crate::op::open_file::{Hold, OpenFile};
use crate::op::position::named;
use crate::op::read_at::ReadAt;

/// The bytes of a file, in order, in buffers of one size; the next ones are read while one is used.
///
/// ```
/// use annulus::fs::File;
///
/// annulus::run(async {
///     let file = File::open("/proc/self/exe").await?;
///     let mut chunks = file.chunks(..).size(64 * 1024).ahead(3);
///     let mut sum = 0_u64;
///     while let Some(chunk) = chunks.next().await? {
///         sum += chunk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
///         chunks.recycle(chunk);
///     }
///     assert!(sum > 0);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// It is a reader of [`io`](crate::io), too: for lines, and to be copied to a socket.
///
/// It holds the file: [`File::close`] and `into_std` are refused as long as it lives. Dropping it cancels its reads.
pub struct Chunks {
    file: Rc<OpenFile>,
    size: usize,
    ahead: usize,
    /// How many reads are under way now: few at first, so that a small file costs one.
    window: usize,
    /// Where the next read begins.
    next: u64,
    end: u64,
    reads: VecDeque<Reading>,
    /// Memory for reads to come, at most as much as reads are under way.
    spare: Vec<Vec<u8>>,
    /// What a read by polls left of a chunk.
    rest: Option<Chunk>,
}

struct Reading {
    offset: u64,
    len: usize,
    read: Operating<Rc<OpenFile>, ReadAt<Slice<Vec<u8>>>>,
    /// It ended: how it was polled last.
    ended: Option<io::Result<Vec<u8>>>,
}

/// The size of a chunk, if nobody says another: at 1 MiB a second core's cache would not hold what is ahead.
const SIZE: usize = 128 * 1024;
/// How many reads are under way, if nobody says another count.
const AHEAD: usize = 4;

impl File {
    /// The bytes of a range, in order, read ahead. Nothing is read before the first is asked for. An end beyond the
    /// file's is the file's.
    pub fn chunks(&self, range: impl RangeBounds<u64>) -> Chunks {
        let next = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let file = Rc::clone(&self.file);
        let (reads, spare) = (VecDeque::new(), Vec::new());
        let rest = None;
        Chunks { file, size: SIZE, ahead: AHEAD, window: 1, next, end, reads, spare, rest }
    }
}

impl Chunks {
    /// The size of a chunk in bytes; 128 KiB at first. The last one may be shorter.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        assert!(size > 0, "a chunk of no bytes");
        self.size = size;
        self
    }

    /// How many reads are under way at once, and so how many chunks are in memory besides those that were given out;
    /// 4 at first.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn ahead(mut self, count: usize) -> Self {
        assert!(count > 0, "no read under way brings nothing");
        self.ahead = count;
        self
    }

    /// The next chunk; `None` at the end of the range or of the file.
    ///
    /// If the future is dropped, nothing is lost.
    ///
    /// # Errors
    ///
    /// As for [`File::read_at`]. The next call tries the same place again.
    #[allow(clippy::should_implement_trait, reason = "it is no iterator: it waits")]
    pub fn next(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> {
        poll_fn(|cx| self.poll_next_chunk(cx))
    }

    /// As [`next`](Self::next), where nothing can wait.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub fn poll_next_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Ok(Some(rest.into_bytes())));
        }
        self.read_ahead();
        for reading in &mut self.reads {
            reading.poll(cx);
        }
        let Some(first) = self.reads.front_mut() else {
            return Poll::Ready(Ok(None));
        };
        let Some(ended) = first.ended.take() else {
            return Poll::Pending;
        };
        let (offset, len) = (first.offset, first.len);
        self.reads.pop_front();
        match ended {
            Ok(bytes) if bytes.len() == len => {
                self.window = (self.window * 2).min(self.ahead);
                Poll::Ready(Ok(Some(bytes)))
            }
            Ok(bytes) if bytes.is_empty() => {
                self.restart(offset);
                self.end = offset;
                Poll::Ready(Ok(None))
            }
            Ok(bytes) => {
                // The end is near, or the kernel stopped in between: what was read ahead does not follow.
                self.restart(offset + bytes.len() as u64);
                Poll::Ready(Ok(Some(bytes)))
            }
            Err(error) => {
                self.restart(offset);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Gives memory back for a chunk to come.
    pub fn recycle(&mut self, chunk: Vec<u8>) {
        if self.spare.len() < self.ahead && chunk.capacity() >= self.size {
            self.spare.push(chunk);
        }
    }

    /// Makes reads until enough are under way.
    fn read_ahead(&mut self) {
        while self.reads.len() < self.window && self.next < self.end {
            let len = usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(self.size);
            let mut bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.size));
            bytes.clear();
            let buf = Slice::for_read(bytes, ..len);
            let read = ReadAt { hold: Hold::new(&self.file), buf, offset: named(self.next) };
            let read = Operating::new(Rc::clone(&self.file), read);
            self.reads.push_back(Reading { offset: self.next, len, read, ended: None });
            self.next += len as u64;
        }
    }

    fn restart(&mut self, offset: u64) {
        self.reads.clear();
        self.next = offset;
        self.window = 1;
    }
}

impl Reading {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_none()
            && let Poll::Ready(result) = Pin::new(&mut self.read).poll(cx)
        {
            self.ended = Some(match result {
                Ok((_, slice)) => Ok(slice.into_inner()),
                Err(failed) => Err(failed.error),
            });
        }
    }
}

/// So a file goes through all that reads a stream: [`io::copy`](crate::io::copy) to a socket, and
/// [`BufReader`](crate::io::BufReader) for its lines.
///
/// # Panics
///
/// If the [`size`](Chunks::size) is 4 GiB or more.
impl AsyncRead for Chunks {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Some(mut chunk) = ready!(self.poll_recv(cx))? else {
            return Poll::Ready(Ok(0));
        };
        let count = chunk.take_into(buf);
        self.rest = Some(chunk).filter(|rest| !rest.is_empty());
        Poll::Ready(Ok(count))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        match self.rest.take() {
            Some(rest) => Poll::Ready(Ok(Some(rest))),
            None => self.poll_next_chunk(cx).map_ok(|bytes| bytes.map(Chunk::from)),
        }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Chunks");
        debug.field("next", &self.next).field("under_way", &self.reads.len());
        debug.finish_non_exhaustive()
    }
}
