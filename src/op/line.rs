//! A descriptor that bytes flow through, as its operations share it: what arrived, and whose turn it is to send.
//!
//! One allocation a connection. The stream holds it, and so does every operation on it; the descriptor is closed when
//! the last of them lets go.

use std::cell::{Cell, OnceCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::{Poll, ready};

use super::arrivals::{Arrival, Arrivals};
use super::close::Fd;
use super::receive::Heads;
use super::send::Outbox;
use crate::buf::{BufError, BufResult, Chunk, IoBufMut, fill};
use crate::driver::Key;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) fd: Fd,
    pub(crate) arrivals: Arrivals,
    pub(crate) outbox: Outbox,
    /// Of a line that is no socket, how it is read and written. In a box, because most lines are.
    pub(super) file: Option<Box<File>>,
    /// What came beside the bytes of a stream that asked for it.
    pub(super) heads: OnceCell<Box<Heads>>,
}

/// What a pipe, a terminal or a file has that a socket does without.
#[derive(Debug)]
pub(super) struct File {
    /// One armed read brings all that comes.
    pub(super) multishot: Cell<bool>,
    /// The last write; it is under way while the outbox is busy.
    pub(super) writing: Cell<Option<Key>>,
}

impl Line {
    pub(crate) fn new(fd: Fd) -> Rc<Self> {
        Self::with(fd, None)
    }

    /// A line that is read and written as a file, at its own position. With `ahead` a read stays armed once it was
    /// asked for, where the kernel can; otherwise each brings one answer.
    pub(crate) fn of_file(fd: Fd, ahead: bool) -> Rc<Self> {
        let multishot = Cell::new(ahead && fd.driver().features().multishot_read);
        Self::with(fd, Some(Box::new(File { multishot, writing: Cell::new(None) })))
    }

    /// Copies what fits of a chunk that arrived here, and puts the rest back; says how many bytes.
    pub(crate) fn copy_from(&self, chunk: Chunk, buf: &mut [u8]) -> usize {
        let count = chunk.len().min(buf.len());
        buf[..count].copy_from_slice(&chunk[..count]);
        self.arrivals.put_back(chunk, count);
        count
    }

    /// Copies what fits of what `recv` brings, and leaves the rest.
    pub(crate) async fn read(
        &self,
        recv: impl Future<Output = Arrival>,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let arrived = recv.await?;
        Ok(arrived.map_or(0, |chunk| self.copy_from(chunk, buf)))
    }

    /// As [`read`](Self::read), by a poll.
    pub(crate) fn poll_read(
        &self,
        poll_recv: impl FnOnce() -> Poll<Arrival>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let arrived = ready!(poll_recv())?;
        Poll::Ready(Ok(arrived.map_or(0, |chunk| self.copy_from(chunk, buf))))
    }

    /// Fills all of the buffer with what calls of `recv` bring.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` at the end.
    pub(crate) async fn read_exact<F: Future<Output = Arrival>>(
        &self,
        recv: impl Fn() -> F,
        mut buf: &mut [u8],
    ) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(recv(), buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buf = &mut buf[count..],
            }
        }
        Ok(())
    }

    /// As [`read`](Self::read), into a buffer of the user's own. Where a method of that panics, all that came is left.
    pub(crate) async fn read_owned<B: IoBufMut>(
        &self,
        recv: impl Future<Output = Arrival>,
        mut buf: B,
    ) -> BufResult<usize, B> {
        if buf.buf_capacity() == 0 {
            return Ok((0, buf));
        }
        let chunk = match recv.await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok((fill(&mut buf, &[]), buf)),
            Err(error) => return Err(BufError { error, buf }),
        };
        let filled = catch_unwind(AssertUnwindSafe(|| fill(&mut buf, &chunk)));
        self.arrivals.put_back(chunk, *filled.as_ref().unwrap_or(&0));
        Ok((filled.unwrap_or_else(|panic| resume_unwind(panic)), buf))
    }

    fn with(fd: Fd, file: Option<Box<File>>) -> Rc<Self> {
        let arrivals = Arrivals::new(fd.driver().limits().undelivered_max);
        Rc::new(Self { fd, arrivals, outbox: Outbox::default(), file, heads: OnceCell::new() })
    }
}
