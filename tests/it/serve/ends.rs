//! How a server ends: asked to, in time and too late, dropped, with its listener, with its mesh.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::rc::Rc;
use std::time::Duration;

use annulus::mesh::{Cores, Mesh, Stop};
use annulus::net::{Limits, Served, TcpListener, serve};
use annulus::runtime::Feature;
use annulus::task::CancellationToken;
use annulus::time::Instant;
use socket2::SockRef;

use super::{client, echo, listener};
use crate::support::settled::{
    PATIENCE, is_switched_off, poll_once, read_len, read_some, read_to_end, run, turn, until,
    write_now,
};
use crate::support::skip::skip;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn connections_end_in_good_order_within_the_time_for_it() {
    run(async || {
        let (listener, address) = listener().await;
        let stop = CancellationToken::new();
        let server = serve(listener, Limits::new().drain(LONG), echo).until(stop.cancelled());
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        until(|| handle.connections() == 1).await;
        stop.cancel();
        until(|| StdStream::connect(address).is_err()).await;
        assert!(handle.is_stopping() && !server.is_finished());
        // The connection goes on until its own end.
        write_now(&client, b"still there");
        assert_eq!(read_len(&client, 11).await, b"still there");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.ended, served.total()), (1, 1));
        handle.ended().await;
    });
}

#[test]
fn those_that_take_too_long_are_cut_off() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().drain(Duration::from_millis(20)), echo);
        let handle = server.handle();
        let server = annulus::spawn(server);
        let clients = [client(address), client(address)];
        until(|| handle.connections() == 2).await;
        let asked = Instant::now();
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert!(asked.elapsed() >= Duration::from_millis(20));
        assert_eq!((served.aborted, served.total()), (2, 2));
        for client in clients {
            assert_eq!(read_to_end(&client).await.unwrap(), b"");
        }
    });
}

#[test]
fn what_was_accepted_before_the_end_is_served() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept that brings one connection brings none ahead");
    }
    run(async || {
        let (listener, address) = listener().await;
        let clients: Vec<_> = (0..5).map(|_| client(address)).collect();
        // All are accepted, and only the first is taken.
        let (first, _) = listener.accept().await.unwrap();
        until(|| listener.untaken() == 4).await;
        let server = serve(listener, Limits::new(), echo);
        server.handle().stop();
        let server = annulus::spawn(server);
        for client in &clients[1..] {
            write_now(client, b"hello");
            assert_eq!(read_len(client, 5).await, b"hello");
        }
        drop((first, clients));
        assert_eq!(server.await.unwrap().unwrap().ended, 4);
    });
}

#[test]
fn an_abort_does_not_wait() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().drain(LONG), async |_stream| {
            pending::<io::Result<()>>().await
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        until(|| handle.connections() == 1).await;
        handle.stop();
        turn().await;
        assert!(!server.is_finished());
        handle.abort();
        assert_eq!(server.await.unwrap().unwrap().aborted, 1);
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
    });
}

#[test]
fn a_dropped_server_takes_its_connections_along() {
    run(async || {
        let (listener, address) = listener().await;
        let mut server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        let client = client(address);
        let start = Instant::now();
        while handle.connections() == 0 {
            assert!(poll_once(&mut server).await.is_pending() && start.elapsed() < PATIENCE);
            turn().await;
        }
        write_now(&client, b"x");
        assert_eq!(read_len(&client, 1).await, b"x");
        let mut ended = Box::pin(handle.ended());
        assert!(poll_once(&mut ended).await.is_pending());
        drop(server);
        ended.await;
        until(|| handle.connections() == 0).await;
        assert_eq!(handle.served().aborted, 1);
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
        until(|| StdStream::connect(address).is_err()).await;
    });
}

#[test]
fn a_server_that_was_never_polled_closes_its_listener() {
    run(async || {
        let (listener, address) = listener().await;
        drop(serve(listener, Limits::new(), echo));
        until(|| StdStream::connect(address).is_err()).await;
    });
}

#[test]
fn the_error_of_the_listener_is_told_when_the_connections_have_ended() {
    run(async || {
        let (listener, address) = listener().await;
        let socket = SockRef::from(&listener).try_clone().unwrap();
        let ended = Rc::new(Cell::new(false));
        let ending = Rc::clone(&ended);
        let server = serve(listener, Limits::new(), async move |stream| {
            let echoed = echo(stream).await;
            ending.set(true);
            echoed
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        until(|| handle.connections() == 1).await;
        // Whoever shares the socket can end it under the server.
        socket.shutdown(Shutdown::Both).unwrap();
        until(|| handle.is_stopping()).await;
        assert!(!server.is_finished());
        write_now(&client, b"x");
        assert_eq!(read_len(&client, 1).await, b"x");
        drop(client);
        let error = server.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        assert!(ended.get());
    });
}

#[test]
fn a_server_on_every_core_ends_with_the_mesh() {
    const CLIENTS: usize = 40;
    let port = TcpListener::bind_sharded("127.0.0.1:0").unwrap();
    let (address, stop) = (port.local_addr(), Stop::new());
    let listening = std::sync::Barrier::new(3);
    let served = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            listening.wait();
            let clients: Vec<_> = (0..CLIENTS).map(|_| StdStream::connect(address)).collect();
            for client in &clients {
                let mut client = client.as_ref().expect("connect");
                client.write_all(b"x").expect("a connection");
                let mut answer = [0];
                io::Read::read_exact(&mut client, &mut answer).expect("an answer");
            }
            stop.stop();
            let mut rest = Vec::new();
            for client in clients {
                let client = client.expect("connected");
                client.set_nonblocking(true).expect("a socket");
                let start = std::time::Instant::now();
                while !read_some(&client, &mut rest).expect("an orderly end") {
                    assert!(start.elapsed() < PATIENCE);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mesh = Mesh::builder().cores(Cores::Count(2)).pin(false).stop(&stop);
        let served = mesh.run(async |shard| {
            let listener = port.listen()?;
            listening.wait();
            let stopping = CancellationToken::new();
            let ending = stopping.clone();
            let server = serve(listener, Limits::new(), async move |stream| {
                let next = async || stopping.run_until_cancelled(stream.recv()).await.transpose();
                while let Some(Some(chunk)) = next().await? {
                    stream.send_all(chunk).await?;
                }
                io::Result::Ok(())
            });
            let stopped = shard.stopped();
            server
                .until(async move {
                    stopped.await;
                    ending.cancel();
                })
                .await
        });
        clients.join().unwrap();
        served
    });
    let served: Served = served.unwrap().into_iter().sum();
    assert_eq!((served.ended, served.total()), (CLIENTS as u64, CLIENTS as u64));
}
