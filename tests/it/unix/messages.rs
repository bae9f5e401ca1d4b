//! Datagrams and sequenced packets: whole messages with their senders, none lost, none dropped on the way.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;

use annulus::net::{UnixDatagram, UnixSeqpacket, UnixSeqpacketListener};
use annulus::runtime::{Feature, metrics};
use annulus::time::timeout;
use annulus::{Builder, Runtime, spawn};
use socket2::Type;

use super::listening::drop_a_connect_that_waits;
use crate::support::child::inherited_descriptors;
use crate::support::leak::LeakGuard;
use crate::support::names::{Directory, abstract_name};
use crate::support::settled::{
    Drops, assert_content, content, poll_and_drop, poll_once, run, run_with, turn, until,
    until_done, until_operations,
};

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

#[test]
fn datagrams_come_whole_with_the_name_of_their_sender() {
    for builder in both_forms() {
        run_with(builder, async || {
            let directory = Directory::new();
            let hidden = abstract_name();
            for name in [directory.path("one").display().to_string(), hidden] {
                let near = UnixDatagram::bind(&name).unwrap();
                let other = directory.path("two");
                let far = UnixDatagram::bind(&other).unwrap();
                for size in [0, 1, 1000, 20_000] {
                    far.send_to(&content(1, 0, size), &name).await.unwrap();
                    let message = near.recv_message().await.unwrap();
                    assert_content(1, 0, &message);
                    assert_eq!((message.len(), message.is_truncated()), (size, false));
                    let sender = message.peer_addr().unwrap();
                    assert_eq!(sender.as_pathname(), Some(other.as_path()));
                    far.try_send_to(b"tried", &name).unwrap();
                    let (count, sender) = near.recv_from(&mut [0; 3]).await.unwrap();
                    assert_eq!((count, sender.as_pathname()), (3, Some(other.as_path())));
                }
                let nameless = UnixDatagram::unbound().unwrap();
                nameless.connect(&name).unwrap();
                nameless.send(b"who?").await.unwrap();
                assert!(near.recv_message().await.unwrap().peer_addr().is_none());
                nameless.send_owned_to("again", &near.local_addr().unwrap()).await.unwrap();
                assert!(near.recv_from(&mut [0; 8]).await.unwrap().1.is_unnamed());
                drop(far);
                std::fs::remove_file(&other).unwrap();
            }
        });
    }
}

#[test]
fn what_a_buffer_does_not_hold_of_a_message_is_lost_and_the_message_says_so() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            let (one, other) = UnixSeqpacket::pair().unwrap();
            for round in 0..3 {
                near.send(&content(round, 0, 100_000)).await.unwrap();
                one.send(&content(round, 0, 100_000)).await.unwrap();
                let messages = [
                    far.recv_message().await.unwrap(),
                    other.recv_message().await.unwrap().expect("a packet"),
                ];
                for message in messages {
                    assert!(message.is_truncated() && !message.is_control_truncated());
                    assert!((64_320..=65_536).contains(&message.len()), "{}", message.len());
                    assert_content(round, 0, &message);
                }
                near.send(b"next").await.unwrap();
                let message = far.recv_message().await.unwrap();
                assert_eq!((&*message, message.is_truncated()), (b"next".as_slice(), false));
            }
        });
    }
}

#[test]
fn errors_are_those_of_std() {
    run(async || {
        let directory = Directory::new();
        let path = directory.path("socket");
        let near = UnixDatagram::unbound().unwrap();
        let error = near.send_to(b"x", &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(near.connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        drop(StdDatagram::bind(&path).unwrap());
        let error = near.connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(near.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
        let long = directory.path("x".repeat(200));
        assert_eq!(near.send_to(b"", &long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(UnixDatagram::bind(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        let (near, far) = UnixDatagram::pair().unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(far);
    });
}

/// The kernel gives an empty message, or none, but keeps nobody busy with that.
#[test]
fn a_read_of_a_direction_that_was_shut_down_keeps_nobody_busy() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            far.send(b"before").await.unwrap();
            near.shutdown(Shutdown::Read).unwrap();
            assert_eq!(far.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(near.recv(&mut [0; 16]).await.unwrap(), 6);
            let before = metrics().enters;
            let read = timeout(Duration::from_millis(50), near.recv(&mut [0; 4])).await;
            assert!(read.is_err() || matches!(read, Ok(Ok(0))), "{read:?}");
            assert!(metrics().enters - before < 20, "{} calls", metrics().enters - before);
        });
    }
}

/// Fills a peer that does not read; how many messages it took.
fn fill(near: &UnixDatagram) -> usize {
    (0..10_000).take_while(|_| near.try_send(&[0; 100]).is_ok()).count()
}

#[test]
fn a_send_waits_for_a_peer_that_does_not_read_and_nothing_is_dropped() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        let filled = fill(&near);
        assert_eq!(near.try_send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut send = Box::pin(near.send(b"waits"));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        turn().await;
        assert!(poll_once(&mut send).await.is_pending());
        for _ in 0..filled {
            assert_eq!(far.recv(&mut [0; 200]).await.unwrap(), 100);
        }
        send.await.unwrap();
        assert_eq!(&*far.recv_message().await.unwrap(), b"waits");
    });
}

#[test]
fn a_dropped_send_that_waits_leaves_whole() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        let drops = Drops::default();
        let filled = fill(&near);
        let mut send = Box::pin(near.send_owned(drops.buffer(content(0, 0, 500))));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        drop(near);
        assert_eq!((drops.count(), metrics().lingering_streams), (0, 1));
        for _ in 0..filled {
            far.recv(&mut [0; 200]).await.unwrap();
        }
        let message = far.recv_message().await.unwrap();
        assert_eq!(message.len(), 500);
        assert_content(0, 0, &message);
        until(|| drops.count() == 1).await;
    });
}

