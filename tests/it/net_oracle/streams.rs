//! Streams: connects, half-closes and resets, of TCP and of Unix sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcp};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnix};
use std::path::PathBuf;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Seen;
use crate::support::names::Directory;

/// A stream under test; reads and writes are of its kind.
pub(super) trait Stream: Sized {
    type Address;

    async fn connect(address: &Self::Address) -> io::Result<Self>;
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    async fn shutdown(&mut self) -> io::Result<()>;
}

macro_rules! std_stream {
    ($stream:ty, $address:ty) => {
        impl Stream for $stream {
            type Address = $address;

            async fn connect(address: &$address) -> io::Result<Self> {
                Self::connect(address)
            }

            async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                Read::read(self, buf)
            }

            async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                Write::write_all(self, bytes)
            }

            async fn shutdown(&mut self) -> io::Result<()> {
                (&*self).shutdown(Shutdown::Write)
            }
        }
    };
}

macro_rules! tokio_stream {
    ($stream:ty, $address:ty) => {
        impl Stream for $stream {
            type Address = $address;

            async fn connect(address: &$address) -> io::Result<Self> {
                Self::connect(address).await
            }

            async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                AsyncReadExt::read(self, buf).await
            }

            async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                AsyncWriteExt::write_all(self, bytes).await
            }

            async fn shutdown(&mut self) -> io::Result<()> {
                AsyncWriteExt::shutdown(self).await
            }
        }
    };
}

macro_rules! our_stream {
    ($stream:ty, $address:ty) => {
        impl Stream for $stream {
            type Address = $address;

            async fn connect(address: &$address) -> io::Result<Self> {
                Self::connect(address).await
            }

            async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf).await
            }

            async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                (&*self).write_all(bytes).await
            }

            async fn shutdown(&mut self) -> io::Result<()> {
                (&*self).shutdown().await
            }
        }
    };
}

std_stream!(StdTcp, SocketAddr);
std_stream!(StdUnix, PathBuf);
tokio_stream!(tokio::net::TcpStream, SocketAddr);
tokio_stream!(tokio::net::UnixStream, PathBuf);
our_stream!(annulus::net::TcpStream, SocketAddr);
our_stream!(annulus::net::UnixStream, PathBuf);

/// Both directions end, one after the other; `peer` is the other end.
async fn half_closes<S: Stream>(
    seen: &mut Seen,
    near: &mut S,
    mut peer: impl Read + Write,
    end: impl FnOnce(),
) {
    let mut buf = [0; 8];
    seen.note("write", near.write_all(b"question").await);
    seen.note("arrives", peer.read(&mut buf));
    peer.write_all(b"answer").expect("the stream is there");
    end();
    seen.note("answer", near.read(&mut buf).await);
    seen.note("end", near.read(&mut buf).await);
    seen.note("end again", near.read(&mut buf).await);
    seen.note("empty read", near.read(&mut []).await);
    seen.note("write on", near.write_all(b"more").await);
    seen.note("more", peer.read(&mut buf));
    seen.note("shutdown", near.shutdown().await);
    seen.note("the peer's end", peer.read(&mut buf));
    seen.note("write after it", near.write_all(b"x").await);
}

async fn tcp<S: Stream<Address = SocketAddr>>() -> Seen {
    let mut seen = Seen::default();
    let closed = StdTcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("bound");
    seen.note("refused", S::connect(&closed).await.map(drop));
    let listener = StdTcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    let mut near = S::connect(&address).await.expect("connect");
    let (peer, _) = listener.accept().expect("accept");
    let end = || peer.shutdown(Shutdown::Write).expect("a socket");
    half_closes(&mut seen, &mut near, &peer, end).await;
    // A reset, with bytes before it or without.
    for text in [b"".as_slice(), b"last"] {
        let mut near = S::connect(&address).await.expect("connect");
        let (mut peer, _) = listener.accept().expect("accept");
        Write::write_all(&mut peer, text).expect("the stream is there");
        let mut buf = [0; 8];
        if !text.is_empty() {
            seen.note("before", near.read(&mut buf).await);
        }
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(peer);
        seen.note("reset", near.read(&mut buf).await);
        seen.note("afterwards", near.read(&mut buf).await);
        seen.note("write", near.write_all(b"x").await);
    }
    seen
}

async fn unix<S: Stream<Address = PathBuf>>() -> Seen {
    let mut seen = Seen::default();
    let directory = Directory::new();
    let path = directory.path("socket");
    seen.note("not there", S::connect(&path).await.map(drop));
    let listener = StdUnixListener::bind(&path).expect("bind");
    let mut near = S::connect(&path).await.expect("connect");
    let (peer, _) = listener.accept().expect("accept");
    let end = || peer.shutdown(Shutdown::Write).expect("a socket");
    half_closes(&mut seen, &mut near, &peer, end).await;
    // What lay unread at the peer makes its end a reset.
    let mut near = S::connect(&path).await.expect("connect");
    let (peer, _) = listener.accept().expect("accept");
    near.write_all(b"unread").await.expect("the peer is there");
    drop(peer);
    let mut buf = [0; 8];
    seen.note("reset", near.read(&mut buf).await);
    seen.note("afterwards", near.read(&mut buf).await);
    seen.note("write", near.write_all(b"x").await);
    drop(listener);
    seen.note("refused", S::connect(&path).await.map(drop));
    let long = directory.path("x".repeat(200));
    seen.note("too long", S::connect(&long).await.map(drop));
    seen
}

#[test]
fn tcp_streams_are_the_same() {
    same!(tcp: StdTcp, tokio::net::TcpStream, annulus::net::TcpStream);
}

#[test]
fn unix_streams_are_the_same() {
    same!(unix: StdUnix, tokio::net::UnixStream, annulus::net::UnixStream);
}
