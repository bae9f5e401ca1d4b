//! TCP, UDP and Unix sockets on the ring, and the names of hosts.
//!
//! What arrives belongs to the stream or socket and what was accepted to the listener, never to the future that waits
//! for it: dropping a read or an accept, in a `select!` or a timeout, loses nothing.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `TcpListener::accept`, `accept_stream`, `Incoming::next`, `accept` and `accept_stream` of `UnixListener` and `UnixSeqpacketListener` | nothing is lost: the next accept gets the connection |
//! | `TcpStream`'s and `UnixStream`'s `recv`, `read`, `read_owned`, `peek`, `readable` | nothing is lost: the next read gets the bytes, in order; the buffer given to `read_owned` is dropped |
//! | `read_exact` | the bytes that it had copied are in the caller's buffer and gone from the stream |
//! | `UnixStream`'s `recv_message`, `recv_with_fds` | nothing is lost: the next of these gets the bytes, in order, with their descriptors |
//! | `write`, `send` | before its first turn of the loop: nothing is sent; afterwards the bytes may or may not leave, in order and never torn; the next write waits for them and reports their error |
//! | `write_all`, `send_all`, `send_all_vectored` | as `write`; how much was sent is not known |
//! | `UnixStream`'s `send_with_fds` | before its first turn of the loop: nothing is sent; afterwards the descriptors leave with what the kernel takes, ours are closed when it is done, and the next write fails if that was not all |
//! | `shutdown`, `writable` | nothing happened yet |
//! | `TcpStream::connect`, `TcpSocket::connect`, `UnixStream`'s `connect` and `connect_addr`, `UnixSeqpacket::connect`, `open_connection` | the socket is closed, those of all attempts |
//! | `lookup_host`, and the look-up of a name in `connect` and `bind` | the answer is given up; what a thread has begun with keeps it until the resolver's own timeout |
//! | `UdpSocket`'s `recv`, `recv_from`, `recv_datagram`, `recv_batch`, `peek`, `peek_from`, `peek_sender`, `readable` | nothing is lost: the next read gets the datagram |
//! | `send`, `send_to`, `send_owned`, `send_owned_to`, `send_batch_to` of `UdpSocket`, `UnixDatagram`, `UnixSeqpacket` | never polled: nothing is sent; afterwards the message leaves whole, at once or when there is room, and its error is lost |
//! | `send_message`, `send_with_fds` of these | before its first turn of the loop: nothing is sent, and descriptors are closed; afterwards as `send` |
//! | `UnixDatagram`'s and `UnixSeqpacket`'s `recv`, `recv_from`, `recv_message`, `recv_with_fds`, `readable` | nothing is lost: the next read gets the message, with its descriptors |
//! | `UdpSocket`'s `connect`, `writable` | nothing |
//! | `serve` | the listener is closed and the connections are aborted |
//! | `ServeHandle::ended` | nothing |
//! | `into_std`, `close_gracefully`, `TcpStream::detach`, `TcpStream::move_to` | the stream or socket is dropped, with what it held |
//!
//! A future that is leaked (`mem::forget`) leaks its memory and, for a write, delays nobody: its turn ends when the
//! kernel is done.

mod address;
mod attempts;
mod connection;
mod incoming;
mod lingering;
mod listener;
mod listening;
mod lookup;
mod messages;
mod moving;
mod open_connection;
mod serve;
mod sharded;
mod socket;
mod split;
mod stream;
mod stream_methods;
pub mod udp;
pub mod unix;
mod writing;

pub use address::ToSocketAddrs;
pub use incoming::Incoming;
pub use listener::{ListenOptions, TcpListener};
pub use lookup::lookup_host;
pub use moving::{DetachedStream, MoveError};
pub use open_connection::open_connection;
pub use serve::{Limits, Listener, Serve, ServeHandle, Served, serve};
pub use sharded::ShardedListener;
pub use socket::TcpSocket;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use stream::TcpStream;
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};
