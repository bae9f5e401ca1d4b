//! A TCP socket before it connects or listens, for its options.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::stream::set_keepalive;
use super::{TcpListener, TcpStream};
use crate::driver::{self, Op};
use crate::op::close::Fd;
use crate::op::connect::Connect;
use crate::sys::{options, sockaddr};

/// A TCP socket that is neither connected nor listening yet. Dropping it closes it.
///
/// ```
/// use annulus::net::TcpSocket;
///
/// annulus::run(async {
///     let socket = TcpSocket::new_v4()?;
///     socket.set_reuseaddr(true)?;
///     socket.bind("127.0.0.1:0".parse().unwrap())?;
///     let listener = socket.listen(128)?;
///     assert_ne!(listener.local_addr()?.port(), 0);
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// As `socket(2)`: no descriptor left.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// A socket for IPv6.
    ///
    /// # Errors
    ///
    /// As `socket(2)`: no descriptor left, no IPv6.
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    pub(super) fn for_address(address: SocketAddr) -> io::Result<Self> {
        Self::new(Domain::for_address(address))
    }

    fn new(domain: Domain) -> io::Result<Self> {
        Ok(Self { socket: Socket::new(domain, Type::STREAM, None)? })
    }

    /// Lets the port be bound while old connections of it linger (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`; so are those of the other setters.
    pub fn set_reuseaddr(&self, reuse: bool) -> io::Result<()> {
        self.socket.set_reuse_address(reuse)
    }

    /// Lets several sockets listen on the port, between which the kernel spreads connections (`SO_REUSEPORT`).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_reuseport(&self, reuse: bool) -> io::Result<()> {
        self.socket.set_reuse_port(reuse)
    }

    /// Sends small segments at once. Accepted connections inherit it.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_tcp_nodelay(nodelay)
    }

    /// Probes an idle peer after this time. Accepted connections inherit it.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        set_keepalive(&SockRef::from(&self.socket), idle)
    }

    /// The size of the kernel's send buffer, in bytes (`SO_SNDBUF`; the kernel doubles it).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_send_buffer_size(bytes)
    }

    /// The size of the kernel's receive buffer, in bytes (`SO_RCVBUF`; the kernel doubles it).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_recv_buffer_size(bytes)
    }

    /// Sends and receives through one network device only (`SO_BINDTODEVICE`); `None` lifts it.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: no such device, no right.
    pub fn bind_device(&self, name: Option<&[u8]>) -> io::Result<()> {
        self.socket.bind_device(name)
    }

    /// Takes IPv6 connections only, not IPv4 ones in IPv6 form.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_only_v6(&self, only: bool) -> io::Result<()> {
        self.socket.set_only_v6(only)
    }

    /// Gives the socket its own address.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, as `bind(2)`; the text names the address.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.bind(&address.into()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot bind to {address}: {error}"))
        })
    }

    /// Our own address.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&self.socket.local_addr()?)
    }

    /// Starts to listen; `backlog` connections wait in the kernel, which caps them at `net.core.somaxconn`.
    ///
    /// # Errors
    ///
    /// As `listen(2)`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let driver = driver::current::expect("TcpSocket::listen");
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let fd = Fd::new(driver, OwnedFd::from(self.socket));
        Ok(TcpListener::from_fd(fd))
    }

    /// Connects. If the future is dropped, the socket is closed.
    ///
    /// # Errors
    ///
    /// As `connect(2)`: refused, unreachable, timed out; the text names the address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let driver = driver::current::expect("TcpSocket::connect");
        let socket = Fd::new(Rc::clone(&driver), OwnedFd::from(self.socket));
        let connect = Connect { socket, address: SockAddr::from(address) };
        let connected = Op::new(driver, connect).await.and_then(really_connected);
        let socket = connected.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"))
        })?;
        Ok(TcpStream::from_fd(socket))
    }
}

/// Looks whether the socket is what the kernel says it is. When a router's refusal comes while the ring's connect has
/// the socket, that connect succeeds, as of Linux 6.18, and the socket still waits for its peer, with the refusal as
/// its error.
fn really_connected(socket: Fd) -> io::Result<Fd> {
    let asked = SockRef::from(&socket);
    let is_connecting = || options::is_connecting(socket.as_fd()).unwrap_or(false);
    if asked.peer_addr().is_err() && is_connecting() {
        return Err(asked.take_error()?.unwrap_or_else(|| io::ErrorKind::HostUnreachable.into()));
    }
    Ok(socket)
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
