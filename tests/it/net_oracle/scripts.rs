//! Scripts that are drawn: connects, bytes both ways, half-closes, resets and datagrams in any order.
//!
//! A step is only drawn where all three must see the same: a read when there is something to read, and, after a reset,
//! a read before a write, because the socket has one error to give and a receive that stands takes it first.

use std::io::{self, Read, Write};
use std::net::{
    Shutdown, SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcp, UdpSocket as StdUdp,
};
use std::os::fd::AsFd;
use std::os::unix::net::{
    UnixDatagram as StdLocal, UnixListener as StdUnixListener, UnixStream as StdUnix,
};
use std::path::PathBuf;
use std::time::Duration;

use socket2::SockRef;

use super::Seen;
use super::datagrams::{Local, Udp, plain};
use super::streams::Stream;
use crate::support::names::Directory;
use crate::support::settled::{byte, content, rounds};

/// Steps of a script.
const STEPS: usize = 16;

/// Numbers that follow from a seed.
struct Draw {
    seed: usize,
    count: usize,
}

impl Draw {
    fn new(seed: usize) -> Self {
        Self { seed, count: 0 }
    }

    /// A number below `end`, at most 256.
    fn below(&mut self, end: usize) -> usize {
        self.count += 1;
        usize::from(byte(self.seed, self.count)) % end
    }
}

/// What a script knows of a connection.
#[derive(Default)]
struct Known {
    /// Bytes that the peer has sent, and those of them that were read.
    sent: usize,
    read: usize,
    peer_ended: bool,
    near_ended: bool,
}

