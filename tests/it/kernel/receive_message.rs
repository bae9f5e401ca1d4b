//! RECVMSG into buffers of the pool, armed once for many messages and once for each.

use std::net::UdpSocket as StdSocket;

use annulus::Builder;
use annulus::net::UdpSocket;
use annulus::runtime::{Feature, metrics};

use crate::support::settled::{assert_content, content, poll_and_drop, run_with, turn, until};

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

async fn pair() -> (UdpSocket, StdSocket) {
    let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let far = StdSocket::bind("127.0.0.1:0").unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

#[test]
fn messages_come_in_order_each_in_a_buffer_of_the_pool() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = pair().await;
            for class in [None, Some(1000)] {
                near.set_datagram_max(class);
                for round in 0..50 {
                    far.send(&content(0, round * 10, 10)).unwrap();
                    let (chunk, peer) = near.recv_datagram().await.unwrap().into_parts();
                    assert!(chunk.is_pooled());
                    assert_eq!((chunk.len(), peer), (10, far.local_addr().unwrap()));
                    assert_content(0, round * 10, &chunk);
                }
            }
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn an_idle_socket_holds_no_buffer() {
    for builder in both_forms() {
        run_with(builder, async || {
            let mut sockets = Vec::new();
            for _ in 0..100 {
                let (near, far) = pair().await;
                far.send(b"x").unwrap();
                drop(near.recv_datagram().await.unwrap());
                assert!(poll_and_drop(near.recv_datagram()).await.is_none());
                sockets.push((near, far));
            }
            turn().await;
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

/// An empty message ends a receive for many: the next is armed anew, and none is lost between.
#[test]
fn empty_messages_end_nothing() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = pair().await;
            assert!(poll_and_drop(near.recv_datagram()).await.is_none());
            turn().await;
            for round in 0..60_u8 {
                far.send(if round % 3 == 0 { &[] } else { std::slice::from_ref(&round) }).unwrap();
            }
            for round in 0..60_u8 {
                let datagram = near.recv_datagram().await.unwrap();
                assert_eq!(*datagram, *if round % 3 == 0 { vec![] } else { vec![round] });
            }
        });
    }
}

#[test]
fn a_burst_that_exhausts_the_buffers_is_taken_all_the_same() {
    for builder in both_forms() {
        run_with(builder.large_buffers(2048, 4), async || {
            let (near, far) = pair().await;
            assert!(poll_and_drop(near.readable()).await.is_none());
            turn().await;
            (0..100_u8).for_each(|round| _ = far.send(&[round]).unwrap());
            let mut held = Vec::new();
            for round in 0..100_u8 {
                let datagram = near.recv_datagram().await.unwrap();
                assert_eq!(*datagram, [round]);
                held.push(datagram);
            }
            assert!(metrics().lent_buffers <= 4);
            let mut count = 0;
            until(|| {
                count += 1;
                count > 3
            })
            .await;
        });
    }
}
