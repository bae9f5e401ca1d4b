//! Socket addresses in the kernel's form and back.
//!
//! `socket2` does the conversion; this file adds the two shapes the operations need.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
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

/// What stands for a peer that was gone before its address was asked: `0.0.0.0:0`.
pub(crate) fn unknown() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}
