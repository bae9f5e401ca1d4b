//! A listening Unix socket, and the connections that it accepted.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockRef, Socket, Type};

use super::{UnixStream, address};
use crate::driver;
use crate::net::listening::Listening;
use crate::op::close::Fd;
use crate::sys::sockaddr;

/// Connections that wait in the kernel, at most `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// A listening Unix socket.
///
/// A connection that was accepted and not taken stays with the listener: a dropped accept loses none. Dropping the
/// listener closes those that nobody took; a path that it was bound to stays, and has to be removed before it can be
/// bound again.
///
/// ```
/// use annulus::net::{UnixListener, UnixStream};
///
/// annulus::run(async {
///     let name = format!("\0annulus-doc-{}", std::process::id());
///     let listener = UnixListener::bind(&name)?;
///     let client = UnixStream::connect(&name).await?;
///     let (server, _unnamed) = listener.accept().await?;
///     assert_eq!(server.peer_cred()?.pid(), Some(std::process::id() as i32));
///     client.write_all(b"ping").await?;
///     assert_eq!(&*server.recv().await?.expect("the client is there"), b"ping");
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct UnixListener {
    listening: Listening,
}

impl UnixListener {
    /// Listens on a path, where it makes a file, or on an abstract name. Up to 1024 connections wait in the kernel.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if something is at the path, also what an earlier socket left; the others of `bind(2)`; the text
    /// names the path. `InvalidInput` for a path that cannot be an address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_addr(&address::of_path(path.as_ref())?)
    }

    /// As [`bind`](Self::bind), to an address.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        let driver = driver::current::expect("UnixListener::bind");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket
            .bind(&sockaddr::from_unix(address)?)
            .and_then(|()| socket.listen(BACKLOG))
            .map_err(|error| address::naming("listen on", address, &error))?;
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(socket))))
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
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let driver = driver::current::expect("UnixListener::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(listener))))
    }

    fn from_fd(listener: Fd) -> Self {
        Self { listening: Listening::new(listener) }
    }

    /// The next connection and the peer's address, which costs a system call; most clients have none.
    ///
    /// When no descriptor is left, the connection waits in the kernel until one is. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Only those of the listener itself.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let stream = self.accept_stream().await?;
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    /// The next connection, without the system call for the peer's address. Otherwise as [`accept`](Self::accept).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn accept_stream(&self) -> io::Result<UnixStream> {
        self.listening.accept().await.map(UnixStream::from_fd)
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).local_addr()?)
    }

    /// Connections that were accepted and wait for an `accept`.
    pub fn untaken(&self) -> usize {
        self.listening.untaken()
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.fd().as_fd()
    }
}

impl AsRawFd for UnixListener {
    fn as_raw_fd(&self) -> RawFd {
        self.listening.fd().as_raw_fd()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
