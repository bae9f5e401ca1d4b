//! asyncio's sockets, datagrams and sockets of this machine.

use std::io;

use annulus::fs::File;
use annulus::io::{AsyncWriteExt, BufReader, BufWriter};
use annulus::net::{ListenOptions, TcpStream, UdpSocket, UnixListener, UnixStream};

use crate::support::files::nameless_file;
use crate::support::names::{Directory, abstract_name};
use crate::support::settled::{pair, read_to_end, run as settled};

#[test]
fn loop_create_connection() {
    settled(async || {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let open = server.local_addr().expect("bound");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        // The first refuses, the second accepts.
        let addresses = [closed.expect("bound"), open];
        let stream = TcpStream::connect(&addresses[..]).await.expect("one accepts");
        assert_eq!(stream.peer_addr().expect("connected"), open);
        TcpStream::connect(("127.0.0.1", open.port())).await.expect("a host and a port");
    });
}

#[test]
fn loop_create_server() {
    settled(async || {
        let server = ListenOptions::new().backlog(8).bind("127.0.0.1:0").await.expect("bind");
        let client = std::net::TcpStream::connect(server.local_addr().expect("bound"));
        let (_stream, peer) = server.accept().await.expect("accept");
        assert_eq!(peer, client.expect("connect").local_addr().expect("connected"));
    });
}

#[test]
fn loop_connect_accepted_socket() {
    settled(async || {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let client = TcpStream::connect(server.local_addr().expect("bound")).await.expect("open");
        let (accepted, _) = server.accept().expect("a connection");
        let accepted = TcpStream::from_std(accepted).expect("a socket");
        accepted.write_all(b"hello").await.expect("the client is there");
        assert_eq!(&*client.recv().await.expect("whole").expect("bytes"), b"hello");
    });
}

#[test]
fn loop_sock_recv() {
    settled(async || {
        let (near, mut far) = pair();
        io::Write::write_all(&mut far, b"hello").expect("room");
        let mut buf = [0; 2];
        assert_eq!(near.read(&mut buf).await.expect("bytes"), 2);
        let (count, rest) = near.read_owned(Vec::with_capacity(10)).await.expect("bytes");
        assert_eq!((&buf, count, &rest[..]), (b"he", 3, &b"llo"[..]));
    });
}

#[test]
fn loop_sendfile() {
    settled(async || {
        let (near, far) = pair();
        let file = File::from_std(nameless_file());
        file.write_all_at(b"0123456789".to_vec(), 0).await.expect("room");
        let mut last = 0;
        let sent = file.send_to(&near, 2..6, |count| last = count).await.expect("somebody reads");
        drop(near);
        assert_eq!((sent, last), (4, 4));
        assert_eq!(read_to_end(&far).await.expect("the end"), b"2345");
    });
}

#[test]
fn open_unix_connection() {
    settled(async || {
        let name = abstract_name();
        let server = UnixListener::bind(&name).expect("bind");
        let (reader, writer) = UnixStream::connect(&name).await.expect("open").into_split();
        let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
        let (far, _unnamed) = server.accept().await.expect("accept");
        writer.write_all(b"question\n").await.expect("it is gathered");
        writer.flush().await.expect("somebody reads");
        assert_eq!(&*far.recv().await.expect("whole").expect("bytes"), b"question\n");
        far.write_all(b"answer\n").await.expect("somebody reads");
        assert_eq!(reader.line().await.expect("a line"), Some(&b"answer"[..]));
    });
}

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
