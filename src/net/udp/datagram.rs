//! A received datagram.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::time::SystemTime;

use super::Ecn;
use crate::buf::Chunk;
use crate::op::receive_message::Message;
use crate::sys::message::Inet;

/// A received datagram: its bytes, in a buffer of the core's pool, and what the kernel said of it.
///
/// It dereferences to `[u8]`. Like a [`Chunk`] it may be held as long as one likes, and does not leave its thread.
pub struct Datagram {
    message: Message<Inet>,
}

impl Datagram {
    #[inline]
    pub(super) fn new(message: Message<Inet>) -> Self {
        Self { message }
    }

    /// Who sent it.
    #[inline]
    pub fn peer_addr(&self) -> SocketAddr {
        self.message.source()
    }

    /// The bytes, to keep or to send from where they lie, and who sent them.
    #[inline]
    pub fn into_parts(self) -> (Chunk, SocketAddr) {
        let source = self.message.source();
        (self.message.payload, source)
    }

    /// Whether it was longer than the buffer, and its end is lost: see
    /// [`UdpSocket::set_datagram_max`](super::UdpSocket::set_datagram_max).
    pub fn is_truncated(&self) -> bool {
        self.message.head.is_truncated()
    }

    /// The datagrams that lie in it, one after the other: several of one size, the last perhaps shorter, if the
    /// kernel joined them because of [`set_gro`](super::UdpSocket::set_gro); else the one that it is.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.segment_size().unwrap_or(self.len()).max(1);
        let empty = self.is_empty().then_some(&[][..]);
        empty.into_iter().chain(self.chunks(size))
    }

    /// The size of each of the datagrams that the kernel joined, but for the last; `None` if it joined none.
    pub fn segment_size(&self) -> Option<usize> {
        self.message.head.segment(self.message.beside()).map(usize::from)
    }

    /// The mark of congestion, if [`set_recv_ecn`](super::UdpSocket::set_recv_ecn) asked for it and the sender's
    /// transport uses it.
    pub fn ecn(&self) -> Option<Ecn> {
        self.message.head.class(self.message.beside()).and_then(Ecn::of_class)
    }

    /// The address that it was sent to and the number of the interface that it came by, if
    /// [`set_recv_destination`](super::UdpSocket::set_recv_destination) asked for them.
    pub fn destination(&self) -> Option<(IpAddr, u32)> {
        self.message.head.destination(self.message.beside())
    }

    /// When the kernel received it, if [`set_recv_timestamp`](super::UdpSocket::set_recv_timestamp) asked for it.
    pub fn received_at(&self) -> Option<SystemTime> {
        self.message.head.received_at(self.message.beside())
    }
}

impl Deref for Datagram {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.message.payload
    }
}

impl AsRef<[u8]> for Datagram {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Datagram {
    /// The length, never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("peer_addr", &self.peer_addr())
            .field("len", &self.len())
            .field("is_truncated", &self.is_truncated())
            .finish_non_exhaustive()
    }
}
