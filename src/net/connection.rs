//! What a stream and its halves do: reading from what arrived, writing in turns, and the end.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use socket2::SockRef;

use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut, Slice, fill};
use crate::driver::Op;
use crate::executor::{self, budget};
use crate::op::close::Fd;
use crate::op::receive::{Arrival, Arrivals};
use crate::op::send::{Outbox, Send};
use crate::op::send_vectored::SendVectored;
use crate::sys::plain;
use crate::time::timeout;

/// The most bytes that one `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// A connected socket with what arrived on it and what is being sent.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Rc<Fd>,
    pub(super) arrivals: Rc<Arrivals>,
    pub(super) outbox: Rc<Outbox>,
}

impl Connection {
    pub(super) fn new(socket: Rc<Fd>) -> Rc<Self> {
        let arrivals = Arrivals::new(socket.driver().limits().undelivered_max);
        Rc::new(Self { socket, arrivals, outbox: Rc::default() })
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(budget::proceed).await;
        self.arrivals.ready(&self.socket).await
    }

    async fn arrival(&self) -> io::Result<Arrival> {
        poll_fn(budget::proceed).await;
        loop {
            if let Some(arrival) = self.arrivals.try_take() {
                return arrival;
            }
            self.arrivals.ready(&self.socket).await?;
        }
    }

    pub(super) async fn recv(&self) -> io::Result<Option<Chunk>> {
        match self.arrival().await? {
            Arrival::Chunk(chunk) => Ok(Some(chunk)),
            Arrival::Eof => Ok(None),
        }
    }

    pub(super) async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Some(chunk) = self.recv().await? else {
            return Ok(0);
        };
        let count = chunk.len().min(buf.len());
        buf[..count].copy_from_slice(&chunk[..count]);
        self.put_back(chunk, count);
        Ok(count)
    }

    /// Returns what a read did not take of a chunk to the front of the queue.
    fn put_back(&self, mut chunk: Chunk, taken: usize) {
        if taken < chunk.len() {
            chunk.advance(taken);
            self.arrivals.put_back(chunk);
        }
    }

    pub(super) async fn read_exact(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buf = &mut buf[count..],
            }
        }
        Ok(())
    }

    pub(super) async fn read_owned<B: IoBufMut>(&self, mut buf: B) -> BufResult<usize, B> {
        if buf.buf_capacity() == 0 {
            return Ok((0, buf));
        }
        match self.recv().await {
            Ok(Some(chunk)) => {
                let count = fill(&mut buf, &chunk);
                self.put_back(chunk, count);
                Ok((count, buf))
            }
            Ok(None) => Ok((0, buf)),
            Err(error) => Err(BufError { error, buf }),
        }
    }

    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match self.arrivals.try_take() {
            Some(Ok(Arrival::Chunk(chunk))) => {
                let count = chunk.len().min(buf.len());
                buf[..count].copy_from_slice(&chunk[..count]);
                self.put_back(chunk, count);
                Ok(count)
            }
            Some(Ok(Arrival::Eof)) => Ok(0),
            Some(Err(error)) => Err(error),
            None => {
                self.arrivals.ensure_armed(&self.socket)?;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_part(bytes, false).await
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_part(bytes, true).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Sends a copy of the first bytes; all of that copy if `whole`.
    async fn write_part(&self, bytes: &[u8], whole: bool) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        let (count, _copy) = self.send(part.to_vec(), whole).await?;
        Ok(count)
    }

    pub(super) async fn send<B: IoBuf>(&self, buf: B, whole: bool) -> BufResult<usize, B> {
        if buf.buf_len() == 0 {
            return Ok((0, buf));
        }
        poll_fn(budget::proceed).await;
        let turn = match self.outbox.turn().await {
            Ok(turn) => turn,
            Err(error) => return Err(BufError { error, buf }),
        };
        let _guard = turn.orphan_guard();
        let send = Send { socket: Rc::clone(&self.socket), buf, turn, whole };
        Op::new(Rc::clone(self.socket.driver()), send).await
    }

    pub(super) async fn send_all<B: IoBuf>(&self, buf: B) -> Result<B, BufError<B>> {
        let len = buf.buf_len();
        let (mut sent, mut buf) = self.send(buf, true).await?;
        while sent < len {
            match self.send(Slice::new(buf, sent..), true).await {
                Ok((count, slice)) => {
                    sent += count;
                    buf = slice.into_inner();
                }
                Err(BufError { error, buf }) => {
                    return Err(BufError { error, buf: buf.into_inner() });
                }
            }
        }
        Ok(buf)
    }

    pub(super) async fn send_all_vectored<B: IoBuf>(
        &self,
        mut bufs: Vec<B>,
    ) -> Result<Vec<B>, BufError<Vec<B>>> {
        let len: usize = bufs.iter().map(IoBuf::buf_len).sum();
        let mut sent = 0;
        while sent < len {
            poll_fn(budget::proceed).await;
            let turn = match self.outbox.turn().await {
                Ok(turn) => turn,
                Err(error) => return Err(BufError { error, buf: bufs }),
            };
            let _guard = turn.orphan_guard();
            let send = SendVectored::new(Rc::clone(&self.socket), bufs, sent, turn);
            let (count, back) = Op::new(Rc::clone(self.socket.driver()), send).await?;
            sent += count;
            bufs = back;
        }
        Ok(bufs)
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.outbox.is_busy() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        SockRef::from(&*self.socket).send_with_flags(bytes, flags)
    }

    pub(super) async fn shutdown(&self) -> io::Result<()> {
        self.outbox.idle().await?;
        plain::shutdown(self.socket.as_raw_fd(), Shutdown::Write)
    }

    /// Ends the outgoing direction when the send under way is out, without waiting here.
    ///
    /// The task holds the socket alone, so that the connection ends, and lingers, as if there was no such task.
    pub(super) fn shutdown_in_background(&self) {
        if !self.outbox.is_busy() {
            return shutdown_write(&self.socket);
        }
        self.outbox.orphan();
        if let Some(executor) = executor::current() {
            let (socket, outbox) = (Rc::clone(&self.socket), Rc::clone(&self.outbox));
            drop(executor.spawn(async move {
                let _ = outbox.idle().await;
                shutdown_write(&socket);
            }));
        }
    }

    /// Ends the connection now; a send under way ends with an error.
    pub(super) fn reset(&self) {
        reset(&self.socket);
    }
}

