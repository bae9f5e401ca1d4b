//! A listening TCP socket, and the connections that it accepted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::SockRef;

use super::listening::Listening;
use super::lookup::resolve;
use super::{Incoming, TcpSocket, TcpStream, ToSocketAddrs};
use crate::driver;
use crate::op::close::Fd;
use crate::sys::sockaddr;

/// A listening TCP socket.
///
/// A connection that was accepted and not taken stays with the listener: a dropped accept loses none. Dropping the
/// listener closes those that nobody took; its port is free when the loop has turned twice.
///
/// ```
/// use annulus::net::{TcpListener, TcpStream};
///
/// annulus::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let client = annulus::spawn(TcpStream::connect(address));
///     let (stream, peer) = listener.accept().await?;
///     assert_eq!(client.await??.local_addr()?, peer);
///     # drop(stream);
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct TcpListener {
    listening: Listening,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be bound, as [`ListenOptions`] has it by default. A name is
    /// looked up first, as by [`lookup_host`](super::lookup_host).
    ///
    /// # Errors
    ///
    /// `AddrInUse` and the others of `bind(2)`, whose text names the address; those of the look-up.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = resolve(&address, "TcpListener::bind").await?;
        ListenOptions::new().bind(addresses).await
    }

    /// Takes over a listening socket.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        let driver = driver::current::expect("TcpListener::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(listener))))
    }

    pub(super) fn from_fd(listener: Fd) -> Self {
        Self { listening: Listening::new(listener) }
    }

    /// The next connection and the peer's address, which costs a system call.
    ///
    /// If the peer is gone already, its address is `0.0.0.0:0` and the stream says what happened. When no
    /// descriptor is left, the connection waits in the kernel until one is. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Only those of the listener itself; a connection that died in the queue is passed over.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = self.accept_stream().await?;
        let peer = stream.peer_addr().unwrap_or_else(|_| sockaddr::unknown());
        Ok((stream, peer))
    }

    /// The next connection, without the system call for the peer's address. Otherwise as [`accept`](Self::accept).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn accept_stream(&self) -> io::Result<TcpStream> {
        self.listening.accept().await.map(TcpStream::from_fd)
    }

    /// The connections, one after the other.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&SockRef::from(self).local_addr()?)
    }

    /// Connections that were accepted and wait for an `accept`.
    pub fn untaken(&self) -> usize {
        self.listening.untaken()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.fd().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.listening.fd().as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

/// How to listen. What it sets for connections, the accepted ones inherit without a system call of their own.
///
/// ```
/// use annulus::net::ListenOptions;
///
/// annulus::run(async {
///     let listener = ListenOptions::new().backlog(4096).nodelay(true).bind("localhost:0").await?;
///     # drop(listener);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub(super) backlog: u32,
    reuse_port: bool,
    nodelay: bool,
    keepalive: Option<Duration>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenOptions {
    /// A backlog of 1024; no shared port, no `TCP_NODELAY`, no probes.
    pub fn new() -> Self {
        Self { backlog: 1024, reuse_port: false, nodelay: false, keepalive: None }
    }

    /// Connections that wait in the kernel; it caps them at `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Shares the port with other sockets that ask for it too. For one port on all cores there is
    /// [`bind_sharded`](Self::bind_sharded), which reports a port that others use.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Accepted connections send small segments at once.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Accepted connections are probed after being idle for this time.
    #[must_use]
    pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
        self.keepalive = idle;
        self
    }

    /// Listens on the first of the addresses that can be bound. A name is looked up first, as by
    /// [`lookup_host`](super::lookup_host).
    ///
    /// # Errors
    ///
    /// `AddrInUse` and the others of `bind(2)`, whose text names the address; those of the look-up; `InvalidInput` if
    /// there is no address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn bind(&self, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let addresses = resolve(&address, "ListenOptions::bind").await?;
        Self::first(addresses, |address| {
            let socket = self.socket(address)?;
            if self.reuse_port {
                socket.set_reuseport(true)?;
            }
            socket.bind(address)?;
            socket.listen(self.backlog)
        })
    }

    /// What the first of the addresses gives for which it can be made.
    pub(super) fn first<T>(
        addresses: Vec<SocketAddr>,
        make: impl Fn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut last = None;
        for address in addresses {
            match make(address) {
                Ok(made) => return Ok(made),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "there is no address to listen on")
        }))
    }

    /// A socket for the address that has what connections inherit.
    pub(super) fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = TcpSocket::for_address(address)?;
        socket.set_reuseaddr(true)?;
        if self.nodelay {
            socket.set_nodelay(true)?;
        }
        if self.keepalive.is_some() {
            socket.set_keepalive(self.keepalive)?;
        }
        Ok(socket)
    }
}
