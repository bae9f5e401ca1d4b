//! Sequenced packets: connections that keep messages apart.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use socket2::{Domain, SockRef, Socket, Type};

use super::message::copy;
use super::{Message, UCred, address};
use crate::buf::{BufResult, IoBuf};
use crate::driver::{self, Op};
use crate::net::listening::Listening;
use crate::net::messages::Messages;
use crate::op::close::Fd;
use crate::op::connect::Connect;
use crate::op::endpoint::Endpoint;
use crate::op::receive_message::Beside;
use crate::sys::sockaddr::{self, Target};
use crate::sys::{plain, unix};

/// Connections that wait in the kernel, at most `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Messages keep their order: one is sent after the other.
const SENDS_MAX: u32 = 1;

/// A connection that keeps messages apart and in order (`SOCK_SEQPACKET`).
///
/// It receives as a [`UnixDatagram`](super::UnixDatagram) does; one send is under way at a time, and others wait,
/// also for one whose future was dropped. A message without bytes is not told from the end, and should not be sent.
/// Dropping the connection closes it as a `UnixDatagram` is closed.
///
/// ```
/// use annulus::net::{UnixSeqpacket, UnixSeqpacketListener};
///
/// annulus::run(async {
///     let name = format!("\0annulus-doc-seqpacket-{}", std::process::id());
///     let listener = UnixSeqpacketListener::bind(&name)?;
///     let client = UnixSeqpacket::connect(&name).await?;
///     let server = listener.accept().await?;
///     client.send(b"one").await?;
///     client.send(b"two").await?;
///     drop(client);
///     assert_eq!(&*server.recv_message().await?.expect("a message"), b"one");
///     assert_eq!(&*server.recv_message().await?.expect("a message"), b"two");
///     assert!(server.recv_message().await?.is_none());
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct UnixSeqpacket {
    messages: Messages<Beside>,
}

