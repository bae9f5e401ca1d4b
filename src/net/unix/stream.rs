//! A connection between two processes of this machine.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use socket2::{Domain, SockRef, Socket, Type};

use super::{OwnedReadHalf, OwnedWriteHalf, ReuniteError, UCred, address};
use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};
use crate::driver::{self, Op};
use crate::io::{read_by_reference, write_by_reference};
use crate::net::connection::Connection;
use crate::net::split;
use crate::net::stream_methods::stream_methods;
use crate::op::close::Fd;
use crate::op::connect::Connect;
use crate::op::line::Line;
use crate::sys::{sockaddr, unix};

/// A connection between two processes of this machine.
///
/// It is a [`TcpStream`](crate::net::TcpStream) over another address family: the same methods, the same bounds and
/// errors, the same effect of dropping a future. Dropping the stream closes it, also for a send under way the same.
/// Only an abrupt end is told to nobody: see [`abort`](Self::abort).
///
/// Descriptors that the peer attaches to its bytes (`SCM_RIGHTS`) come by [`recv_with_fds`](Self::recv_with_fds) and
/// [`recv_message`](Self::recv_message). On a stream that never called one of these they are not received: the kernel
/// closes them as the bytes are read, and none leaks.
///
/// ```
/// use annulus::net::UnixStream;
///
/// annulus::run(async {
///     let (near, far) = UnixStream::pair()?;
///     near.write_all(b"ping").await?;
///     let chunk = far.recv().await?.expect("the peer is there");
///     far.send_all(chunk).await?;
///     let mut answer = [0; 4];
///     near.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"ping");
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct UnixStream {
    connection: Rc<Connection>,
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

impl UnixStream {
    /// Connects to a path or an abstract name. It waits while the listener's backlog is full. If the future is
    /// dropped, the socket is closed.
    ///
    /// # Errors
    ///
    /// `NotFound`, `ConnectionRefused` and the others of `connect(2)`; the text names the path. `InvalidInput` for a
    /// path that cannot be an address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_addr(&address::of_path(path.as_ref())?).await
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        let driver = driver::current::expect("UnixStream::connect");
        let target = sockaddr::from_unix(address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let socket = Fd::new(Rc::clone(&driver), OwnedFd::from(socket));
        let socket = Op::new(driver, Connect { socket, address: target })
            .await
            .map_err(|error| address::naming("connect to", address, &error))?;
        Ok(Self::from_fd(socket))
    }

    /// Two streams that are connected to each other and have no name.
    ///
    /// # Errors
    ///
    /// As `socketpair(2)`: no descriptor left.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn pair() -> io::Result<(Self, Self)> {
        let driver = driver::current::expect("UnixStream::pair");
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let stream = |socket| Self::from_fd(Fd::new(Rc::clone(&driver), OwnedFd::from(socket)));
        Ok((stream(near), stream(far)))
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
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let driver = driver::current::expect("UnixStream::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(stream))))
    }

    pub(in crate::net) fn line(&self) -> &Rc<Line> {
        &self.connection.line
    }

    pub(in crate::net) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn from_fd(fd: Fd) -> Self {
        Self { connection: Connection::new(fd) }
    }

    /// Undoes what the runtime armed and gives the socket back, with the bytes that had already arrived. As
    /// [`TcpStream::into_std`](crate::net::TcpStream::into_std), also if the future is dropped.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn into_std(self) -> io::Result<(std::os::unix::net::UnixStream, Vec<u8>)> {
        let (socket, rest) = self.connection.into_socket().await?;
        Ok((socket.into(), rest))
    }

    stream_methods!();

    /// Ends the connection at once: a send under way ends with an error. A Unix socket knows no reset: the peer reads
    /// what was sent, and then the end, or an error if bytes that it had sent lay unread in the kernel.
    pub fn abort(self) {
        self.connection.reset();
    }

    /// Splits the stream into halves that can go to different tasks of this thread.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::halves(self.connection)
    }

    /// The peer's address; without a name if it was not bound. A system call.
    ///
    /// # Errors
    ///
    /// As `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).peer_addr()?)
    }

    /// Our own address. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).local_addr()?)
    }

    /// The process that connected, or listened, at the other end. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        unix::peer_credentials(self.as_fd()).map(UCred::new)
    }

    /// Asks for the [`credentials`](super::Message::credentials) of who sent the bytes (`SO_PASSCRED`).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_passcred(&self, ask: bool) -> io::Result<()> {
        SockRef::from(self).set_passcred(ask)
    }
}

read_by_reference!(UnixStream, connection);
write_by_reference!(UnixStream, connection);

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.line.fd.as_fd()
    }
}

impl AsRawFd for UnixStream {
    fn as_raw_fd(&self) -> RawFd {
        self.connection.line.fd.as_raw_fd()
    }
}

impl OwnedReadHalf {
    /// See [`UnixStream::peer_cred`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        unix::peer_credentials(self.connection().line.fd.as_fd()).map(UCred::new)
    }

    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with both halves if they are of different streams.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<UnixStream, ReuniteError> {
        self.rejoin(write).map(|connection| UnixStream { connection })
    }
}
