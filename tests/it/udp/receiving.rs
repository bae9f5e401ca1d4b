//! Receiving: whole datagrams with their senders, bounded while nobody reads, and not one lost to a dropped read.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use annulus::net::UdpSocket;
use annulus::runtime::{Feature, metrics};
use annulus::{Builder, Runtime, spawn};

use crate::support::leak::LeakGuard;
use crate::support::settled::{
    PATIENCE, assert_content, content, is_switched_off, joined, poll_and_drop, poll_flagged,
    poll_once, run, run_with, turn, until, until_done, until_operations,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

/// A socket of ours, its address, and a plain one that sends to it.
async fn pair() -> (UdpSocket, SocketAddr, StdSocket) {
    let near = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let address = near.local_addr().expect("bound");
    let far = StdSocket::bind("127.0.0.1:0").expect("bind");
    far.connect(address).expect("connect");
    (near, address, far)
}

#[test]
fn datagrams_come_whole_in_order_and_with_their_sender() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, _, far) = pair().await;
            let sender = far.local_addr().unwrap();
            for (round, size) in [0, 1, 100, 0, 1400, 9000, 60_000, 1].into_iter().enumerate() {
                far.send(&content(round, 0, size)).unwrap();
                let datagram = near.recv_datagram().await.unwrap();
                assert_eq!((datagram.len(), datagram.peer_addr()), (size, sender));
                assert_content(round, 0, &datagram);
                assert!(!datagram.is_truncated());
                assert!(size == 0 || metrics().lent_buffers == 1);
                assert_eq!((datagram.segment_size(), datagram.segments().count()), (None, 1));
            }
            let mut buf = [0; 8];
            far.send(b"more than eight").unwrap();
            assert_eq!(near.recv_from(&mut buf).await.unwrap(), (8, sender));
            assert_eq!(&buf, b"more tha");
            far.send(b"next").unwrap();
            assert_eq!(near.recv(&mut buf).await.unwrap(), 4, "what did not fit is lost");
        });
    }
}

#[test]
fn both_families_and_every_sender_are_told_apart() {
    for builder in both_forms() {
        run_with(builder, async || {
            let near = match UdpSocket::bind("[::]:0").await {
                Err(error) => skip!("no IPv6 here: {error}"),
                Ok(near) => near,
            };
            let port = near.local_addr().unwrap().port();
            let six = StdSocket::bind("[::1]:0");
            let four = StdSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(six) = six {
                six.send_to(b"6", ("::1", port)).unwrap();
                let datagram = near.recv_datagram().await.unwrap();
                assert_eq!(datagram.peer_addr(), six.local_addr().unwrap());
            }
            four.send_to(b"4", ("127.0.0.1", port)).unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert_eq!(datagram.peer_addr().ip().to_canonical(), four.local_addr().unwrap().ip());
        });
    }
}

#[test]
fn the_size_that_is_expected_decides_on_buffers_and_what_is_cut_says_so() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, _, far) = pair().await;
            // The most that a datagram may have, which one buffer with a head does not hold.
            let largest = 65_507;
            near.set_datagram_max(Some(largest));
            far.send(&content(0, 0, largest)).unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert_eq!((datagram.len(), datagram.is_truncated()), (largest, false));
            assert_content(0, 0, &datagram);
            near.set_datagram_max(Some(1500));
            far.send(&content(1, 0, 1500)).unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert_eq!((datagram.len(), datagram.is_truncated()), (1500, false));
            assert!(poll_and_drop(near.recv_datagram()).await.is_none());
            turn().await;
            far.send(&content(2, 0, 5000)).unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert!(datagram.is_truncated());
            assert!(datagram.len() >= 3840 && datagram.len() <= 4096, "{}", datagram.len());
            assert_content(2, 0, &datagram);
            // A change while a receive is armed.
            assert!(poll_and_drop(near.recv_datagram()).await.is_none());
            turn().await;
            near.set_datagram_max(None);
            turn().await;
            turn().await;
            far.send(&content(3, 0, 65_000)).unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert_eq!((datagram.len(), datagram.is_truncated()), (65_000, false));
        });
    }
}

