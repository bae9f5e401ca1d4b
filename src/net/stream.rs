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
use super::stream_methods::stream_methods;
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
        let stream = Self::from_fd(Fd::new(driver, OwnedFd::from(stream)));
        stream.note_linger(stream.linger().unwrap_or_default());
        Ok(stream)
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

    stream_methods!();

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

    /// `SO_LINGER`: see [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.options().linger()
    }

    /// Sets `SO_LINGER`, in whole seconds. Zero means that a close is a reset; [`abort`](Self::abort) is its usual use.
    ///
    /// Above zero it would have `close(2)` wait until the peer has taken what was sent, at most for that time, and the
    /// whole core with it. So it does nothing here: where the stream is dropped the option is taken back first, and the
    /// kernel goes on sending, as it does without it. It is left to whoever gets the socket from
    /// [`into_std`](Self::into_std), and to the drop of a [`DetachedStream`](super::DetachedStream). To know that the
    /// peer took all, see [`close_gracefully`](Self::close_gracefully).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.options().set_linger(linger)?;
        self.note_linger(linger);
        Ok(())
    }

    fn note_linger(&self, linger: Option<Duration>) {
        self.line().fd.set_lingers(linger.is_some_and(|time| time.as_secs() > 0));
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
