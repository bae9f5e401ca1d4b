//! A Unix datagram socket.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use socket2::{Domain, SockRef, Socket, Type};

use super::message::copy;
use super::{Message, address};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver;
use crate::net::messages::Messages;
use crate::op::close::Fd;
use crate::op::receive_message::Beside;
use crate::sys::sockaddr::{self, Target};

/// Sends of one socket that may be under way at once.
const SENDS_MAX: u32 = 256;

/// Without waiting, and without a signal.
const NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A Unix datagram socket.
///
/// What arrives belongs to the socket, and waits with it as [`UdpSocket`](crate::net::UdpSocket) says, each
/// descriptor counted with 4096 bytes. Nothing is dropped on the way: once the kernel's queue of the receiver is
/// full, sends wait. Up to 256 of them are under way at once; each that waits for a receiver that the socket is not
/// connected to takes a kernel thread meanwhile. A message may have 64,320 bytes, and 253 descriptors; the end of a
/// longer one is lost.
///
/// Dropping the socket closes it when the sends under way are out, or after the builder's
/// [`linger`](crate::Builder::linger): then they are cancelled. A path that it was bound to stays.
///
/// ```
/// use annulus::net::UnixDatagram;
/// use std::os::fd::OwnedFd;
///
/// annulus::run(async {
///     let (near, far) = UnixDatagram::pair()?;
///     let file = OwnedFd::from(std::fs::File::open("/dev/null")?);
///     near.send_with_fds("take this", vec![file]).await?;
///     let mut message = far.recv_message().await?;
///     assert_eq!(&*message, b"take this");
///     assert_eq!(message.take_fds().len(), 1);
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct UnixDatagram {
    messages: Messages<Beside>,
}

