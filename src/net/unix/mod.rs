//! Sockets of this machine: by path, by abstract name, or in pairs.
//!
//! A stream here is the one of TCP over another address family: it receives, sends, splits and ends by the same code,
//! and what the table in [`net`](super) says of a dropped future holds for both.
//!
//! Datagrams and sequenced packets keep messages apart. They and streams carry descriptors and credentials: a
//! [`Message`] owns what came with it, and closes the descriptors that nobody took. A stream discards descriptors until
//! it is [asked](UnixStream::recv_message) for them.
//!
//! Addresses are std's [`SocketAddr`]. Where a path is taken, one that begins with a NUL byte is an abstract name,
//! which has no file: `"\0name"`. A path longer than 107 bytes or with a NUL byte inside is `InvalidInput`. A bound
//! path stays when its socket is dropped, as with std and tokio: who bound it removes the file.

mod address;
mod credentials;
mod datagram;
mod listener;
mod message;
mod passing;
mod seqpacket;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use message::Message;
pub use seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use stream::UnixStream;

use super::split;

/// The reading half of a [`UnixStream`].
pub type OwnedReadHalf = split::OwnedReadHalf<UnixStream>;

/// The writing half of a [`UnixStream`].
pub type OwnedWriteHalf = split::OwnedWriteHalf<UnixStream>;

/// Two halves that are not of one [`UnixStream`].
pub type ReuniteError = split::ReuniteError<UnixStream>;