/// Reads so many bytes, however they come in parts.
async fn read_len<S: Stream>(near: &mut S, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match near.read(&mut bytes[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(bytes)
}

/// A connection whose peer does as the draw says, to its end; the peer is dropped in the last step.
async fn converse<S: Stream, P: Read + Write + AsFd>(
    seen: &mut Seen,
    seed: usize,
    near: &mut S,
    mut peer: P,
    end: impl Fn(&P),
) {
    let (mut draw, mut known) = (Draw::new(seed), Known::default());
    let mut buf = [0; 64];
    for step in 0..STEPS {
        match draw.below(8) {
            0..3 if !known.peer_ended => {
                let len = 1 + draw.below(64);
                peer.write_all(&content(seed, known.sent, len)).expect("the stream is there");
                known.sent += len;
            }
            3..5 if known.read < known.sent => {
                let len = 1 + draw.below(known.sent - known.read);
                seen.note("read", read_len(near, len).await);
                known.read += len;
            }
            5 | 6 => {
                let len = 1 + draw.below(64);
                let written = near.write_all(&content(seed + 1, step, len)).await;
                if written.is_ok() {
                    seen.note(
                        "arrives",
                        peer.read_exact(&mut buf[..len]).map(|()| buf[..len].to_vec()),
                    );
                }
                seen.note("write", written);
            }
            7 if draw.below(3) == 0 && !known.near_ended => {
                seen.note("shutdown", near.shutdown().await);
                seen.note("the peer's end", peer.read(&mut buf));
                known.near_ended = true;
            }
            7 if draw.below(3) == 0 && !known.peer_ended => {
                end(&peer);
                known.peer_ended = true;
            }
            _ => {}
        }
    }
    let left = known.sent - known.read;
    if draw.below(2) == 0 && !known.peer_ended && !known.near_ended {
        // A Unix socket has no such option, and its close is no reset.
        let _ = SockRef::from(&peer).set_linger(Some(Duration::ZERO));
    }
    drop(peer);
    seen.note("the rest", read_len(near, left).await);
    for _ in 0..3 {
        seen.note("the end", near.read(&mut buf).await);
    }
    if !known.near_ended {
        // A write after the peer is gone may be the one that finds it out.
        let _ = near.write_all(b"x").await;
        let mut refused = near.write_all(b"x").await;
        while refused.is_ok() {
            refused = near.write_all(b"x").await;
        }
        seen.note(
            "write",
            refused.map_err(|error| match error.kind() {
                // Which of the two depends on who has seen the reset first.
                io::ErrorKind::ConnectionReset => io::ErrorKind::BrokenPipe.into(),
                _ => error,
            }),
        );
    }
}

async fn tcp<S: Stream<Address = SocketAddr>>() -> Seen {
    let mut seen = Seen::default();
    let listener = StdTcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    for seed in 0..rounds(30, 1000) {
        seen.note("script", Ok(seed));
        let mut near = S::connect(&address).await.expect("connect");
        let (peer, _) = listener.accept().expect("accept");
        let end = |peer: &StdTcp| peer.shutdown(Shutdown::Write).expect("a socket");
        converse(&mut seen, seed, &mut near, peer, end).await;
    }
    drop(listener);
    seen.note("refused", S::connect(&address).await.map(drop));
    seen
}

async fn unix<S: Stream<Address = PathBuf>>() -> Seen {
    let mut seen = Seen::default();
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = StdUnixListener::bind(&path).expect("bind");
    for seed in 0..rounds(30, 1000) {
        seen.note("script", Ok(seed));
        let mut near = S::connect(&path).await.expect("connect");
        let (peer, _) = listener.accept().expect("accept");
        let end = |peer: &StdUnix| peer.shutdown(Shutdown::Write).expect("a socket");
        converse(&mut seen, seed, &mut near, peer, end).await;
    }
    drop(listener);
    seen.note("refused", S::connect(&path).await.map(drop));
    seen
}

async fn udp<S: Udp>() -> Seen {
    let mut seen = Seen::default();
    for seed in 0..rounds(30, 1000) {
        seen.note("script", Ok(seed));
        let mut draw = Draw::new(seed);
        let near = S::bind().await.expect("bind");
        let here = near.local_addr().expect("bound");
        let peers: [(StdUdp, SocketAddr); 2] = [plain(), plain()];
        let (mut connected, mut waiting) = (None, 0);
        for step in 0..STEPS {
            let which = draw.below(2);
            let (peer, address) = &peers[which];
            let whose = |(count, from): (usize, SocketAddr)| {
                (count, peers.iter().position(|peer| peer.1 == from))
            };
            match draw.below(8) {
                0..3 => {
                    peer.send_to(&content(seed, step, draw.below(64)), here).expect("sent");
                    waiting += usize::from(connected.is_none_or(|peer| peer == which));
                }
                3..5 if waiting > 0 => {
                    let mut buf = vec![0; draw.below(64)];
                    if draw.below(4) == 0 {
                        seen.note("peek", near.peek_from(&mut buf).await.map(whose));
                    }
                    seen.note("receive", near.recv_from(&mut buf).await.map(whose));
                    seen.note("bytes", Ok(buf));
                    waiting -= 1;
                }
                5 | 6 => {
                    let bytes = content(seed + 1, step, draw.below(64));
                    let sent = match connected {
                        Some(_) => near.send(&bytes).await,
                        None => near.send_to(&bytes, *address).await,
                    };
                    seen.note("send", sent);
                    let mut buf = [0; 64];
                    let count = peers[connected.unwrap_or(which)].0.recv(&mut buf);
                    seen.note("arrives", count.map(|count| buf[..count].to_vec()));
                }
                // What came before stays; later only the peer's does.
                7 if draw.below(2) == 0 => {
                    seen.note("connect", near.connect(*address).await);
                    connected = Some(which);
                }
                _ => {}
            }
        }
    }
    seen
}

async fn local<S: Local>() -> Seen {
    let mut seen = Seen::default();
    for seed in 0..rounds(30, 1000) {
        seen.note("script", Ok(seed));
        let mut draw = Draw::new(seed);
        let directory = Directory::new();
        let (here, there) = (directory.path("near"), directory.path("far"));
        let near = S::bind(&here).expect("bind");
        let peer = StdLocal::bind(&there).expect("bind");
        let mut waiting = 0;
        for step in 0..STEPS {
            match draw.below(8) {
                // No more than the kernel keeps for one who does not read.
                0..3 if waiting < 5 => {
                    peer.send_to(&content(seed, step, draw.below(64)), &here).expect("sent");
                    waiting += 1;
                }
                3..5 if waiting > 0 => {
                    let mut buf = vec![0; draw.below(64)];
                    seen.note("receive", near.recv_from(&mut buf).await);
                    seen.note("bytes", Ok(buf));
                    waiting -= 1;
                }
                5 | 6 => {
                    let bytes = content(seed + 1, step, draw.below(64));
                    seen.note("send", near.send_to(&bytes, &there).await);
                    let mut buf = [0; 64];
                    let count = peer.recv(&mut buf);
                    seen.note("arrives", count.map(|count| buf[..count].to_vec()));
                }
                7 => seen.note("nobody", near.send_to(b"x", &directory.path("nobody")).await),
                _ => {}
            }
        }
        drop(peer);
        seen.note("gone", near.send_to(b"x", &there).await);
    }
    seen
}

#[test]
fn drawn_scripts_over_tcp_are_the_same() {
    same!(tcp: StdTcp, tokio::net::TcpStream, annulus::net::TcpStream);
}

#[test]
fn drawn_scripts_over_unix_streams_are_the_same() {
    same!(unix: StdUnix, tokio::net::UnixStream, annulus::net::UnixStream);
}

#[test]
fn drawn_scripts_over_udp_are_the_same() {
    same!(udp: StdUdp, tokio::net::UdpSocket, annulus::net::UdpSocket);
}

#[test]
fn drawn_scripts_over_unix_datagrams_are_the_same() {
    same!(local: StdLocal, tokio::net::UnixDatagram, annulus::net::UnixDatagram);
}
