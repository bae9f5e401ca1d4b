//! asyncio's datagrams and sockets of this machine.

use std::io;

use annulus::net::{UdpSocket, UnixListener, UnixStream};

use crate::support::names::{Directory, abstract_name};
use crate::support::settled::run as settled;

#[test]
fn loop_create_datagram_endpoint() {
    settled(async || {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        client.connect(server.local_addr().expect("bound")).await.expect("connect");
        client.send(b"hello").await.expect("send");
        let (text, peer) = server.recv_datagram().await.expect("a datagram").into_parts();
        server.send_owned_to(text, peer).await.expect("send");
        assert_eq!(&*client.recv_datagram().await.expect("the echo"), b"hello");
    });
}

#[test]
fn datagram_transport_sendto() {
    settled(async || {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
        let (near, far) = (near.await.expect("bind"), far.await.expect("bind"));
        let address = far.local_addr().expect("bound");
        assert_eq!(near.send_to(b"one", address).await.expect("send"), 3);
        assert_eq!(near.try_send_to(b"two", address).expect("send"), 3);
        assert_eq!(&*far.recv_datagram().await.expect("a datagram"), b"one");
    });
}

#[test]
fn datagram_protocol_datagram_received() {
    settled(async || {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        client.send_to(b"data", server.local_addr().expect("bound")).expect("send");
        let datagram = server.recv_datagram().await.expect("a datagram");
        assert_eq!(datagram.peer_addr(), client.local_addr().expect("bound"));
        assert_eq!(&*datagram, b"data");
    });
}

#[test]
fn datagram_protocol_error_received() {
    settled(async || {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        socket.connect(closed.expect("bound")).await.expect("connect");
        socket.send(b"anybody?").await.expect("send");
        let error = socket.recv_datagram().await.expect_err("nobody");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn loop_create_unix_server() {
    settled(async || {
        let directory = Directory::new();
        let path = directory.path("socket");
        let server = UnixListener::bind(&path).expect("bind");
        let client = UnixStream::connect(&path).await.expect("connect");
        let (stream, _unnamed) = server.accept().await.expect("accept");
        stream.write_all(b"hello").await.expect("the client is there");
        assert_eq!(&*client.recv().await.expect("whole").expect("bytes"), b"hello");
        drop(server);
        assert!(path.exists());
    });
}

#[test]
fn loop_create_unix_connection() {
    settled(async || {
        let name = abstract_name();
        let error = UnixStream::connect(&name).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let _server = UnixListener::bind(&name).expect("bind");
        UnixStream::connect(&name).await.expect("connect");
    });
}
