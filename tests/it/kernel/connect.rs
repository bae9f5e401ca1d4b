//! CONNECT of a socket, with its answer or its refusal.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener};

use annulus::net::{TcpSocket, TcpStream};

use crate::support::settled::run;

#[test]
fn a_stream_reaches_the_listener() {
    run(async || {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (_far, peer) = listener.accept().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert_eq!(stream.local_addr().unwrap(), peer);
    });
}

#[test]
fn a_socket_connects_from_the_address_it_was_bound_to() {
    run(async || {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        let own: SocketAddr = "127.0.0.2:0".parse().unwrap();
        socket.bind(own).unwrap();
        let bound = socket.local_addr().unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap(), bound);
        assert_eq!(bound.ip(), own.ip());
    });
}

#[test]
fn a_refusal_names_the_address() {
    run(async || {
        let closed = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = TcpStream::connect(closed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    });
}
