//! What a stream and its halves do: reading from what arrived, and the end.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;

use super::lingering::linger;
use super::writing::turn;
use crate::buf::{BufResult, Chunk, IoBufMut};
use crate::driver::Driver;
use crate::executor::{self, budget};
use crate::op::arrivals::Arrival;
use crate::op::close::Fd;
use crate::op::line::Line;
use crate::op::reading::{Reading, poll_take};
use crate::op::receive::{busy, ensure_armed, receive_more};
use crate::sys::plain;

/// The handle of a connected socket. Dropping it ends the connection; operations may hold the line a little longer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) line: Rc<Line>,
}

/// A connection on its way to another runtime: nothing of it is in a kernel's queue.
#[derive(Debug)]
pub(super) struct Detached {
    socket: OwnedFd,
    /// What arrived and nobody took.
    bytes: Vec<u8>,
    /// The error after it.
    error: Option<i32>,
    /// See [`Fd::set_lingers`].
    lingers: bool,
}

/// Takes what arrives next.
#[derive(Debug)]
struct Recv<'a> {
    reading: Reading<'a>,
}

impl Future for Recv<'_> {
    type Output = Arrival;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::proceed(cx));
        self.reading.poll_take(cx)
    }
}

impl Connection {
    pub(super) fn new(fd: Fd) -> Rc<Self> {
        Rc::new(Self { line: Line::new(fd) })
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(budget::proceed).await;
        let mut reading = Reading::new(&self.line);
        poll_fn(|cx| reading.poll_ready(cx)).await
    }

    pub(super) fn recv(&self) -> impl Future<Output = io::Result<Option<Chunk>>> {
        Recv { reading: Reading::new(&self.line) }
    }

    pub(super) async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.line.read(self.recv(), buf).await
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Arrival> {
        ready!(budget::proceed(cx));
        poll_take(&self.line, cx)
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.line.poll_read(|| self.poll_recv(cx), buf)
    }

    pub(super) async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        self.line.read_exact(|| self.recv(), buf).await
    }

    pub(super) async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        self.line.read_owned(self.recv(), buf).await
    }

    pub(super) async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.readable().await?;
        receive_more(&self.line)?;
        self.line.arrivals.peek(buf)
    }

    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match self.line.arrivals.try_take() {
            Some(Ok(Some(chunk))) => Ok(self.line.copy_from(chunk, buf)),
            Some(Ok(None)) => Ok(0),
            Some(Err(error)) => Err(error),
            None => {
                ensure_armed(&self.line)?;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.line.outbox.is_busy() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        SockRef::from(&self.line.fd).send_with_flags(bytes, flags)
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        turn(&self.line).await.map(drop)
    }

    /// Undoes what was armed and gives the socket back, with the bytes that had arrived.
    pub(super) async fn into_socket(self: Rc<Self>) -> io::Result<(OwnedFd, Vec<u8>)> {
        let detached = self.detach().await?;
        Ok((detached.socket, detached.bytes))
    }

    /// Undoes what was armed and takes everything that belongs to the connection.
    pub(super) async fn detach(self: Rc<Self>) -> io::Result<Detached> {
        let line = Rc::clone(&self.line);
        drop(turn(&line).await?);
        poll_fn(|cx| line.arrivals.poll_disarmed(line.fd.driver(), cx)).await;
        let (bytes, error) = line.arrivals.take_all();
        drop(self);
        let line = Rc::try_unwrap(line)
            .map_err(|_| busy("a leaked future of this stream holds the socket"))?;
        let lingers = line.fd.lingers();
        Ok(Detached { socket: line.fd.into_owned(), bytes, error, lingers })
    }

    /// The connection, on the runtime of this driver.
    pub(super) fn attach(driver: Rc<Driver>, detached: Detached) -> Rc<Self> {
        let connection = Self::new(Fd::new(driver, detached.socket));
        connection.line.fd.set_lingers(detached.lingers);
        connection.line.arrivals.refill(detached.bytes, detached.error);
        connection
    }

    pub(super) async fn shutdown(&self) -> io::Result<()> {
        drop(turn(&self.line).await?);
        plain::shutdown(self.line.fd.as_raw_fd(), Shutdown::Write)
    }

    pub(super) fn poll_shutdown(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(plain::shutdown(self.line.fd.as_raw_fd(), Shutdown::Write))
    }

    /// Ends the outgoing direction when the send under way is out, without waiting here.
    ///
    /// The task holds the line alone, so that the connection ends, and lingers, as if there was no such task.
    pub(super) fn shutdown_in_background(&self) {
        let line = &self.line;
        if !line.outbox.is_busy() {
            return shutdown_write(&line.fd);
        }
        line.outbox.orphan();
        if let Some(executor) = executor::current() {
            let line = Rc::clone(line);
            drop(executor.spawn(async move {
                let _ = turn(&line).await;
                shutdown_write(&line.fd);
            }));
        }
    }

    /// Ends the connection now; a send under way ends with an error.
    pub(super) fn reset(&self) {
        reset(&self.line.fd);
    }
}

fn shutdown_write(socket: &Fd) {
    // An error means that the connection is gone already.
    let _ = plain::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

fn reset(socket: &Fd) {
    if plain::reset(socket.as_raw_fd()).is_err() {
        // The family knows no reset; or the connection is gone already, which another error says.
        let _ = plain::shutdown(socket.as_raw_fd(), Shutdown::Both);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.arrivals.close(self.line.fd.driver());
        if self.line.outbox.is_busy() {
            self.line.outbox.orphan();
            let (line, same) = (Rc::clone(&self.line), Rc::clone(&self.line));
            let sent = async move { drop(turn(&line).await) };
            linger(self.line.fd.driver(), sent, move || reset(&same.fd));
        }
    }
}
