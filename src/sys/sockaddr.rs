//! Socket addresses in the kernel's form and back.
//!
//! `socket2` does the conversion; this file adds the two shapes the operations need.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

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

/// A Unix address as std has it.
pub(crate) fn to_unix(address: &SockAddr) -> io::Result<UnixAddr> {
    // The conversion of `socket2` knows no abstract names.
    if let Some(name) = address.as_abstract_namespace() {
        return UnixAddr::from_abstract_name(name);
    }
    UnixAddr::from_pathname(address.as_pathname().unwrap_or_else(|| Path::new("")))
}

/// A Unix address in the kernel's form.
pub(crate) fn from_unix(address: &UnixAddr) -> io::Result<SockAddr> {
    match address.as_abstract_name() {
        Some(name) => SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat())),
        None => SockAddr::unix(address.as_pathname().unwrap_or_else(|| Path::new(""))),
    }
}

/// The internet address in bytes that the kernel wrote; `None` if they are of another family.
#[inline]
pub(crate) fn of_bytes(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), port)))
        }
        libc::AF_INET6 => {
            let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
            let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let ip = Ipv6Addr::from(octets);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, word(4)?, word(24)?)))
        }
        _ => None,
    }
}

/// Where a message goes, in the kernel's form and small enough for an operation.
#[derive(Debug)]
pub(crate) enum Target {
    /// To the peer that the socket is connected to.
    Connected,
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    Other(Box<SockAddr>),
}

impl Target {
    /// Of an internet address.
    #[inline]
    pub(crate) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }

    /// Where the address lies, and its size; null for [`Connected`](Self::Connected).
    #[inline]
    pub(crate) fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::Connected => (std::ptr::null(), 0),
            Self::V4(address) => ((&raw const *address).cast(), size_of_val(address) as u32),
            Self::V6(address) => ((&raw const *address).cast(), size_of_val(address) as u32),
            Self::Other(address) => (address.as_ptr().cast(), address.len()),
        }
    }
}

/// What stands for a peer that was gone before its address was asked: `0.0.0.0:0`.
pub(crate) fn unknown() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_from_the_kernel_s_form() {
        for text in ["1.2.3.4:5", "[::1]:6", "[fe80::1:2%7]:80"] {
            let address: SocketAddr = text.parse().expect("a literal");
            let kernel = SockAddr::from(address);
            let bytes = match Target::new(address) {
                Target::V4(_) => 16,
                _ => 28,
            };
            assert_eq!(kernel.len(), bytes);
            let (_, len) = Target::new(address).parts();
            assert_eq!(len, kernel.len());
        }
        let mut bytes = vec![0; 28];
        bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&80_u16.to_be_bytes());
        bytes[23] = 1;
        assert_eq!(of_bytes(&bytes), Some("[::1]:80".parse().expect("a literal")));
        assert_eq!(of_bytes(&bytes[..20]), None, "cut short");
        bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        bytes[4] = 9;
        assert_eq!(of_bytes(&bytes[..16]), Some("9.0.0.0:80".parse().expect("a literal")));
        assert_eq!(of_bytes(&[1, 0]), None);
    }
}
