//! Bare level-triggered epoll: the floor of what waits for readiness.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use super::never;
use crate::fan::{BUFFER, GREETING};
use crate::rival::{Rival, Server};
use crate::servers::raw_epoll;

pub(super) static RIVAL: Rival = Rival {
    name: "raw epoll",
    about: "a hand-written loop; for datagrams and the fan plain blocking calls",
    package: None,
    servers: &[
        ("echo", Server::Tcp(|listener, buffer| raw_epoll::serve(&listener, &never()?, buffer))),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan(&listener))),
    ],
    jobs: &[],
    lacks: &[("", "a floor of sockets and files alone")],
};

/// Two sockets to wait for, and a send for each subscriber, which their windows have room for.
#[allow(unsafe_code, reason = "poll")]
fn fan(listener: &TcpListener) -> io::Result<()> {
    let (mut publisher, _) = listener.accept()?;
    let mut subscribers: Vec<TcpStream> = Vec::new();
    let wait = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut waited = [wait(listener.as_raw_fd()), wait(publisher.as_raw_fd())];
    let mut buf = [0; BUFFER];
    loop {
        // SAFETY: the array is valid for reads and writes of two.
        if unsafe { libc::poll(waited.as_mut_ptr(), 2, -1) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if waited[0].revents != 0 {
            let (mut subscriber, _) = listener.accept()?;
            subscriber.write_all(&GREETING)?;
            subscribers.push(subscriber);
        }
        if waited[1].revents != 0 {
            let count = publisher.read(&mut buf)?;
            if count == 0 {
                return Ok(());
            }
            for subscriber in &mut subscribers {
                subscriber.write_all(&buf[..count])?;
            }
        }
    }
}

/// One socket needs no epoll.
fn udp(socket: UdpSocket) -> io::Result<()> {
    let mut buf = [0; 2048];
    loop {
        let (count, peer) = socket.recv_from(&mut buf)?;
        socket.send_to(&buf[..count], peer)?;
    }
}