impl UnixSeqpacket {
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
        let driver = driver::current::expect("UnixSeqpacket::connect");
        let address = address::of_path(path.as_ref())?;
        let target = sockaddr::from_unix(&address)?;
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        let socket = Fd::new(Rc::clone(&driver), OwnedFd::from(socket));
        let socket = Op::new(driver, Connect { socket, address: target })
            .await
            .map_err(|error| address::naming("connect to", &address, &error))?;
        Ok(Self::from_fd(socket))
    }

    /// Two connections to each other, without a name.
    ///
    /// # Errors
    ///
    /// As `socketpair(2)`: no descriptor left.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn pair() -> io::Result<(Self, Self)> {
        let driver = driver::current::expect("UnixSeqpacket::pair");
        let (near, far) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let socket = |socket| Self::from_fd(Fd::new(Rc::clone(&driver), OwnedFd::from(socket)));
        Ok((socket(near), socket(far)))
    }

    fn from_fd(fd: Fd) -> Self {
        Self { messages: Messages::new(fd, SENDS_MAX) }
    }

    pub(in crate::net) fn endpoint(&self) -> &Rc<Endpoint<Beside>> {
        self.messages.endpoint()
    }

    /// The next message, in the buffer where the kernel put it, with what came with it; `None` at the end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That of the connection, once: `ConnectionReset` if the peer was closed with messages unread.
    pub async fn recv_message(&self) -> io::Result<Option<Message>> {
        let message = self.messages.recv(Message::new).await?;
        Ok((!message.is_end()).then_some(message))
    }

    /// Copies the next message into `buf` and says its size there; what does not fit is lost, and descriptors are
    /// closed. 0 is the end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_message`](Self::recv_message).
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let message = self.recv_message().await?;
        Ok(message.map_or(0, |message| copy(&message, buf)))
    }

    /// As [`recv`](Self::recv), with the descriptors that came with the message.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        match self.recv_message().await? {
            Some(mut message) => Ok((copy(&message, buf), message.take_fds())),
            None => Ok((0, Vec::new())),
        }
    }

    /// As [`recv`](Self::recv), without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; that of the connection, once.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.messages.try_recv().map(|message| copy(&message.payload, buf))
    }

    /// Waits until [`try_recv`](Self::try_recv) has something to give. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.messages.readable().await
    }

    /// Sends a copy of `bytes` as one message. Waits while the peer does not read.
    ///
    /// It leaves when the future is polled, by a system call; while the peer does not read it waits on the ring, and
    /// leaves also if the future is dropped then, before those that are sent after it, its error lost.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the peer is gone; a message too long.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.messages.send_copy(bytes, Target::Connected).await
    }

    /// As [`send`](Self::send), from a buffer that is lent to the operation. If the future is dropped, the operation
    /// keeps the buffer until the kernel is done.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), with the buffer.
    pub async fn send_owned<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        self.messages.send(buf, Target::Connected).await
    }

    /// As [`send_owned`](Self::send_owned), with copies of descriptors, at most 253. Ours come back with the buffer.
    /// If the future is dropped, they are closed: before the loop turned, unsent; afterwards when the kernel is done.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), with the buffer and the descriptors; `InvalidInput` for too many.
    pub async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        self.messages.send_with_fds(buf, Target::Connected, fds).await
    }

    /// Waits until no send is under way. It says nothing about the peer's queue. Dropping the future has no effect.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn writable(&self) -> io::Result<()> {
        self.messages.writable().await
    }

    /// Waits until no send is under way, and then ends the outgoing direction: the peer receives what was sent, and
    /// then the end. If the future is dropped before it is done, nothing happened.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is gone.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.messages.writable().await?;
        plain::shutdown(self.as_raw_fd(), Shutdown::Write)
    }

    /// Asks for [`Message::credentials`] (`SO_PASSCRED`).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_passcred(&self, ask: bool) -> io::Result<()> {
        SockRef::from(self).set_passcred(ask)
    }

    /// The process that connected, or listened, at the other end. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        unix::peer_credentials(self.as_fd()).map(UCred::new)
    }

    /// The peer's address; without a name if it was not bound. A system call.
    ///
    /// # Errors
    ///
    /// As `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).peer_addr()?)
    }
}

/// A listening socket for [`UnixSeqpacket`].
///
/// A connection that was accepted and not taken stays with the listener. Dropping it closes those that nobody took; a
/// path that it was bound to stays.
pub struct UnixSeqpacketListener {
    listening: Listening,
}

impl UnixSeqpacketListener {
    /// Listens on a path, where it makes a file, or on an abstract name. Up to 1024 connections wait in the kernel.
    ///
    /// # Errors
    ///
    /// As for [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let driver = driver::current::expect("UnixSeqpacketListener::bind");
        let address = address::of_path(path.as_ref())?;
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket
            .bind(&sockaddr::from_unix(&address)?)
            .and_then(|()| socket.listen(BACKLOG))
            .map_err(|error| address::naming("listen on", &address, &error))?;
        Ok(Self { listening: Listening::new(Fd::new(driver, OwnedFd::from(socket))) })
    }

    /// The next connection. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Only those of the listener itself.
    pub async fn accept(&self) -> io::Result<UnixSeqpacket> {
        self.listening.accept().await.map(UnixSeqpacket::from_fd)
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

impl AsFd for UnixSeqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.messages.fd().as_fd()
    }
}

impl AsRawFd for UnixSeqpacket {
    fn as_raw_fd(&self) -> RawFd {
        self.messages.fd().as_raw_fd()
    }
}

impl fmt::Debug for UnixSeqpacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixSeqpacket").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}

impl AsFd for UnixSeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listening.fd().as_fd()
    }
}

impl AsRawFd for UnixSeqpacketListener {
    fn as_raw_fd(&self) -> RawFd {
        self.listening.fd().as_raw_fd()
    }
}

impl fmt::Debug for UnixSeqpacketListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixSeqpacketListener")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}