#[test]
fn a_dropped_socket_lingers_no_longer_than_it_may() {
    run_with(Builder::new().linger(Duration::from_millis(20)), async || {
        let name = abstract_name();
        let plain = UnixDatagram::bind(&name).unwrap();
        for connected in [true, false] {
            let near = UnixDatagram::unbound().unwrap();
            let drops = Drops::default();
            near.connect(&name).unwrap();
            while near.try_send(&[0; 100]).is_ok() {}
            let address = plain.local_addr().unwrap();
            let other = UnixDatagram::unbound().unwrap();
            let buffer = drops.buffer(vec![1; 10]);
            if connected {
                let mut send = Box::pin(near.send_owned(buffer));
                assert!(poll_once(&mut send).await.is_pending());
                turn().await;
            } else {
                let mut send = Box::pin(other.send_owned_to(buffer, &address));
                assert!(poll_once(&mut send).await.is_pending());
                turn().await;
            }
            drop((near, other));
            until(|| drops.count() == 1).await;
            until_operations(0).await;
        }
    });
}

#[test]
fn a_dropped_read_of_any_kind_leaves_the_message_to_the_next() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            assert!(poll_and_drop(near.recv_message()).await.is_none());
            assert!(poll_and_drop(near.recv(&mut [0])).await.is_none());
            assert!(poll_and_drop(near.recv_from(&mut [0])).await.is_none());
            assert!(poll_and_drop(near.recv_with_fds(&mut [0])).await.is_none());
            assert!(poll_and_drop(near.readable()).await.is_none());
            turn().await;
            let mut read = Box::pin(near.recv_message());
            until_done(&mut read, async || _ = far.send(b"one").await.unwrap()).await;
            drop(read);
            near.readable().await.unwrap();
            let mut buf = [0; 8];
            assert_eq!(near.try_recv(&mut buf).unwrap(), 3);
            assert_eq!(near.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    }
}

#[test]
fn a_dropped_read_of_packets_leaves_them_to_the_next_and_a_dropped_shutdown_nothing() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixSeqpacket::pair().unwrap();
            assert!(poll_and_drop(near.recv_message()).await.is_none());
            assert!(poll_and_drop(near.recv(&mut [0])).await.is_none());
            assert!(poll_and_drop(near.recv_with_fds(&mut [0])).await.is_none());
            assert!(poll_and_drop(near.readable()).await.is_none());
            turn().await;
            let mut read = Box::pin(near.recv_message());
            until_done(&mut read, async || _ = far.send(b"one").await.unwrap()).await;
            drop(read);
            assert_eq!(&*near.recv_message().await.unwrap().expect("a packet"), b"one");
            // A send that waits holds the end of its direction up.
            let mut filled = 0;
            while !is_under_way(&far).await {
                let mut send = Box::pin(far.send_owned(vec![filled as u8; 1000]));
                assert!(filled < 100_000, "the peer takes no end");
                let _ = poll_once(&mut send).await;
                turn().await;
                filled += 1;
            }
            assert!(poll_and_drop(far.writable()).await.is_none());
            assert!(poll_and_drop(far.shutdown()).await.is_none());
            for number in 0..filled {
                let packet = near.recv_message().await.unwrap().expect("a packet");
                assert_eq!((packet.len(), packet[0]), (1000, number as u8));
            }
            far.send(b"still open").await.unwrap();
            assert_eq!(near.recv(&mut [0; 16]).await.unwrap(), 10);
        });
    }
}

#[test]
fn a_connect_of_packets_that_is_dropped_while_it_waits_closes_its_socket() {
    run(async || {
        drop_a_connect_that_waits(Type::SEQPACKET, UnixSeqpacket::connect).await;
    });
}

#[test]
fn a_dropped_into_std_drops_the_socket_and_what_it_held() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        drop(far.send_with_fds("x", vec![null.into()]).await.unwrap());
        near.readable().await.unwrap();
        let mut into = Box::pin(near.into_std());
        // A receive for many is still armed.
        let ready = poll_once(&mut into).await;
        drop((ready, into));
        until_operations(0).await;
        let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
        until(|| far.try_send(b"x").is_err_and(refused)).await;
    });
}

