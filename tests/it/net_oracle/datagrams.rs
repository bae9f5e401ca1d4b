//! Datagrams: whole, cut, empty, refused, too long, from the wrong sender, to nobody, to a peer that turned away.

use std::io;
use std::net::{Shutdown, SocketAddr, UdpSocket as StdUdp};
use std::os::unix::net::UnixDatagram as StdUnix;
use std::path::Path;

use super::Seen;
use crate::support::names::Directory;

pub(super) trait Udp: Sized {
    async fn bind() -> io::Result<Self>;
    async fn connect(&self, peer: SocketAddr) -> io::Result<()>;
    async fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    async fn send_to(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<usize>;
    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Implements the trait for a socket whose methods wait or do not.
macro_rules! udp {
    ($socket:ty $(, $wait:tt)?) => {
        impl Udp for $socket {
            async fn bind() -> io::Result<Self> {
                Self::bind("127.0.0.1:0")$(.$wait)?
            }

            async fn connect(&self, peer: SocketAddr) -> io::Result<()> {
                self.connect(peer)$(.$wait)?
            }

            async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                self.send(bytes)$(.$wait)?
            }

            async fn send_to(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<usize> {
                self.send_to(bytes, peer)$(.$wait)?
            }

            async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                self.recv_from(buf)$(.$wait)?
            }

            async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
                self.peek_from(buf)$(.$wait)?
            }

            fn local_addr(&self) -> io::Result<SocketAddr> {
                self.local_addr()
            }
        }
    };
}

udp!(StdUdp);
udp!(tokio::net::UdpSocket, await);
udp!(annulus::net::UdpSocket, await);

/// A plain socket.
pub(super) fn plain() -> (StdUdp, SocketAddr) {
    let socket = StdUdp::bind("127.0.0.1:0").expect("bind");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

async fn datagrams<S: Udp>() -> Seen {
    let mut seen = Seen::default();
    let near = S::bind().await.expect("bind");
    let here = near.local_addr().expect("bound");
    let (far, peer) = plain();
    // Ports differ from run to run; whose it is does not.
    let whose = |(count, from): (usize, SocketAddr)| (count, from == peer);
    let mut buf = [0; 3];
    for text in ["one", "", "three", "4"] {
        far.send_to(text.as_bytes(), here).expect("sent");
        if text == "4" {
            seen.note("peek", near.peek_from(&mut buf).await.map(whose));
        }
        seen.note(text, near.recv_from(&mut buf).await.map(whose));
        seen.note("bytes", Ok(buf));
    }
    seen.note("send to nobody", near.send(b"x").await);
    seen.note("too long", near.send_to(&[0; 70_000], peer).await);
    seen.note("the longest", near.send_to(&vec![1; 65_507], peer).await);
    seen.note("its arrival", far.recv(&mut vec![0; 70_000]));
    seen.note("other family", near.send_to(b"x", "[::1]:9".parse().expect("a literal")).await);
    near.connect(peer).await.expect("connect");
    let (stranger, _) = plain();
    stranger.send_to(b"no", here).expect("sent");
    far.send_to(b"yes", here).expect("sent");
    seen.note("only the peer's", near.recv_from(&mut buf).await.map(whose));
    seen.note("send", near.send(b"answer").await);
    seen.note("arrives", far.recv(&mut [0; 16]));
    seen
}

async fn refusals<S: Udp>() -> Seen {
    let mut seen = Seen::default();
    let near = S::bind().await.expect("bind");
    let (_, closed) = plain();
    near.connect(closed).await.expect("connect");
    for round in ["first", "second"] {
        seen.note(round, near.send(b"x").await);
        seen.note("read", near.recv_from(&mut [0; 4]).await.map(|(count, _)| count));
    }
    // Where nobody reads, a later send says it.
    let error = loop {
        if let Err(error) = near.send(b"x").await {
            break error;
        }
    };
    seen.note::<()>("a later send", Err(error));
    let (_, open) = plain();
    near.connect(open).await.expect("connect");
    seen.note("elsewhere", near.local_addr().map(|address| address.ip()));
    seen
}

#[test]
fn udp_gives_the_same_datagrams() {
    same!(datagrams: StdUdp, tokio::net::UdpSocket, annulus::net::UdpSocket);
}

#[test]
fn udp_gives_the_same_refusals() {
    same!(refusals: StdUdp, tokio::net::UdpSocket, annulus::net::UdpSocket);
}

pub(super) trait Local: Sized {
    fn bind(path: &Path) -> io::Result<Self>;
    fn connect(&self, path: &Path) -> io::Result<()>;
    async fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    async fn send_to(&self, bytes: &[u8], path: &Path) -> io::Result<usize>;
    async fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, bool)>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

macro_rules! local {
    ($socket:ty $(, $wait:tt)?) => {
        impl Local for $socket {
            fn bind(path: &Path) -> io::Result<Self> {
                Self::bind(path)
            }

            fn connect(&self, path: &Path) -> io::Result<()> {
                self.connect(path)
            }

            async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                self.send(bytes)$(.$wait)?
            }

            async fn send_to(&self, bytes: &[u8], path: &Path) -> io::Result<usize> {
                self.send_to(bytes, path)$(.$wait)?
            }

            async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.recv(buf)$(.$wait)?
            }

            async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, bool)> {
                let (count, from) = self.recv_from(buf)$(.$wait)??;
                Ok((count, from.is_unnamed()))
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
        }
    };
}