impl UnixDatagram {
    /// Binds to a path, where it makes a file, or to an abstract name.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if something is at the path; the others of `bind(2)`; the text names the path. `InvalidInput` for
    /// a path that cannot be an address.
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
        let socket = Self::unbound()?;
        SockRef::from(&socket)
            .bind(&sockaddr::from_unix(address)?)
            .map_err(|error| address::naming("bind to", address, &error))?;
        Ok(socket)
    }

    /// A socket without a name: it sends, and cannot be answered.
    ///
    /// # Errors
    ///
    /// As `socket(2)`: no descriptor left.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn unbound() -> io::Result<Self> {
        let driver = driver::current::expect("UnixDatagram");
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(socket))))
    }

    /// Two sockets that are connected to each other and have no name.
    ///
    /// # Errors
    ///
    /// As `socketpair(2)`: no descriptor left.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn pair() -> io::Result<(Self, Self)> {
        let driver = driver::current::expect("UnixDatagram::pair");
        let (near, far) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
        let socket = |socket| Self::from_fd(Fd::new(Rc::clone(&driver), OwnedFd::from(socket)));
        Ok((socket(near), socket(far)))
    }

    /// Takes over a socket. Whether it blocks does not matter.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        let driver = driver::current::expect("UnixDatagram::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(socket))))
    }

    fn from_fd(fd: Fd) -> Self {
        Self { messages: Messages::new(fd, SENDS_MAX) }
    }

    /// Undoes what the runtime armed and gives the socket back, with the messages that had already arrived. Waits
    /// until the sends under way are out. If the future is dropped, so is the socket, with the messages that it held.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a future of it was leaked; the socket is closed then.
    pub async fn into_std(self) -> io::Result<(std::os::unix::net::UnixDatagram, Vec<Message>)> {
        let (socket, rest) = self.messages.into_socket().await?;
        Ok((socket.into(), rest.into_iter().map(Message::new).collect()))
    }

    /// Sends to the socket at this path or abstract name alone. It happens at once.
    ///
    /// # Errors
    ///
    /// `NotFound`, `ConnectionRefused` and the others of `connect(2)`; the text names the path.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.connect_addr(&address::of_path(path.as_ref())?)
    }

    /// As [`connect`](Self::connect), to an address.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        SockRef::from(self)
            .connect(&sockaddr::from_unix(address)?)
            .map_err(|error| address::naming("connect to", address, &error))
    }

    /// The next message, in the buffer where the kernel put it, with what came with it.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That of the socket, once: `ConnectionReset` if the peer of a connection both ways connects elsewhere with
    /// messages unread.
    pub async fn recv_message(&self) -> io::Result<Message> {
        self.messages.recv(Message::new).await
    }

    /// Copies the next message into `buf` and says its size there; what does not fit is lost, and descriptors are
    /// closed.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_message`](Self::recv_message).
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_message().await.map(|message| copy(&message, buf))
    }

    /// As [`recv`](Self::recv), with the sender's address; without a name if it has none.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let message = self.recv_message().await?;
        Ok((copy(&message, buf), named(&message)?))
    }

    /// As [`recv`](Self::recv), with the descriptors that came with the message.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut message = self.recv_message().await?;
        Ok((copy(&message, buf), message.take_fds()))
    }

    /// As [`recv`](Self::recv), without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; that of the socket, once.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.messages.try_recv().map(|message| copy(&message.payload, buf))
    }

    /// As [`recv_from`](Self::recv_from), without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let message = self.messages.try_recv().map(Message::new)?;
        Ok((copy(&message, buf), named(&message)?))
    }

    /// Waits until [`try_recv`](Self::try_recv) has something to give. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.messages.readable().await
    }

    /// Sends a copy of `bytes` as one message to the peer that the socket is connected to. Waits while its queue is
    /// full.
    ///
    /// It leaves when the future is polled, by a system call; while the peer's queue is full it waits on the ring,
    /// and leaves also if the future is dropped then, its error lost.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if the peer is gone; the others of `send(2)`: a message too long, no peer.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.messages.send_copy(bytes, Target::Connected).await
    }

    /// As [`send`](Self::send), to a path or an abstract name.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and `NotFound` if nothing is at the path.
    pub async fn send_to(&self, bytes: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let target = sockaddr::from_unix(&address::of_path(path.as_ref())?)?;
        self.messages.send_copy(bytes, Target::Other(Box::new(target))).await
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

    /// As [`send_owned`](Self::send_owned), to an address.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), with the buffer.
    pub async fn send_owned_to<B: IoBuf>(
        &self,
        buf: B,
        target: &SocketAddr,
    ) -> BufResult<usize, B> {
        match sockaddr::from_unix(target) {
            Ok(target) => self.messages.send(buf, Target::Other(Box::new(target))).await,
            Err(error) => Err(BufError { error, buf }),
        }
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

    /// As [`send`](Self::send), without waiting, by a system call of its own.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the peer's queue is full; otherwise as [`send`](Self::send).
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send_with_flags(bytes, NOW)
    }

    /// As [`try_send`](Self::try_send), to a path or an abstract name.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send_to(&self, bytes: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let target = sockaddr::from_unix(&address::of_path(path.as_ref())?)?;
        SockRef::from(self).send_to_with_flags(bytes, &target, NOW)
    }

    /// Waits until fewer than 256 sends are under way. It says nothing about the peer's queue. Dropping the future
    /// has no effect.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn writable(&self) -> io::Result<()> {
        self.messages.writable().await
    }

    /// Ends directions: nothing more is received, or sent. A read of what had not come by then waits or gives an empty
    /// message, as the kernel has it.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    /// Asks for [`Message::credentials`] (`SO_PASSCRED`). A socket without a name gets an abstract one by it, when it
    /// connects or sends.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_passcred(&self, ask: bool) -> io::Result<()> {
        SockRef::from(self).set_passcred(ask)
    }

    /// An error that the kernel holds for the socket; taken by this.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(self).take_error()
    }

    /// Our own address. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).local_addr()?)
    }

    /// The address that it is connected to. A system call.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_unix(&SockRef::from(self).peer_addr()?)
    }
}

/// The sender's address, which may be that of nobody.
fn named(message: &Message) -> io::Result<SocketAddr> {
    message.peer_addr().cloned().map_or_else(|| SocketAddr::from_pathname(""), Ok)
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.messages.fd().as_fd()
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.messages.fd().as_raw_fd()
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDatagram").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
