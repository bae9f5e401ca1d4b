//! A UDP socket.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Datagram, Transmit};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver;
use crate::net::ToSocketAddrs;
use crate::net::lookup::resolve;
use crate::net::messages::Messages;
use crate::op::close::Fd;
use crate::op::receive_message::Message;
use crate::sys::message::Inet;
use crate::sys::sockaddr::{self, Target};

/// Sends of one socket that may be under way at once.
const SENDS_MAX: u32 = 256;

/// A UDP socket.
///
/// What arrives belongs to the socket: the first read arms it, and from then on datagrams wait with it until they are
/// taken, up to [`Builder::undelivered_max`](crate::Builder::undelivered_max) bytes, each counted with 256 of its
/// own. Then the receive is paused until they are, what the kernel had delivered comes on top, its buffer takes what
/// it can, and it drops the rest, as it does on any socket that is not read fast enough.
///
/// Its methods take `&self`, and any number of tasks may read and send at once. A datagram goes to one reader, which
/// is not told by order of arrival. Up to 256 sends are under way at once; more wait. They leave in the order in
/// which they began, unless the kernel's buffer is full. Dropping the socket closes it when the sends under way are
/// out.
///
/// ```
/// use annulus::net::UdpSocket;
///
/// annulus::run(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(server.local_addr()?).await?;
///     client.send(b"ping").await?;
///     // The datagram lies in a buffer of the pool, and goes back from where it lies.
///     let (chunk, peer) = server.recv_datagram().await?.into_parts();
///     server.send_owned_to(chunk, peer).await?;
///     let mut answer = [0; 16];
///     let len = client.recv(&mut answer).await?;
///     assert_eq!(&answer[..len], b"ping");
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
pub struct UdpSocket {
    pub(super) messages: Messages<Inet>,
    /// Whether datagrams of a batch that are alike leave as one.
    pub(super) joins: Cell<bool>,
}

