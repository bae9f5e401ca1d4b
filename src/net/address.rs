//! What may stand for an address in `bind` and `connect`, and which of it is a name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use self::sealed::Sealed;

/// Values that stand for one or several socket addresses: addresses, or a host and a port.
///
/// Strings are of the form `127.0.0.1:80`, `[::1]:80` or `example.org:80`. What is async looks a name up, on the
/// [blocking pool](crate::blocking), as [`lookup_host`](super::lookup_host) does; what is not refuses it with an
/// error that says so. Nothing here blocks the core.
pub trait ToSocketAddrs: Sealed {
    /// The addresses, in order, without a look-up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a string is a name, or neither that nor an address with a port.
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>>;
}

mod sealed {
    use std::net::SocketAddr;

    pub trait Sealed {
        /// The name that is to be looked up, and the port; nothing for addresses and for nonsense.
        fn host(&self) -> Option<(&str, u16)> {
            None
        }

        /// The address, where there is one and finding it takes no list.
        #[inline]
        fn only(&self) -> Option<SocketAddr> {
            None
        }
    }
}

/// Implements the trait for a type that converts into one address.
macro_rules! one_address {
    ($($address:ty),+) => {$(
        impl Sealed for $address {
            #[inline]
            fn only(&self) -> Option<SocketAddr> {
                Some(SocketAddr::from(*self))
            }
        }

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

impl Sealed for [SocketAddr] {}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl Sealed for Vec<SocketAddr> {}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.clone())
    }
}

impl Sealed for str {
    fn host(&self) -> Option<(&str, u16)> {
        if self.parse::<SocketAddr>().is_ok() {
            return None;
        }
        let (host, port) = self.rsplit_once(':')?;
        Some((name(host)?, port.parse().ok()?))
    }

    fn only(&self) -> Option<SocketAddr> {
        self.parse().ok()
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        match self.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => Err(refused(self, self.host().is_some())),
        }
    }
}

impl Sealed for String {
    fn host(&self) -> Option<(&str, u16)> {
        self.as_str().host()
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl Sealed for (&str, u16) {
    fn host(&self) -> Option<(&str, u16)> {
        match self.0.parse::<IpAddr>() {
            Ok(_) => None,
            Err(_) => Some((name(self.0)?, self.1)),
        }
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        match self.0.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, self.1)]),
            Err(_) => Err(refused(self.0, self.host().is_some())),
        }
    }
}

impl Sealed for (String, u16) {
    fn host(&self) -> Option<(&str, u16)> {
        let (host, port) = (self.0.as_str(), self.1);
        host.parse::<IpAddr>().is_err().then_some(())?;
        Some((name(host)?, port))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl<T: ToSocketAddrs + ?Sized> Sealed for &T {
    fn host(&self) -> Option<(&str, u16)> {
        (**self).host()
    }

    fn only(&self) -> Option<SocketAddr> {
        (**self).only()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

/// What may be a host's name: an IPv6 address without brackets before a port may not, for where it ends is a guess.
fn name(host: &str) -> Option<&str> {
    let without_zone = host.split('%').next().unwrap_or(host);
    let is_guess = host.contains(['[', ']']) || host.contains(':') && without_zone == host;
    (!host.is_empty() && !is_guess && !host.contains('\0')).then_some(host)
}

#[cold]
fn refused(text: &str, is_name: bool) -> io::Error {
    let why = match is_name {
        true => "is a host's name: look it up with annulus::net::lookup_host",
        false => "is not an address and a port, such as 127.0.0.1:80, [::1]:80 or example.org:80",
    };
    io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses_and_from_nonsense() {
        assert_eq!("example.org:80".host(), Some(("example.org", 80)));
        assert_eq!(String::from("localhost:0").host(), Some(("localhost", 0)));
        assert_eq!(("localhost", 80).host(), Some(("localhost", 80)));
        assert_eq!((String::from("localhost"), 80).host(), Some(("localhost", 80)));
        // An interface has a number that the system has to be asked for.
        assert_eq!(("fe80::1%eth0", 80).host(), Some(("fe80::1%eth0", 80)));
        for address in ["127.0.0.1:80", "[::1]:80"] {
            assert_eq!(address.host(), None, "{address}");
        }
        assert_eq!((("::1", 80).host(), ("127.0.0.1", 80).host()), (None, None));
        for nonsense in
            ["", ":80", "localhost", "localhost:", "localhost:99999", "::1:80", "a\0b:80"]
        {
            assert_eq!(nonsense.host(), None, "{nonsense}");
            let error = nonsense.to_socket_addrs().expect_err("nonsense");
            assert!(error.to_string().contains("is not an address"), "{error}");
        }
    }

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
        assert!(refused.to_string().contains("lookup_host"));
        assert!("127.0.0.1".to_socket_addrs().is_err(), "no port");
        assert!("127.0.0.1:99999".to_socket_addrs().is_err(), "no such port");
    }
}
