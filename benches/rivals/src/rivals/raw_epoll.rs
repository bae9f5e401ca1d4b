//! Bare level-triggered epoll: the floor of what waits for readiness.

use std::io;
use std::net::UdpSocket;

use super::never;
use crate::rival::{Rival, Server};
use crate::servers::raw_epoll;

pub(super) static RIVAL: Rival = Rival {
    name: "raw epoll",
    about: "a hand-written loop; for datagrams plain blocking calls",
    package: None,
    servers: &[
        ("echo", Server::Tcp(|listener, buffer| raw_epoll::serve(&listener, &never()?, buffer))),
        ("udp", Server::Udp(udp)),
    ],
    jobs: &[],
    lacks: &[("", "a floor of sockets and files alone")],
};

/// One socket needs no epoll.
fn udp(socket: UdpSocket) -> io::Result<()> {
    let mut buf = [0; 2048];
    loop {
        let (count, peer) = socket.recv_from(&mut buf)?;
        socket.send_to(&buf[..count], peer)?;
    }
}
