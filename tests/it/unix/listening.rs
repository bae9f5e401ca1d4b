//! Unix listeners: names, files, peers, and connections that nobody took.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;

use annulus::net::{UnixListener, UnixStream};
use annulus::runtime::Feature;
use annulus::{Builder, spawn};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::child::inherited_descriptors;
use crate::support::names::{Directory, abstract_name};
use crate::support::settled::{
    is_switched_off, poll_and_drop, poll_once, run, run_with, turn, until, until_operations,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotAccept)]
}

#[test]
fn every_client_is_accepted_once_by_path_and_by_abstract_name() {
    for builder in both_forms() {
        run_with(builder, async || {
            let directory = Directory::new();
            for name in [directory.path("socket").display().to_string(), abstract_name()] {
                let listener = UnixListener::bind(&name).unwrap();
                let mut clients = Vec::new();
                for round in 0..20_u8 {
                    let client = UnixStream::connect(&name).await.unwrap();
                    client.write_all(&[round]).await.unwrap();
                    clients.push(client);
                }
                for round in 0..20_u8 {
                    let (stream, peer) = listener.accept().await.unwrap();
                    assert!(peer.is_unnamed());
                    assert_eq!(&*stream.recv().await.unwrap().unwrap(), &[round]);
                }
            }
        });
    }
}

#[test]
fn addresses_are_those_of_std() {
    run(async || {
        let directory = Directory::new();
        let path = directory.path("server");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_path()));
        // A client with a name of its own.
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let own = directory.path("client");
        socket.bind(&SockAddr::unix(&own).unwrap()).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_pathname(), Some(own.as_path()));
        assert_eq!(stream.local_addr().unwrap().as_pathname(), Some(path.as_path()));
        let address = SocketAddr::from_pathname(&path).unwrap();
        let client = UnixStream::connect_addr(&address).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_path()));
        assert!(client.local_addr().unwrap().is_unnamed());
    });
}

#[test]
fn a_path_stays_when_its_listener_is_dropped_and_cannot_be_bound_again() {
    run(async || {
        let directory = Directory::new();
        let path = directory.path("socket");
        drop(UnixListener::bind(&path).unwrap());
        until(|| StdStream::connect(&path).is_err()).await;
        assert!(path.exists(), "as with std and tokio");
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(StdListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path).unwrap();
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        UnixListener::bind(&path).unwrap();
    });
}

