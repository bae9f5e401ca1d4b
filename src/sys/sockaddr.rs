//! Socket addresses in the kernel's form and back.
//!
//! `socket2` does the conversion; this file adds the two shapes the operations need.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockAddr;

/// The address as std has it, or an error that names the family.
pub(crate) fn to_std(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("address family {} is not an internet one", address.family()),
        )
    })
}

/// What stands for a peer that was gone before its address was asked: `0.0.0.0:0`.
pub(crate) fn unknown() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}
