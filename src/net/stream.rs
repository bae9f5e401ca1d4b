//! A TCP connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;

use super::attempts::first_of;
use super::connection::Connection;
use super::lookup::resolve;
use super::split::{self, OwnedReadHalf, OwnedWriteHalf};
use super::{TcpSocket, ToSocketAddrs};
use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};
use crate::driver;
use crate::io::{read_by_reference, write_by_reference};
use crate::op::close::Fd;
use crate::op::line::Line;
use crate::sys::sockaddr;

/// A TCP connection.
///
/// Its methods take `&self`: one task may read while another writes. While a task waits to read, a second one that
/// reads gets [`ResourceBusy`](io::ErrorKind::ResourceBusy), and likewise for writing; nothing is lost by it.
///
/// Dropping it closes the connection: the peer reads to the end of what was sent. If a send is still under way, the
/// stream lingers for the builder's time to finish it, and is reset after that. As with any TCP socket, bytes that lie
/// unread in the kernel make it send a reset at the close, and the peer may then lose the last bytes sent to it.
/// [`shutdown`](TcpStream::shutdown) is the orderly way, [`abort`](TcpStream::abort) the abrupt one.
///
/// ```
/// use annulus::net::{TcpListener, TcpStream};
///
/// annulus::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, _peer) = listener.accept().await?;
///     client.write_all(b"ping").await?;
///     let chunk = server.recv().await?.expect("the peer is there");
///     assert_eq!(&*chunk, b"ping");
///     server.send_all(chunk).await?;
///     let mut answer = [0; 4];
///     client.read_exact(&mut answer).await?;
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct TcpStream {
    connection: Rc<Connection>,
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

impl TcpStream {
    /// Connects to one of the addresses. If the future is dropped, so are all attempts, and their sockets are closed.
    ///
    /// A name is looked up first, as by [`lookup_host`](super::lookup_host). Several addresses are tried as RFC 8305
    /// ("Happy Eyeballs") has it: IPv6 and IPv4 in turn, beginning with the family of the first, each family in its
    /// order; the next when those before have failed, or 250 ms after the last was begun. The first to connect is
    /// taken, and the others are closed. The names of both families come in one answer, so there is no delay between
    /// those.
    ///
    /// # Errors
    ///
    /// That of the attempt that failed last, as `connect(2)` has it; that of the look-up; `InvalidInput` if there is no
    /// address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = resolve(&address, "TcpStream::connect").await?;
        first_of(addresses, async |address| TcpSocket::for_address(address)?.connect(address).await)
            .await
    }

    /// Takes over a connected socket. Whether it blocks does not matter.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let driver = driver::current::expect("TcpStream::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(stream))))
    }

    pub(super) fn from_fd(fd: Fd) -> Self {
        Self { connection: Connection::new(fd) }
    }

    pub(super) fn line(&self) -> &Rc<Line> {
        &self.connection.line
    }

    pub(super) fn into_connection(self) -> Rc<Connection> {
        self.connection
    }

    pub(super) fn from_connection(connection: Rc<Connection>) -> Self {
        Self { connection }
    }

    /// Undoes what the runtime armed and gives the socket back, with the bytes that had already arrived.
    ///
    /// Waits until a send under way is out. If the future is dropped, so is the stream, with the bytes that it held.
    ///
    /// # Errors
    ///
    /// That of a send whose future was dropped, or `ResourceBusy` if one is under way whose future was leaked; the
    /// stream is closed then.
    pub async fn into_std(self) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
        let (socket, rest) = self.connection.into_socket().await?;
        Ok((socket.into(), rest))
    }

    /// The next bytes, in the buffer where the kernel put them; `None` at the end of the stream.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That of the connection, once; the end of the stream afterwards. `ResourceBusy` if another task reads.
    pub fn recv(&self) -> impl Future<Output = io::Result<Option<Chunk>>> {
        self.connection.recv()
    }

    /// Reads some bytes, at least one unless `buf` is empty; 0 is the end of the stream.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.read(buf).await
    }

    /// Fills `buf`.
    ///
    /// If the future is dropped, the bytes that it had copied are in `buf` and gone from the stream.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), and `UnexpectedEof` if the stream ends before.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        self.connection.read_exact(buf).await
    }

    /// Reads some bytes into the caller's buffer, from its first byte, and sets its length; 0 is the end of the stream,
    /// or a buffer without capacity. At present they are copied there from a buffer of the pool.
    ///
    /// Nothing is lost if the future is dropped, except the buffer.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv), with the buffer.
    pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        self.connection.read_owned(buf).await
    }

    /// Copies the next bytes without taking them; 0 is the end of the stream, or an empty `buf`.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv); it stays for the next read.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.peek(buf).await
    }

    /// Waits until [`try_read`](Self::try_read) has something to give: bytes, the end, or an error.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another task reads.
    pub async fn readable(&self) -> io::Result<()> {
        self.connection.readable().await
    }

    /// Reads what has arrived, without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; that of the connection, once.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.try_read(buf)
    }

    /// Sends a copy of some of `bytes`, at most 64 KiB; returns how many left for the socket's buffer.
    ///
    /// If the future is dropped before the loop turned, nothing is sent; afterwards the bytes may or may not leave, in
    /// order and whole, and the next write waits for them.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` or `ConnectionReset` if the peer is gone; that of an earlier write whose future was dropped;
    /// `ResourceBusy` if another task writes.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.write(bytes).await
    }

    /// Sends a copy of all of `bytes`, 64 KiB at a time.
    ///
    /// If the future is dropped, what it had under way is treated as by [`write`](Self::write), and the rest is not
    /// sent.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write). How much was sent then is not known.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.connection.write_all(bytes).await
    }

    /// Sends from a buffer that is lent to the operation; may send a part of it, and says how many bytes.
    ///
    /// If the future is dropped, the operation keeps the buffer until the kernel is done; otherwise as for
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer.
    pub fn send<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        self.connection.send(buf, false)
    }

    /// Sends all of a buffer that is lent to the operation, and gives it back.
    ///
    /// If the future is dropped: as for [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer. How much was sent then is not known.
    pub fn send_all<B: IoBuf>(&self, buf: B) -> impl Future<Output = Result<B, BufError<B>>> {
        self.connection.send_all(buf)
    }

    /// Sends all of several buffers, in one operation if the socket takes them, and gives them back. An operation takes
    /// 1024 of them.
    ///
    /// If the future is dropped: as for [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As for [`send_all`](Self::send_all).
    pub async fn send_all_vectored<B: IoBuf>(
        &self,
        bufs: Vec<B>,
    ) -> Result<Vec<B>, BufError<Vec<B>>> {
        self.connection.send_all_vectored(bufs).await
    }

    /// Sends what the socket's buffer takes at once, by a system call of its own.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing, or if a send is under way; otherwise as `send(2)`. The error of a write whose
    /// future was dropped is left for the next write that waits.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.try_write(bytes)
    }

    /// Waits until no write whose future was dropped is under way. It says nothing about the socket's buffer.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; `ResourceBusy` if another task writes.
    pub async fn writable(&self) -> io::Result<()> {
        self.connection.writable().await
    }

    /// Ends the outgoing direction: the peer reads to the end of what was sent. Waits for a dropped write first.
    ///
    /// If the future is dropped before it is done, nothing happened.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; `NotConnected` if the connection is gone; `ResourceBusy` if another
    /// task writes.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.connection.shutdown().await
    }

    /// Ends the connection at once: the peer sees a reset, and what was not sent is lost.
    pub fn abort(self) {
        self.connection.reset();
    }

    /// Splits the stream into halves that can go to different tasks of this thread.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::halves(self.connection)
    }

    /// The peer's address. A system call.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the peer is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&self.options().peer_addr()?)
    }

    /// Our own address. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&self.options().local_addr()?)
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.options().tcp_nodelay()
    }

    /// Sends small segments at once instead of gathering them.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.options().set_tcp_nodelay(nodelay)
    }

    /// Probes an idle peer after this time; `None` turns the probes off.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        set_keepalive(&self.options(), idle)
    }

    /// How long `close(2)` goes on sending; zero means a reset. See [`abort`](Self::abort) for the usual use.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.options().linger()
    }

    /// Sets `SO_LINGER`.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.options().set_linger(linger)
    }

    fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.connection.line.fd)
    }
}

pub(super) fn set_keepalive(socket: &SockRef<'_>, idle: Option<Duration>) -> io::Result<()> {
    match idle {
        None => socket.set_keepalive(false),
        Some(idle) => socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle)),
    }
}

read_by_reference!(TcpStream, connection);
write_by_reference!(TcpStream, connection);

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.line.fd.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.connection.line.fd.as_raw_fd()
    }
}
