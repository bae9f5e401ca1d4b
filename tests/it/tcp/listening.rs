//! Listeners: what accepted connections inherit, and what becomes of those that died in the queue.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::time::{Duration, Instant};

use annulus::net::{ListenOptions, TcpListener, TcpSocket, TcpStream};
use socket2::SockRef;

use crate::support::settled::{PATIENCE, run, turn};
use crate::support::skip::skip;

#[test]
fn accepted_streams_inherit_what_the_listener_was_told() {
    run(async || {
        let options = ListenOptions::new().nodelay(true).keepalive(Some(Duration::from_secs(77)));
        let listener = options.bind("127.0.0.1:0").await.unwrap();
        let _client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        let plain = ListenOptions::new().bind("127.0.0.1:0").await.unwrap();
        let _client = StdStream::connect(plain.local_addr().unwrap()).unwrap();
        let (stream, _) = plain.accept().await.unwrap();
        assert!(!stream.nodelay().unwrap());
        assert!(!SockRef::from(&stream).keepalive().unwrap());
    });
}

#[test]
fn a_peer_that_is_gone_does_not_fail_the_accept() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let client = StdStream::connect(address).unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        }
        for _ in 0..20 {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, SocketAddr::from(([0, 0, 0, 0], 0)), "its address is gone with it");
            let error = stream.recv().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let _client = StdStream::connect(address).unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn incoming_gives_the_connections_one_after_the_other() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..5).map(|_| StdStream::connect(address).unwrap()).collect();
        let mut incoming = listener.incoming();
        for client in &clients {
            let stream = incoming.next().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
        }
    });
}

#[test]
fn several_tasks_accept_from_one_listener() {
    run(async || {
        let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let listener = std::rc::Rc::clone(&listener);
                annulus::spawn(async move {
                    for _ in 0..10 {
                        listener.accept().await.unwrap();
                    }
                })
            })
            .collect();
        turn().await;
        let _clients: Vec<_> = (0..40).map(|_| StdStream::connect(address).unwrap()).collect();
        crate::support::settled::joined(tasks).await;
    });
}

#[test]
fn a_port_in_use_is_named_and_shared_only_on_request() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        let shared = ListenOptions::new().reuse_port(true);
        let first = shared.bind("127.0.0.1:0").await.unwrap();
        shared.bind(first.local_addr().unwrap()).await.unwrap();
    });
}

#[test]
fn a_port_can_be_bound_again_while_old_connections_linger() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = StdStream::connect(address).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        drop((stream, listener));
        // The listener's descriptor is closed by the loop, a few turns after the drop.
        let start = Instant::now();
        while let Err(error) = TcpListener::bind(address).await {
            assert!(start.elapsed() < PATIENCE, "{error}");
            turn().await;
        }
        drop(client);
    });
}

#[test]
fn the_first_address_that_works_is_taken() {
    run(async || {
        let taken = StdListener::bind("127.0.0.1:0").unwrap();
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let list = [taken.local_addr().unwrap(), free];
        let listener = TcpListener::bind(list.as_slice()).await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stream = TcpStream::connect(vec![closed, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = TcpStream::connect(vec![closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(TcpListener::bind(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_listener_of_std_is_taken_over() {
    run(async || {
        for nonblocking in [false, true] {
            let plain = StdListener::bind("127.0.0.1:0").unwrap();
            plain.set_nonblocking(nonblocking).unwrap();
            let address = plain.local_addr().unwrap();
            let listener = TcpListener::from_std(plain).unwrap();
            assert_eq!(listener.local_addr().unwrap(), address);
            let accepting = annulus::spawn(async move { listener.accept().await.unwrap().1 });
            turn().await;
            let client = StdStream::connect(address).unwrap();
            assert_eq!(accepting.await.unwrap(), client.local_addr().unwrap());
        }
    });
}

/// An error that says more than that there is no IPv6.
fn is_wrong(error: &std::io::Error) -> bool {
    let absent = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT];
    let kind_absent = error.kind() == ErrorKind::AddrNotAvailable;
    !kind_absent && !error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

#[test]
fn ipv6_works_as_ipv4_does() {
    run(async || {
        let listener = match TcpListener::bind("[::1]:0").await {
            Err(error) if !is_wrong(&error) => skip!("no IPv6 here: {error}"),
            result => result.unwrap(),
        };
        let address = listener.local_addr().unwrap();
        assert!(address.is_ipv6());
        let client = TcpStream::connect(address).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        client.write_all(b"six").await.unwrap();
        assert_eq!(&*server.recv().await.unwrap().unwrap(), b"six");
        let only = TcpSocket::new_v6().unwrap();
        only.set_only_v6(true).unwrap();
        only.bind("[::]:0".parse().unwrap()).unwrap();
        let only = only.listen(8).unwrap();
        let port = only.local_addr().unwrap().port();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
        drop(TcpStream::connect(("::1", port)).await.unwrap());
    });
}
