//! The look-up of host names, which a thread of the blocking pool does; addresses need none.

use std::io;
use std::net::{self, SocketAddr};

use super::ToSocketAddrs;
use crate::blocking;

/// The addresses of a host: of `name:port` or `(name, port)`, or what is an address already.
///
/// A name is looked up by the system's resolver (`getaddrinfo`: `/etc/hosts`, then what `nsswitch.conf` and
/// `resolv.conf` say), on a thread of the runtime's [blocking pool](crate::blocking), in the order that the resolver
/// gives (RFC 6724). An address is parsed here and costs no thread.
///
/// Dropped, as by a timeout, it gives the answer up. Nobody can stop the resolver: a look-up that a thread has begun
/// with keeps it for as long as `resolv.conf` says, by default some ten seconds for a server that is silent. How many
/// threads that can be is [`Builder::blocking_threads`](crate::Builder::blocking_threads).
///
/// ```
/// annulus::run(async {
///     let mut addresses = annulus::net::lookup_host("127.0.0.1:80").await?;
///     assert_eq!(addresses.next().map(|address| address.port()), Some(80));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// Those of the resolver, which name the host; `InvalidInput` for what is neither an address nor a name and a port.
///
/// # Panics
///
/// Outside a runtime, for a name.
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    Ok(resolve(&host, "annulus::net::lookup_host").await?.into_iter())
}

/// See [`lookup_host`]; `caller` is named in a panic.
pub(super) async fn resolve(
    address: &(impl ToSocketAddrs + ?Sized),
    caller: &str,
) -> io::Result<Vec<SocketAddr>> {
    let Some((host, port)) = address.host() else {
        return address.to_socket_addrs();
    };
    let name = host.to_owned();
    let look_up =
        move || net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port)).map(Iterator::collect);
    let found: io::Result<Vec<SocketAddr>> = blocking::query(caller, look_up).await?;
    found.map_err(|error| io::Error::new(error.kind(), format!("cannot look up {host:?}: {error}")))
}
