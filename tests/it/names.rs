//! Names of hosts and lists of addresses: looked up beside the loop, tried in turn.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{
    SocketAddr, TcpListener as StdListener, TcpStream as StdStream, ToSocketAddrs,
    UdpSocket as StdUdpSocket,
};
use std::rc::Rc;
use std::time::Duration;

use annulus::net::{ListenOptions, TcpListener, TcpStream, UdpSocket, lookup_host};
use annulus::runtime::metrics;
use annulus::task::yield_now;
use annulus::time::{self, Instant};

use crate::support::settled::{poll_once, run, turn, until_operations};
use crate::support::skip::skip;

/// What std's own look-up of localhost gives, if this system knows the name.
fn localhost() -> Option<Vec<SocketAddr>> {
    let found = ("localhost", 80).to_socket_addrs().ok()?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.dedup();
    (!found.is_empty()).then_some(found)
}

#[test]
fn addresses_need_no_thread() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let near = TcpStream::connect(address.to_string()).await.unwrap();
        drop((near, TcpStream::connect(("127.0.0.1", address.port())).await.unwrap()));
        let found: Vec<_> = lookup_host(("::1".to_owned(), 7)).await.unwrap().collect();
        assert_eq!(found, ["[::1]:7".parse().unwrap()]);
        assert!(lookup_host("no port").await.is_err_and(|e| e.kind() == ErrorKind::InvalidInput));
        assert_eq!(metrics().blocking.threads, 0);
    });
}

#[test]
fn a_name_is_looked_up_on_a_thread_and_in_the_resolver_s_order() {
    let Some(expected) = localhost() else { skip!("this system does not know localhost") };
    run(async || {
        let mut found: Vec<_> = lookup_host("localhost:80").await.unwrap().collect();
        found.dedup();
        assert_eq!(found, expected);
        assert_eq!(metrics().blocking.threads, 1);
    });
}

#[test]
fn a_listener_and_a_stream_take_names() {
    if localhost().is_none() {
        skip!("this system does not know localhost");
    }
    run(async || {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let near = TcpStream::connect(("localhost", port)).await.unwrap();
        let (far, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, near.local_addr().unwrap());
        near.write_all(b"by name").await.unwrap();
        assert_eq!(&*far.recv().await.unwrap().unwrap(), b"by name");
        let listener = ListenOptions::new().bind("localhost:0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
        // What needs no runtime looks nothing up.
        let refused = TcpListener::bind_sharded("localhost:0").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("lookup_host"), "{refused}");
    });
}

#[test]
fn a_udp_socket_takes_names_and_the_first_address_of_a_list_that_will_do() {
    if localhost().is_none() {
        skip!("this system does not know localhost");
    }
    run(async || {
        let near = UdpSocket::bind("localhost:0").await.unwrap();
        let address = near.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let taken = StdUdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let holder = StdUdpSocket::bind(taken).unwrap();
        let free = "127.0.0.1:0".parse().unwrap();
        let far = UdpSocket::bind(vec![taken, free]).await.unwrap();
        assert_ne!(far.local_addr().unwrap(), taken);
        let error = UdpSocket::bind(&[taken, taken][..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // Of another family, or by name.
        far.connect(vec!["[::1]:9".parse().unwrap(), taken]).await.unwrap();
        assert_eq!(far.peer_addr().unwrap(), taken);
        let by_name = UdpSocket::bind((address.ip(), 0)).await.unwrap();
        by_name.connect(("localhost", address.port())).await.unwrap();
        by_name.send(b"by name").await.unwrap();
        assert_eq!(&*near.recv_datagram().await.unwrap(), b"by name");
        // It would be looked up for each datagram.
        let refused = far.send_to(b"x", "localhost:9").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("lookup_host"), "{refused}");
        drop(holder);
    });
}

/// An address that nobody listens on.
fn closed() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_refused_address_is_followed_by_the_next_at_once() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The clock stands, because it is paused and the core has something to do all the time.
        time::pause();
        let over = Rc::new(Cell::new(false));
        let ended = Rc::clone(&over);
        let busy = annulus::spawn(async move {
            while !ended.get() {
                yield_now().await;
            }
        });
        let start = Instant::now();
        let stream = TcpStream::connect(&[closed(), closed(), address][..]).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(stream.peer_addr().unwrap(), address);
        over.set(true);
        busy.await.unwrap();
    });
}

#[test]
fn if_all_fail_the_last_to_fail_says_why() {
    run(async || {
        let last = closed();
        let error = TcpStream::connect(vec![closed(), last]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&last.to_string()), "{error}");
        let none = TcpStream::connect(Vec::new()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
    });
}

/// A listener whose backlog is full, so that the next connect hangs; with what keeps it full. `None` where it never is.
fn silent() -> Option<(socket2::Socket, SocketAddr, Vec<StdStream>)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(50);
    let clients = std::iter::from_fn(|| StdStream::connect_timeout(&address, wait).ok());
    let clients: Vec<_> = clients.take(20).collect();
    (clients.len() < 20).then_some((socket, address, clients))
}

#[test]
fn a_silent_address_is_joined_by_the_next_and_closed_when_that_connects() {
    run(async || {
        let Some((_full, hangs, _clients)) = silent() else {
            skip!("the backlog of this kernel is never full")
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        time::pause();
        let start = Instant::now();
        let stream = TcpStream::connect(vec![hangs, hangs, address]).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
        assert_eq!(stream.peer_addr().unwrap(), address);
        time::resume();
        drop((stream, listener));
        until_operations(0).await;
    });
}

#[test]
fn a_dropped_connect_closes_all_attempts() {
    run(async || {
        let Some((_full, hangs, _clients)) = silent() else {
            skip!("the backlog of this kernel is never full")
        };
        time::pause();
        let mut connect = Box::pin(TcpStream::connect(vec![hangs; 3]));
        for attempts in 1..=3 {
            assert!(poll_once(&mut connect).await.is_pending());
            turn().await;
            assert!(metrics().live_operations >= attempts);
            time::advance(Duration::from_millis(250)).await;
        }
        time::resume();
        drop(connect);
        until_operations(0).await;
    });
}

#[test]
fn both_families_are_tried() {
    if StdListener::bind("[::1]:0").is_err() {
        skip!("no IPv6 here");
    }
    run(async || {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let v6 = listener.local_addr().unwrap();
        // Second, though third in the list: the families take turns.
        let addresses = vec![closed(), closed(), v6];
        let stream = TcpStream::connect(addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), v6);
    });
}