#[test]
fn paths_that_are_no_address_are_refused_and_leave_nothing() {
    run(async || {
        let directory = Directory::new();
        let long = directory.path("x".repeat(120));
        let broken = directory.path("a\0b");
        for path in [long.as_path(), broken.as_path(), Path::new(&format!("\0{long:?}"))] {
            let error = UnixListener::bind(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            let error = UnixStream::connect(path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        let error = UnixListener::bind(directory.path("no/such/place")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_dropped_accept_leaves_the_connection_to_the_next() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept at a time takes one connection ahead, not several");
    }
    run(async || {
        let name = abstract_name();
        let listener = UnixListener::bind(&name).unwrap();
        assert!(poll_and_drop(listener.accept()).await.is_none());
        turn().await;
        assert!(poll_and_drop(listener.accept_stream()).await.is_none());
        let mut clients = Vec::new();
        for round in 0..3_u8 {
            let client = UnixStream::connect(&name).await.unwrap();
            client.write_all(&[round]).await.unwrap();
            clients.push(client);
        }
        until(|| listener.untaken() == 3).await;
        for round in 0..3_u8 {
            let stream = listener.accept_stream().await.unwrap();
            assert_eq!(&*stream.recv().await.unwrap().unwrap(), &[round]);
        }
        assert_eq!(listener.untaken(), 0);
    });
}

#[test]
fn untaken_connections_are_bounded_and_end_with_their_listener() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept at a time takes one connection ahead, not several");
    }
    run_with(Builder::new().untaken_max(2), async || {
        let name = abstract_name();
        let listener = UnixListener::bind(&name).unwrap();
        assert!(poll_and_drop(listener.accept()).await.is_none());
        turn().await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(UnixStream::connect(&name).await.unwrap());
            turn().await;
        }
        until(|| listener.untaken() >= 2).await;
        assert!(listener.untaken() < 15, "{} of 20 are untaken", listener.untaken());
        for _ in 0..5 {
            listener.accept_stream().await.unwrap();
        }
        drop(listener);
        for client in clients {
            assert!(client.recv().await.map_or(true, |chunk| chunk.is_none()));
        }
        assert!(UnixStream::connect(&name).await.is_err());
    });
}

/// A listening socket whose backlog of one is full, with those that fill it.
fn full_backlog(name: &str, kind: Type) -> (OwnedFd, Vec<Socket>) {
    let address = SockAddr::unix(name).unwrap();
    let socket = Socket::new(Domain::UNIX, kind, None).unwrap();
    socket.bind(&address).unwrap();
    socket.listen(0).unwrap();
    let filling = (0..4).map(|_| {
        let socket = Socket::new(Domain::UNIX, kind, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    });
    let filling = filling.collect();
    (OwnedFd::from(socket), filling)
}

#[test]
fn a_connect_waits_while_the_backlog_is_full() {
    run(async || {
        let name = abstract_name();
        let (listener, filling) = full_backlog(&name, Type::STREAM);
        let listener = StdListener::from(listener);
        let connecting = spawn(async move { UnixStream::connect(&name).await });
        for _ in 0..5 {
            turn().await;
        }
        assert!(!connecting.is_finished());
        listener.set_nonblocking(true).unwrap();
        let mut accepted = Vec::new();
        until(|| {
            accepted.extend(listener.accept().ok());
            connecting.is_finished()
        })
        .await;
        connecting.await.unwrap().expect("there was room in the end");
        drop(filling);
    });
}

/// Drops a connect that waits for room in the backlog; nothing of it is left then.
pub(super) async fn drop_a_connect_that_waits<T>(
    kind: Type,
    connect: impl AsyncFnOnce(String) -> std::io::Result<T>,
) {
    let name = abstract_name();
    let (full, filling) = full_backlog(&name, kind);
    let mut connecting = Box::pin(connect(name));
    assert!(poll_once(&mut connecting).await.is_pending());
    for _ in 0..3 {
        turn().await;
    }
    assert!(poll_once(&mut connecting).await.is_pending());
    drop(connecting);
    until_operations(0).await;
    drop((full, filling));
}

#[test]
fn a_connect_that_is_dropped_while_it_waits_closes_its_socket() {
    run(async || drop_a_connect_that_waits(Type::STREAM, UnixStream::connect).await);
}

#[test]
fn the_peers_credentials_are_those_of_this_process() {
    run(async || {
        let name = abstract_name();
        let listener = UnixListener::bind(&name).unwrap();
        let client = UnixStream::connect(&name).await.unwrap();
        let server = listener.accept_stream().await.unwrap();
        let own = std::fs::metadata("/proc/self").ok().map(|own| {
            use std::os::unix::fs::MetadataExt;
            (own.uid(), own.gid())
        });
        for stream in [&client, &server] {
            let found = stream.peer_cred().unwrap();
            assert_eq!(found.pid(), Some(std::process::id() as i32));
            if let Some(own) = own {
                assert_eq!((found.uid(), found.gid()), own);
            }
        }
        let (read, write) = server.into_split();
        assert_eq!(read.peer_cred().unwrap(), client.peer_cred().unwrap());
        drop(write);
    });
}

#[test]
fn a_listener_of_std_is_taken_over() {
    run(async || {
        let name = abstract_name();
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
        let plain = StdListener::bind_addr(&address).unwrap();
        let listener = UnixListener::from_std(plain).unwrap();
        let mut client = StdStream::connect_addr(&address).unwrap();
        client.write_all(b"std").unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(&*stream.recv().await.unwrap().unwrap(), b"std");
        stream.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), address.as_abstract_name());
    });
}

#[test]
fn no_unix_socket_reaches_a_child() {
    for builder in both_forms() {
        run_with(builder, async || {
            let name = abstract_name();
            let listener = UnixListener::bind(&name).unwrap();
            let client = UnixStream::connect(&name).await.unwrap();
            let server = listener.accept_stream().await.unwrap();
            let pair = UnixStream::pair().unwrap();
            client.write_all(b"x").await.unwrap();
            drop(server.recv().await.unwrap());
            turn().await;
            assert_eq!(inherited_descriptors(), Vec::<String>::new());
            drop((pair, listener));
        });
    }
}
