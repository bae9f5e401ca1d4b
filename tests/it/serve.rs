//! The server kit: limits, deadlines, failures and ends, on TCP and on Unix sockets, on one core and on many.

mod deadlines;
mod ends;
mod limits;
mod races;

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};

use annulus::net::TcpListener;

/// A listener on loopback, and where it listens.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// A client that does not block.
fn client(address: SocketAddr) -> StdStream {
    let client = StdStream::connect(address).expect("connect");
    client.set_nonblocking(true).expect("a socket");
    client
}

/// Sends back what comes.
async fn echo(stream: annulus::net::TcpStream) -> io::Result<()> {
    while let Some(chunk) = stream.recv().await? {
        stream.send_all(chunk).await?;
    }
    Ok(())
}
