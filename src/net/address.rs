//! What may stand for an address in `bind` and `connect`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Values that name one or several socket addresses, without a look-up of host names.
///
/// Strings are of the form `127.0.0.1:80` or `[::1]:80`; a host name is refused with an error that says so.
pub trait ToSocketAddrs: sealed::Sealed {
    /// The addresses, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a string is not an address and a port.
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>>;
}

mod sealed {
    pub trait Sealed {}
}

/// Implements the trait for a type that converts into one address.
macro_rules! one_address {
    ($($address:ty),+) => {$(
        impl sealed::Sealed for $address {}

        impl ToSocketAddrs for $address {
            fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)])
            }
        }
    )+};
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl sealed::Sealed for [SocketAddr] {}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl sealed::Sealed for Vec<SocketAddr> {}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.clone())
    }
}

impl sealed::Sealed for str {}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let address = self.parse().map_err(|_| not_an_address(self))?;
        Ok(vec![address])
    }
}

impl sealed::Sealed for String {}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl sealed::Sealed for (&str, u16) {}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let address: IpAddr = self.0.parse().map_err(|_| not_an_address(self.0))?;
        Ok(vec![SocketAddr::new(address, self.1)])
    }
}

impl<T: ToSocketAddrs + ?Sized> sealed::Sealed for &T {}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

fn not_an_address(text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{text:?} is not an address and a port, such as 127.0.0.1:80 or [::1]:80"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_gives_its_address_and_a_name_is_refused() {
        let expected: SocketAddr = "127.0.0.1:80".parse().expect("a literal");
        assert_eq!("127.0.0.1:80".to_socket_addrs().expect("a string"), [expected]);
        assert_eq!(("127.0.0.1", 80).to_socket_addrs().expect("a pair"), [expected]);
        assert_eq!((Ipv4Addr::LOCALHOST, 80).to_socket_addrs().expect("an ip"), [expected]);
        assert_eq!(vec![expected; 2].to_socket_addrs().expect("a list").len(), 2);
        let refused = "localhost:80".to_socket_addrs().expect_err("a name");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("localhost:80"));
        assert!("127.0.0.1".to_socket_addrs().is_err(), "no port");
        assert!("127.0.0.1:99999".to_socket_addrs().is_err(), "no such port");
    }
}