local!(StdUnix);
local!(tokio::net::UnixDatagram, await);
local!(annulus::net::UnixDatagram, await);

async fn local<S: Local>() -> Seen {
    let mut seen = Seen::default();
    let directory = Directory::new();
    let (here, there) = (directory.path("here"), directory.path("there"));
    let near = S::bind(&here).expect("bind");
    seen.note("bound twice", S::bind(&here).map(drop));
    seen.note("no such path", near.send_to(b"x", &there).await);
    seen.note("connect to none", near.connect(&there));
    seen.note("not connected", near.send(b"x").await);
    let far = StdUnix::bind(&there).expect("bind");
    seen.note("send to", near.send_to(b"hello", &there).await);
    seen.note("arrives", far.recv(&mut [0; 16]));
    let nameless = StdUnix::unbound().expect("a socket");
    nameless.send_to(b"who", &here).expect("sent");
    seen.note("nameless", near.recv_from(&mut [0; 16]).await);
    far.send_to(b"named", &here).expect("sent");
    seen.note("cut", near.recv_from(&mut [0; 3]).await);
    near.connect(&there).expect("connect");
    seen.note("send", near.send(b"").await);
    seen.note("empty", far.recv(&mut [0; 16]));
    drop(far);
    seen.note("the peer is gone", near.send(b"x").await);
    seen.note("nobody is there", near.connect(&there));
    nameless.send_to(b"last", &here).expect("sent");
    seen.note("still receives", near.recv(&mut [0; 16]).await);
    reset_and_half_close(&mut seen, &near, &directory).await;
    seen
}

/// A peer that turns to another, which is a reset to whom it leaves, and a direction that ends.
async fn reset_and_half_close<S: Local>(seen: &mut Seen, near: &S, directory: &Directory) {
    let here = directory.path("here");
    let (peer, other) = (directory.path("peer"), directory.path("other"));
    let far = StdUnix::bind(&peer).expect("bind");
    let _third = StdUnix::bind(&other).expect("bind");
    near.connect(&peer).expect("connect");
    far.connect(&here).expect("connect");
    seen.note("to one that does not read", near.send(b"unread").await);
    far.connect(&other).expect("connect");
    seen.note("it has turned away", near.recv(&mut [0; 16]).await);
    seen.note("it has another", near.send(b"x").await);
    far.connect(&here).expect("connect");
    seen.note("it is back", near.send(b"again").await);
    seen.note("arrives", far.recv(&mut [0; 16]));
    seen.note("half-close", near.shutdown(Shutdown::Write));
    seen.note("after it", near.send(b"x").await);
    far.send(b"the other half").expect("sent");
    seen.note("is open", near.recv(&mut [0; 16]).await);
}

#[test]
fn unix_datagrams_are_the_same() {
    same!(local: StdUnix, tokio::net::UnixDatagram, annulus::net::UnixDatagram);
}
