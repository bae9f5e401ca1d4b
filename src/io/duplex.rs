//! Streams within a core: what is written to one end is read from the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::{AsyncRead, AsyncWrite};
use crate::buf::Chunk;
use crate::executor::budget;

/// Two streams that are connected to each other, for tasks of one core, and for tests of what is written over any
/// stream. Each direction holds at most `max` bytes that nobody took.
///
/// Chunks pass through without a copy, as whole ones: one that is longer than `max` is accepted when there is nothing
/// else.
///
/// # Panics
///
/// If `max` is 0.
pub fn duplex(max: usize) -> (DuplexStream, DuplexStream) {
    let ((near, to_far), (far, to_near)) = (simplex(max), simplex(max));
    (DuplexStream { reader: far, writer: to_far }, DuplexStream { reader: near, writer: to_near })
}

/// One direction of a [`duplex`]: what is written to the one is read from the other.
///
/// # Panics
///
/// If `max` is 0.
pub fn simplex(max: usize) -> (SimplexReader, SimplexWriter) {
    assert!(max > 0, "a stream that holds no byte");
    let flow = Rc::new(RefCell::new(Flow {
        chunks: VecDeque::new(),
        len: 0,
        max,
        is_ended: false,
        is_read: true,
        reader: None,
        writer: None,
    }));
    (SimplexReader(Rc::clone(&flow)), SimplexWriter(flow))
}

/// What is on its way in one direction.
struct Flow {
    chunks: VecDeque<Chunk>,
    /// Bytes of all chunks.
    len: usize,
    max: usize,
    /// Nothing more is written.
    is_ended: bool,
    /// Somebody may read it.
    is_read: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Calls what was to be called, with nothing borrowed.
fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(Waker::wake);
}

/// Puts the waker of a task into its place. Cloning and dropping wakers runs code of the user's, so nothing is
/// borrowed.
fn wait(flow: &RefCell<Flow>, place: fn(&mut Flow) -> &mut Option<Waker>, cx: &Context<'_>) {
    let waker = cx.waker().clone();
    let stale = place(&mut flow.borrow_mut()).replace(waker);
    drop(stale);
}

/// The reading end of a [`simplex`]. Dropped, it makes writes fail with `BrokenPipe`.
pub struct SimplexReader(Rc<RefCell<Flow>>);

impl AsyncRead for SimplexReader {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Some(mut chunk) = ready!(self.poll_recv(cx))? else {
            return Poll::Ready(Ok(0));
        };
        let count = chunk.take_into(buf);
        if !chunk.is_empty() {
            let mut flow = self.0.borrow_mut();
            flow.len += chunk.len();
            flow.chunks.push_front(chunk);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        ready!(budget::proceed(cx));
        let mut flow = self.0.borrow_mut();
        if let Some(chunk) = flow.chunks.pop_front() {
            flow.len -= chunk.len();
            let writer = flow.writer.take();
            drop(flow);
            wake(writer);
            return Poll::Ready(Ok(Some(chunk)));
        }
        if flow.is_ended {
            return Poll::Ready(Ok(None));
        }
        drop(flow);
        wait(&self.0, |flow| &mut flow.reader, cx);
        Poll::Pending
    }
}

impl Drop for SimplexReader {
    fn drop(&mut self) {
        let mut flow = self.0.borrow_mut();
        flow.is_read = false;
        let (chunks, writer) = (std::mem::take(&mut flow.chunks), flow.writer.take());
        drop(flow);
        drop(chunks);
        wake(writer);
    }
}

/// The writing end of a [`simplex`]. Dropped, it is the end of what is read; what was accepted is read before.
pub struct SimplexWriter(Rc<RefCell<Flow>>);

impl SimplexWriter {
    /// Waits for room: how much there is, at least 1.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(budget::proceed(cx));
        let flow = self.0.borrow();
        if !flow.is_read || flow.is_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = flow.max.saturating_sub(flow.len);
        drop(flow);
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        wait(&self.0, |flow| &mut flow.writer, cx);
        Poll::Pending
    }

    fn accept(&mut self, chunk: Chunk) {
        let mut flow = self.0.borrow_mut();
        flow.len += chunk.len();
        flow.chunks.push_back(chunk);
        let reader = flow.reader.take();
        drop(flow);
        wake(reader);
    }

    fn end(&mut self) {
        let mut flow = self.0.borrow_mut();
        flow.is_ended = true;
        let reader = flow.reader.take();
        drop(flow);
        wake(reader);
    }
}

impl AsyncWrite for SimplexWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(self.poll_room(cx))?.min(bytes.len());
        self.accept(Chunk::from(bytes[..count].to_vec()));
        Poll::Ready(Ok(count))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        let Some(len) = chunk.as_ref().map(|chunk| chunk.len()).filter(|len| *len > 0) else {
            *chunk = None;
            return Poll::Ready(Ok(()));
        };
        let room = ready!(self.poll_room(cx))?;
        let flow = self.0.borrow();
        let fits = len <= room || flow.len == 0;
        drop(flow);
        if !fits {
            wait(&self.0, |flow| &mut flow.writer, cx);
            return Poll::Pending;
        }
        chunk.take().into_iter().for_each(|chunk| self.accept(chunk));
        Poll::Ready(Ok(()))
    }

    /// What was accepted lies where the other side reads it.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimplexWriter {
    fn drop(&mut self) {
        self.end();
    }
}

/// One of two streams that are connected to each other; made by [`duplex`].
///
/// Dropped, it is the end of what the other reads, after what was written; the other's writes fail with `BrokenPipe`.
#[derive(Debug)]
pub struct DuplexStream {
    reader: SimplexReader,
    writer: SimplexWriter,
}

impl AsyncRead for DuplexStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reader.poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        self.reader.poll_recv(cx)
    }
}

impl AsyncWrite for DuplexStream {
    super::write_as!(self => self.writer);
}

impl fmt::Debug for SimplexReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimplexReader").field("len", &self.0.borrow().len).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimplexWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimplexWriter").field("len", &self.0.borrow().len).finish_non_exhaustive()
    }
}