#[test]
fn a_dropped_read_of_any_kind_leaves_the_datagrams_to_the_next() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, _, far) = pair().await;
            let mut buf = [0; 16];
            for _ in 0..2 {
                assert!(poll_and_drop(near.recv_datagram()).await.is_none());
                assert!(poll_and_drop(near.recv_batch(4)).await.is_none());
                assert!(poll_and_drop(near.recv(&mut buf)).await.is_none());
                assert!(poll_and_drop(near.recv_from(&mut buf)).await.is_none());
                assert!(poll_and_drop(near.peek(&mut buf)).await.is_none());
                assert!(poll_and_drop(near.peek_from(&mut buf)).await.is_none());
                assert!(poll_and_drop(near.peek_sender()).await.is_none());
                assert!(poll_and_drop(near.readable()).await.is_none());
                turn().await;
            }
            // And one that is dropped when the datagram was there.
            let mut read = Box::pin(near.recv_datagram());
            until_done(&mut read, async || {
                far.send(b"one").unwrap();
                far.send(b"two").unwrap();
            })
            .await;
            drop(read);
            assert_eq!(near.peek(&mut buf).await.unwrap(), 3);
            assert_eq!(near.peek_sender().await.unwrap(), far.local_addr().unwrap());
            assert_eq!(&*near.recv_datagram().await.unwrap(), b"one");
            assert_eq!(near.recv(&mut buf).await.unwrap(), 3);
            assert_eq!(&buf[..3], b"two");
        });
    }
}

#[test]
fn a_dropped_read_leaves_no_waker_behind() {
    run(async || {
        let (near, _, _far) = pair().await;
        let mut kept = Box::pin(near.recv_datagram());
        let (_, kept_flag) = poll_flagged(&mut kept);
        for _ in 0..3 {
            let mut read = Box::pin(near.recv_datagram());
            let (poll, flag) = poll_flagged(&mut read);
            assert!(poll.is_pending());
            drop(read);
            assert_eq!(Arc::strong_count(&flag), 1);
        }
        assert!(Arc::strong_count(&kept_flag) > 1, "the one that waits keeps its own");
    });
}

#[test]
fn several_tasks_read_from_one_socket_and_each_datagram_goes_to_one() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, _, far) = pair().await;
            let near = Rc::new(near);
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let near = Rc::clone(&near);
                    spawn(async move {
                        let mut seen = Vec::new();
                        while let [number] = *near.recv_datagram().await.unwrap() {
                            seen.push(number);
                        }
                        seen
                    })
                })
                .collect();
            turn().await;
            for number in 0..100 {
                far.send(&[number]).unwrap();
                if number % 8 == 0 {
                    turn().await;
                }
            }
            (0..4).for_each(|_| _ = far.send(b"the end").unwrap());
            let mut seen: Vec<u8> = joined(readers).await.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<u8>>());
        });
    }
}

#[test]
fn a_batch_is_what_has_arrived_and_never_nothing() {
    run(async || {
        let (near, _, far) = pair().await;
        assert!(near.recv_batch(0).await.unwrap().is_empty());
        assert!(poll_and_drop(near.readable()).await.is_none());
        turn().await;
        (0..10).for_each(|number| _ = far.send(&[number]).unwrap());
        let mut numbers = Vec::new();
        while numbers.len() < 10 {
            let batch = near.recv_batch(4).await.unwrap();
            assert!((1..=4).contains(&batch.len()));
            numbers.extend(batch.iter().map(|datagram| datagram[0]));
        }
        assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
    });
}

#[test]
fn try_recv_never_waits_and_starts_receiving() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, _, far) = pair().await;
            let mut buf = [0; 8];
            assert_eq!(near.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            far.send(b"now").unwrap();
            let mut result = Err(ErrorKind::WouldBlock.into());
            until(|| {
                result = near.try_recv_from(&mut buf);
                result.is_ok()
            })
            .await;
            assert_eq!(result.unwrap(), (3, far.local_addr().unwrap()));
            far.send(b"x").unwrap();
            near.readable().await.unwrap();
            near.readable().await.unwrap();
            assert_eq!(near.try_recv(&mut buf).unwrap(), 1);
        });
    }
}

/// What nobody takes is bounded by the runtime's own limit and the kernel's buffer, and the socket goes on.
fn flood(builder: Builder, size: usize) {
    run_with(builder.undelivered_max(32 * 1024).stream_share(1), async || {
        let (near, _, far) = pair().await;
        near.set_recv_buffer_size(16 * 1024).unwrap();
        near.try_recv(&mut [0]).unwrap_err();
        turn().await;
        for number in 0..2000_u32 {
            let mut datagram = content(0, 0, size);
            datagram[..4].copy_from_slice(&number.to_ne_bytes());
            far.send(&datagram).unwrap();
            if number % 50 == 0 {
                turn().await;
            }
        }
        assert!(metrics().lent_buffers <= 16, "no more than 16 shares of a stream");
        let mut last = None;
        let mut taken = 0;
        while let Ok(read) =
            annulus::time::timeout(Duration::from_millis(200), near.recv_datagram()).await
        {
            let datagram = read.unwrap();
            let number = u32::from_ne_bytes(datagram[..4].try_into().unwrap());
            assert!(last.is_none_or(|last| last < number), "in order");
            (last, taken) = (Some(number), taken + 1);
        }
        assert!(taken < 1500, "{taken} of 2000 were kept for a reader that never came");
        assert!(taken > 10, "{taken}");
        far.send(b"goes on").unwrap();
        assert_eq!(&*near.recv_datagram().await.unwrap(), b"goes on");
    });
}

