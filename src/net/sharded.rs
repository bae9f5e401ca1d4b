//! One port on every core.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{ListenOptions, TcpListener, TcpSocket, ToSocketAddrs};

/// A port that is bound once, on which each runtime listens with a socket of its own (`SO_REUSEPORT`).
///
/// The kernel spreads new connections over the sockets that listen, by a hash of the addresses: evenly where there are
/// many, lumpily where there are few; [`TcpStream::move_to`](super::TcpStream::move_to) evens out. A core that does not
/// listen gets none. When one listener is dropped, the connections that wait in its backlog are reset, unless the
/// kernel moves them to the others (`net.ipv4.tcp_migrate_req`).
///
/// It is made on any thread, in a runtime or not, and its clones share the port, which is theirs until the last is
/// dropped.
///
/// ```
/// use annulus::mesh::{Cores, Mesh};
/// use annulus::net::TcpListener;
///
/// let port = TcpListener::bind_sharded("127.0.0.1:0")?;
/// let address = port.local_addr();
/// Mesh::builder().cores(Cores::Count(2)).pin(false).run(async |shard| {
///     let listener = port.listen()?;
///     assert_eq!(listener.local_addr()?, address);
///     # drop(shard);
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShardedListener {
    options: ListenOptions,
    address: SocketAddr,
    /// Keeps the port, and never listens.
    _port: Arc<TcpSocket>,
}

impl ShardedListener {
    /// The address, with the port that the kernel chose where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the runtime of this thread, with a socket of its own.
    ///
    /// # Errors
    ///
    /// As `bind(2)` and `listen(2)`: no descriptor left; `AddrInUse` if the process has changed its user since.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = self.options.socket(self.address)?;
        socket.set_reuseport(true)?;
        socket.bind(self.address)?;
        socket.listen(self.options.backlog)
    }
}

impl ListenOptions {
    /// Takes the first of the addresses that can be bound, for every runtime that asks for it. It needs no runtime
    /// itself, and so looks no name up.
    ///
    /// # Errors
    ///
    /// `AddrInUse` also if those who use it share their port, and the others of `bind(2)`; the text names the address.
    /// `InvalidInput` if there is none, or a name that [`lookup_host`](super::lookup_host) would have to look up first.
    pub fn bind_sharded(&self, address: impl ToSocketAddrs) -> io::Result<ShardedListener> {
        Self::first(address.to_socket_addrs()?, |address| {
            let socket = bind_alone(address)?;
            socket.set_reuseport(true)?;
            let address = socket.local_addr()?;
            Ok(ShardedListener { options: self.clone(), address, _port: Arc::new(socket) })
        })
    }
}

/// Binds so that nobody else has the address or can take it, whatever they share.
fn bind_alone(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::for_address(address)?;
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        bound => return bound.map(|()| socket),
    }
    // It may be that only old connections linger on it. Those are let pass; a socket that is bound too, and does not
    // listen yet, would be as well, if the option stayed on.
    let socket = TcpSocket::for_address(address)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.set_reuseaddr(false)?;
    Ok(socket)
}

impl TcpListener {
    /// Takes an address for every runtime that asks for it, as [`ListenOptions`] has it by default.
    ///
    /// # Errors
    ///
    /// As for [`ListenOptions::bind_sharded`].
    pub fn bind_sharded(address: impl ToSocketAddrs) -> io::Result<ShardedListener> {
        ListenOptions::new().bind_sharded(address)
    }
}
