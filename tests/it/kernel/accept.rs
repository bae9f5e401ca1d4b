//! ACCEPT, armed once for many connections and once for each.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream as StdStream;
use std::time::Duration;

use annulus::Builder;
use annulus::net::TcpListener;
use annulus::runtime::Feature;

use crate::support::settled::{is_switched_off, poll_and_drop, run_with, turn, until};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotAccept)]
}

#[test]
fn every_client_is_accepted_once_with_its_address() {
    for builder in both_forms() {
        run_with(builder, async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let connect = |_| StdStream::connect(address).unwrap();
            let clients: Vec<StdStream> = (0..50).map(connect).collect();
            let expected: BTreeSet<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
            let mut peers = BTreeSet::new();
            for _ in 0..clients.len() {
                let (stream, peer) = listener.accept().await.unwrap();
                assert_eq!(stream.peer_addr().unwrap(), peer);
                assert_eq!(stream.local_addr().unwrap(), address);
                assert!(peers.insert(peer));
            }
            assert_eq!(peers, expected);
        });
    }
}

#[test]
fn a_late_client_is_accepted_by_the_accept_that_waits() {
    for builder in both_forms() {
        run_with(builder, async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                StdStream::connect(address).unwrap().local_addr().unwrap()
            });
            let (_stream, peer) = listener.accept().await.unwrap();
            assert_eq!(client.join().unwrap(), peer);
        });
    }
}

#[test]
fn untaken_connections_are_bounded_and_all_served() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept at a time takes one connection ahead, not several");
    }
    run_with(Builder::new().untaken_max(4), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(poll_and_drop(listener.accept_stream()).await.is_none(), "nobody came yet");
        turn().await;
        let mut clients = Vec::new();
        for _ in 0..60 {
            clients.push(StdStream::connect(address).unwrap());
            turn().await;
        }
        until(|| listener.untaken() >= 4).await;
        assert!(listener.untaken() < 30, "{} of 60 are untaken", listener.untaken());
        for _ in &clients {
            listener.accept_stream().await.unwrap();
        }
    });
}

#[test]
fn a_connection_that_nobody_took_ends_with_its_listener() {
    run_with(Builder::new(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(poll_and_drop(listener.accept_stream()).await.is_none(), "nobody came yet");
        let mut client = StdStream::connect(address).unwrap();
        until(|| listener.untaken() == 1).await;
        drop(listener);
        let end = client.read(&mut [0; 8]);
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        until(|| StdStream::connect(address).is_err()).await;
    });
}