#[test]
fn a_datagram_socket_goes_to_std_and_back_with_what_had_come() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.send(b"before").await.unwrap();
        near.readable().await.unwrap();
        let (plain, rest) = near.into_std().await.unwrap();
        assert_eq!(rest.iter().map(|message| message.to_vec()).collect::<Vec<_>>(), [b"before"]);
        far.send(b"between").await.unwrap();
        assert_eq!(plain.recv(&mut [0; 16]).unwrap(), 7);
        let near = UnixDatagram::from_std(plain).unwrap();
        far.send(b"after").await.unwrap();
        assert_eq!(&*near.recv_message().await.unwrap(), b"after");
        assert!(near.local_addr().unwrap().is_unnamed() && near.peer_addr().unwrap().is_unnamed());
        near.writable().await.unwrap();
    });
}

#[test]
fn packets_stay_apart_and_in_order_to_the_end() {
    for builder in both_forms() {
        run_with(builder, async || {
            let directory = Directory::new();
            for name in [directory.path("socket").display().to_string(), abstract_name()] {
                let listener = UnixSeqpacketListener::bind(&name).unwrap();
                assert!(poll_and_drop(listener.accept()).await.is_none());
                let client = UnixSeqpacket::connect(&name).await.unwrap();
                let server = listener.accept().await.unwrap();
                assert_eq!(listener.untaken(), 0);
                assert_eq!(server.peer_cred().unwrap().pid(), Some(std::process::id() as i32));
                assert!(!client.peer_addr().unwrap().is_unnamed());
                let sending = spawn(async move {
                    for size in 1..200 {
                        client.send(&content(size, 0, size * 50)).await.unwrap();
                    }
                    client.shutdown().await.unwrap();
                    assert_eq!(client.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
                    assert_eq!(&*client.recv_message().await.unwrap().unwrap(), b"answer");
                    assert!(client.recv_message().await.unwrap().is_none());
                });
                for size in 1..200 {
                    let message = server.recv_message().await.unwrap().expect("a message");
                    assert_eq!(message.len(), size * 50);
                    assert_content(size, 0, &message);
                }
                for _ in 0..2 {
                    assert!(server.recv_message().await.unwrap().is_none(), "the end stays");
                    assert_eq!(server.recv(&mut [0]).await.unwrap(), 0);
                }
                server.send_owned("answer").await.unwrap();
                drop(server);
                sending.await.unwrap();
            }
        });
    }
}

/// Whether a send waits in the kernel.
async fn is_under_way(socket: &UnixSeqpacket) -> bool {
    poll_and_drop(socket.writable()).await.is_none()
}

#[test]
fn packets_keep_their_order_also_behind_a_dropped_send() {
    run(async || {
        let (near, far) = UnixSeqpacket::pair().unwrap();
        let receiving = spawn(async move {
            for number in 0..500_u32 {
                let message = far.recv_message().await.unwrap().expect("a message");
                assert_eq!(message[..4], number.to_ne_bytes());
            }
            assert!(far.recv_message().await.unwrap().is_none());
        });
        for number in 0..500_u32 {
            let mut message = number.to_ne_bytes().to_vec();
            message.resize(3000, 0);
            let mut send = Box::pin(near.send_owned(message));
            if number % 3 > 0 {
                send.await.unwrap();
                continue;
            }
            // In the kernel, if it has no room: the next ones wait behind it.
            while poll_once(&mut send).await.is_pending() && !is_under_way(&near).await {}
            turn().await;
            drop(send);
        }
        drop(near);
        receiving.await.unwrap();
    });
}

#[test]
fn a_peer_that_read_not_all_is_a_reset() {
    run(async || {
        let (near, far) = UnixSeqpacket::pair().unwrap();
        near.send(b"unread").await.unwrap();
        drop(far);
        assert_eq!(near.recv(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(near.recv_message().await.unwrap().is_none());
    });
}

#[test]
fn no_socket_of_messages_reaches_a_child() {
    run(async || {
        let name = abstract_name();
        let listener = UnixSeqpacketListener::bind(&name).unwrap();
        let client = UnixSeqpacket::connect(&name).await.unwrap();
        let server = listener.accept().await.unwrap();
        let pairs = (UnixDatagram::pair().unwrap(), UnixSeqpacket::pair().unwrap());
        let unbound = UnixDatagram::unbound().unwrap();
        turn().await;
        assert_eq!(inherited_descriptors(), Vec::<String>::new());
        drop((client, server, pairs, unbound));
    });
}

/// A send that waits, and descriptors that nobody received, when the runtime ends before the socket.
#[test]
fn what_outlives_its_runtime_ends_with_it() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("io_uring");
    let drops = Drops::default();
    let (near, far) = runtime.block_on(async {
        let (near, far) = UnixDatagram::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        drop(near.send_with_fds("x", vec![null.into()]).await.unwrap());
        far.readable().await.unwrap();
        fill(&near);
        let mut send = Box::pin(near.send_owned(drops.buffer(vec![1; 10])));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        (near, far)
    });
    // The send is cancelled when half of the time is over.
    assert_eq!(runtime.shutdown(Duration::from_secs(3)), Ok(()));
    assert_eq!(drops.count(), 1, "cancelled");
    drop((near, far));
}