impl UdpSocket {
    /// Binds to the first of the addresses that can be bound. A name is looked up first, as by
    /// [`lookup_host`](crate::net::lookup_host).
    ///
    /// # Errors
    ///
    /// `AddrInUse` and the others of `bind(2)`, whose text names the address; those of the look-up; `InvalidInput` if
    /// there is no address.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let driver = driver::current::expect("UdpSocket::bind");
        let mut last = None;
        for address in resolve(&address, "UdpSocket::bind").await? {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
            match socket.bind(&address.into()) {
                Ok(()) => return Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(socket)))),
                Err(error) => last = Some(naming("bind to", address, &error)),
            }
        }
        Err(last.unwrap_or_else(|| none("bind to")))
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
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let driver = driver::current::expect("UdpSocket::from_std");
        Ok(Self::from_fd(Fd::new(driver, OwnedFd::from(socket))))
    }

    fn from_fd(fd: Fd) -> Self {
        Self { messages: Messages::new(fd, SENDS_MAX), joins: Cell::new(true) }
    }

    /// Undoes what the runtime armed and gives the socket back, with the datagrams that had already arrived. Waits
    /// until the sends under way are out. If the future is dropped, so is the socket, with the datagrams that it
    /// held.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a future of it was leaked; the socket is closed then.
    pub async fn into_std(self) -> io::Result<(std::net::UdpSocket, Vec<Datagram>)> {
        let (socket, rest) = self.messages.into_socket().await?;
        Ok((socket.into(), rest.into_iter().map(Datagram::new).collect()))
    }

    /// Sends to, and receives from, the first of the addresses that can be connected to alone. It happens at once, or
    /// after the look-up of a name. Datagrams of others that had arrived before still come.
    ///
    /// # Errors
    ///
    /// As `connect(2)`, whose text names the address; those of the look-up; `InvalidInput` if there is no address.
    pub async fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        let mut last = None;
        for address in resolve(&address, "UdpSocket::connect").await? {
            match self.options().connect(&address.into()) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(naming("connect to", address, &error)),
            }
        }
        Err(last.unwrap_or_else(|| none("connect to")))
    }

    /// The next datagram, in the buffer where the kernel put it.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That of the socket, once: on a connected one `ConnectionRefused` if nobody listens at the peer's port.
    #[inline]
    pub fn recv_datagram(&self) -> impl Future<Output = io::Result<Datagram>> {
        self.messages.recv(Datagram::new)
    }

    /// The next datagrams: those that have arrived, at most `max`, and at least one unless that is zero.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram).
    pub async fn recv_batch(&self, max: usize) -> io::Result<Vec<Datagram>> {
        self.messages.recv_batch(max, Datagram::new).await
    }

    /// Copies the next datagram into `buf` and says its size there and who sent it; what does not fit is lost.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram).
    #[inline]
    pub fn recv_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.messages.recv(move |message| copy(&message, buf))
    }

    /// As [`recv_from`](Self::recv_from), without the address.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram).
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buf).await.map(|(count, _)| count)
    }

    /// Copies the next datagram without taking it; what does not fit is not lost.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram); it stays for the next read.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let buf = std::cell::RefCell::new(buf);
        self.messages.peek(|message| copy(message, &mut buf.borrow_mut())).await
    }

    /// As [`peek_from`](Self::peek_from), without the address.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram); it stays for the next read.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peek_from(buf).await.map(|(count, _)| count)
    }

    /// Who sent the next datagram, which stays.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`recv_datagram`](Self::recv_datagram); it stays for the next read.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.messages.peek(Message::source).await
    }

    /// As [`recv_from`](Self::recv_from), without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; that of the socket, once.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.messages.try_recv().map(|message| copy(&message, buf))
    }

    /// As [`recv`](Self::recv), without waiting. The first call starts receiving.
    ///
    /// # Errors
    ///
    /// As for [`try_recv_from`](Self::try_recv_from).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_recv_from(buf).map(|(count, _)| count)
    }

    /// Waits until [`try_recv`](Self::try_recv) has something to give: a datagram or an error.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.messages.readable().await
    }

    /// Sends a copy of `bytes` as one datagram to the peer that the socket is connected to.
    ///
    /// It leaves when the future is polled, by a system call; if the kernel's buffer is full it waits on the ring,
    /// and leaves also if the future is dropped then, its error lost.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if nobody listened at the peer's port when an earlier one came there; the others of
    /// `send(2)`: a datagram too long, no peer, no route.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.messages.send_copy(bytes, Target::Connected)
    }

    /// Sends a copy of `bytes` as one datagram to the first of the addresses. If the future is dropped: as for
    /// [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send); `InvalidInput` if there is no address, or a name, which is not looked up for each
    /// datagram.
    pub async fn send_to(&self, bytes: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = match target.only() {
            Some(target) => target,
            None => *target.to_socket_addrs()?.first().ok_or_else(|| none("send to"))?,
        };
        self.messages.send_copy(bytes, Target::new(target)).await
    }

    /// Sends a buffer that is lent to the operation as one datagram to the peer that the socket is connected to. If
    /// the future is dropped, the operation keeps the buffer until the kernel is done; otherwise as for
    /// [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), with the buffer.
    #[inline]
    pub fn send_owned<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        self.messages.send(buf, Target::Connected)
    }

    /// As [`send_owned`](Self::send_owned), to an address.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), with the buffer.
    #[inline]
    pub fn send_owned_to<B: IoBuf>(
        &self,
        buf: B,
        target: SocketAddr,
    ) -> impl Future<Output = BufResult<usize, B>> {
        self.messages.send(buf, Target::new(target))
    }

    /// As [`send_owned`](Self::send_owned), as `transmit` says: in segments, from one of our addresses, with a mark.
    /// If the future is dropped before the loop turned, nothing is sent; afterwards the datagram leaves.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), with the buffer; `InvalidInput` for too many segments, or a kernel or path
    /// without them.
    pub async fn send_message<B: IoBuf>(&self, buf: B, transmit: &Transmit) -> BufResult<usize, B> {
        match self.is_v6() {
            Ok(is_v6) => {
                let control = transmit.control(is_v6);
                self.messages.send_with(buf, transmit.target(), control).await
            }
            Err(error) => Err(BufError { error, buf }),
        }
    }

    /// Sends each buffer to its address, 32 in a system call, and says of each how it went. Those that follow each
    /// other, of one size to one address, go through the kernel as one and leave the machine as the datagrams that they
    /// are, where it can: see [`set_gso`](Self::set_gso).
    ///
    /// Those that the kernel's buffer has no room for wait on the ring, and leave also if the future is dropped then.
    /// After 128 system calls it lets other tasks run; dropped there, it sends no more.
    pub async fn send_batch_to<B: IoBuf>(
        &self,
        batch: Vec<(B, SocketAddr)>,
    ) -> Vec<BufResult<usize, B>> {
        self.messages.send_batch(batch, &self.joins).await
    }

    /// As [`send`](Self::send), without waiting, by a system call of its own.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the kernel's buffer is full; otherwise as [`send`](Self::send).
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.options().send_with_flags(bytes, NOW)
    }

    /// As [`try_send`](Self::try_send), to an address.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send_to(&self, bytes: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.options().send_to_with_flags(bytes, &SockAddr::from(target), NOW)
    }

    /// Waits until fewer than 256 sends are under way. It says nothing about the kernel's buffer. Dropping the future
    /// has no effect.
    ///
    /// # Errors
    ///
    /// That the runtime is gone.
    pub async fn writable(&self) -> io::Result<()> {
        self.messages.writable().await
    }

    /// Our own address. A system call.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&self.options().local_addr()?)
    }

    /// The address that it is connected to. A system call.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&self.options().peer_addr()?)
    }

    /// An error that the kernel holds for the socket, as an ICMP message gives; taken by this.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.options().take_error()
    }
}

/// Without waiting, and without a signal.
const NOW: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

fn copy(message: &Message<Inet>, buf: &mut [u8]) -> (usize, SocketAddr) {
    let count = message.payload.len().min(buf.len());
    buf[..count].copy_from_slice(&message.payload[..count]);
    (count, message.source())
}

fn naming(verb: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {verb} {address}: {error}"))
}

fn none(verb: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("there is no address to {verb}"))
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.messages.fd().as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.messages.fd().as_raw_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