#[test]
fn undelivered_datagrams_are_bounded_and_the_kernel_drops_the_rest() {
    if is_switched_off(Feature::MultishotReceive) {
        skip!("a receive at a time takes one datagram ahead, not several");
    }
    flood(Builder::new(), 1000);
    flood(Builder::new(), 8);
}

#[test]
fn a_small_pool_serves_many_sockets_in_turn() {
    for builder in both_forms() {
        let builder = builder.small_buffers(512, 4).large_buffers(2048, 4).stream_share(2);
        run_with(builder, async || {
            let mut tasks = Vec::new();
            for socket in 0..8 {
                let (near, _, far) = pair().await;
                tasks.push(spawn(async move {
                    for round in 0..30 {
                        far.send(&content(socket, round, 300)).unwrap();
                        let datagram = near.recv_datagram().await.unwrap();
                        assert_eq!(datagram.len(), 300);
                        assert_content(socket, round, &datagram);
                        turn().await;
                    }
                }));
            }
            joined(tasks).await;
        });
    }
}

#[test]
fn a_refused_datagram_is_an_error_of_the_next_read_as_with_std() {
    for builder in both_forms() {
        run_with(builder, async || {
            let closed = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let plain = StdSocket::bind("127.0.0.1:0").unwrap();
            plain.connect(closed).unwrap();
            plain.send(b"x").unwrap();
            assert_eq!(plain.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            near.connect(closed).await.unwrap();
            for armed in [false, true] {
                if armed {
                    assert!(poll_and_drop(near.recv_datagram()).await.is_none());
                    turn().await;
                }
                assert_eq!(near.send(b"x").await.unwrap(), 1);
                let error = near.recv(&mut [0]).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                let mut again = Box::pin(near.recv_datagram());
                assert!(poll_once(&mut again).await.is_pending(), "once");
                turn().await;
                turn().await;
                assert!(poll_once(&mut again).await.is_pending(), "once");
            }
            // Where nobody reads, a later send says it, also as with std.
            let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            near.connect(closed).await.unwrap();
            let error = loop {
                if let Err(error) = near.send(b"x").await {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    }
}

#[test]
fn a_socket_goes_to_std_and_back_with_the_datagrams_that_had_come() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, address, far) = pair().await;
            far.send(b"before").unwrap();
            near.readable().await.unwrap();
            let (plain, rest) = near.into_std().await.unwrap();
            assert_eq!(plain.local_addr().unwrap(), address);
            let rest: Vec<&[u8]> = rest.iter().map(|datagram| &**datagram).collect();
            assert_eq!(rest, [b"before"]);
            far.send(b"between").unwrap();
            let mut buf = [0; 16];
            assert_eq!(plain.recv(&mut buf).unwrap(), 7);
            let near = UdpSocket::from_std(plain).unwrap();
            far.send(b"after").unwrap();
            assert_eq!(&*near.recv_datagram().await.unwrap(), b"after");
            assert!(poll_and_drop(near.recv_datagram()).await.is_none());
            turn().await;
            let mut into = Box::pin(near.into_std());
            assert!(poll_once(&mut into).await.is_pending(), "the receive is still armed");
            drop(into);
            until_operations(0).await;
        });
    }
}

#[test]
fn datagrams_outlive_their_socket() {
    run(async || {
        let (near, _, far) = pair().await;
        far.send(b"kept").unwrap();
        let datagram = near.recv_datagram().await.unwrap();
        assert!(poll_and_drop(near.recv_datagram()).await.is_none());
        turn().await;
        drop((near, far));
        until_operations(0).await;
        assert_eq!(&*datagram, b"kept");
        assert_eq!(datagram.into_parts().0.into_bytes(), b"kept");
    });
}

#[test]
fn what_outlives_its_runtime_fails_and_closes() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("io_uring");
    let (near, address, far) = runtime.block_on(pair());
    let near = Rc::new(near);
    let reader = Rc::clone(&near);
    let mut read = Box::pin(async move { reader.recv_datagram().await.map(drop) });
    runtime.block_on(async {
        assert!(poll_once(&mut read).await.is_pending());
        turn().await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let other = Runtime::new().expect("io_uring");
    other.block_on(async {
        read.await.expect_err("the runtime is gone");
        near.recv(&mut [0]).await.expect_err("the runtime is gone");
        near.send_to(b"x", address).await.expect_err("the runtime is gone");
        for sent in near.send_batch_to(vec![("x", address), ("y", address)]).await {
            sent.expect_err("the runtime is gone");
        }
        near.writable().await.expect_err("the runtime is gone");
        drop((near, far));
    });
    assert_eq!(other.shutdown(PATIENCE), Ok(()));
}