fn shutdown_write(socket: &Fd) {
    // An error means that the connection is gone already.
    let _ = plain::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

fn reset(socket: &Fd) {
    // An error means that the connection is gone already.
    let _ = plain::reset(socket.as_raw_fd());
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.arrivals.close(&self.socket);
        if self.outbox.is_busy() {
            self.outbox.orphan();
            linger(&self.socket, &self.outbox);
        }
    }
}

/// Lets the send under way finish, for the builder's time; then, or when the runtime ends, the socket is reset.
fn linger(socket: &Rc<Fd>, outbox: &Rc<Outbox>) {
    let driver = socket.driver();
    let limits = driver.limits();
    let here = executor::current().filter(|_| driver.is_open());
    let (Some(executor), true) = (here, driver.lingering().get() < limits.lingering_max) else {
        reset(socket);
        return;
    };
    let time = limits.linger;
    let outbox = Rc::clone(outbox);
    let lingering = Lingering::new(Rc::clone(socket));
    drop(executor.spawn(async move {
        if timeout(time, outbox.idle()).await.is_ok() {
            lingering.is_over.set(true);
        }
    }));
}

/// A stream that was dropped with bytes still to send. It is counted, and reset if they are not out when this is
/// dropped: the time has passed, or the runtime ends.
struct Lingering {
    socket: Rc<Fd>,
    is_over: Cell<bool>,
}

impl Lingering {
    fn new(socket: Rc<Fd>) -> Self {
        let count = socket.driver().lingering();
        count.set(count.get() + 1);
        Self { socket, is_over: Cell::new(false) }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let count = self.socket.driver().lingering();
        count.set(count.get() - 1);
        if !self.is_over.get() {
            reset(&self.socket);
        }
    }
}
