//! UDP: datagrams with their addresses, and what the kernel knows of them.
//!
//! A [`UdpSocket`] has the methods of tokio's, which copy, and forms that do not: [`recv_datagram`], whose
//! [`Datagram`] lies in a buffer of the core's pool, and [`send_owned_to`], which sends a buffer from where it lies.
//!
//! What the kernel joins or splits: several datagrams of one size go down as one buffer with
//! [`Transmit::segment_size`], or as the buffers that they are with [`send_batch_to`], and come up as one with
//! [`set_gro`]. ECN, the address that a datagram was sent to, and the time of its arrival are there when asked for.
//!
//! [`recv_datagram`]: UdpSocket::recv_datagram
//! [`send_batch_to`]: UdpSocket::send_batch_to
//! [`send_owned_to`]: UdpSocket::send_owned_to
//! [`set_gro`]: UdpSocket::set_gro

mod datagram;
mod options;
mod socket;
mod transmit;

pub use datagram::Datagram;
pub use socket::UdpSocket;
pub use transmit::{Ecn, Transmit};
