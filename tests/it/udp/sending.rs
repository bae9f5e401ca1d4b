//! Sending: whole datagrams, many at once, in segments, from several tasks, whatever becomes of the future.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annulus::net::UdpSocket;
use annulus::net::udp::Transmit;
use annulus::spawn;

use crate::support::machine::{ip, on_a_thread, own_namespace};
use crate::support::settled::{
    Drops, PATIENCE, assert_content, content, joined, poll_and_drop, poll_once, run,
    through_the_ring, turn, until, until_operations,
};
use crate::support::skip::skip;

/// A socket of ours, a plain one, and the plain one's address.
async fn pair() -> (UdpSocket, StdSocket, SocketAddr) {
    let near = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let far = StdSocket::bind("127.0.0.1:0").expect("bind");
    far.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let address = far.local_addr().expect("bound");
    (near, far, address)
}

fn received(far: &StdSocket) -> Vec<u8> {
    let mut buf = vec![0; 65_536];
    let (count, _) = far.recv_from(&mut buf).expect("a datagram");
    buf.truncate(count);
    buf
}

fn assert_nothing(far: &StdSocket) {
    far.set_nonblocking(true).expect("a socket");
    let error = far.recv(&mut [0; 8]).expect_err("nothing was sent");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    far.set_nonblocking(false).expect("a socket");
}

#[test]
fn every_form_sends_one_datagram() {
    run(async || {
        let (near, far, address) = pair().await;
        assert_eq!(near.send_to(b"one", address).await.unwrap(), 3);
        assert_eq!(received(&far), b"one");
        let (count, buf) = near.send_owned_to(b"two".to_vec(), address).await.unwrap();
        assert_eq!((count, buf.as_slice()), (3, b"two".as_slice()));
        assert_eq!(received(&far), b"two");
        assert_eq!(near.try_send_to(b"three", address).unwrap(), 5);
        assert_eq!(received(&far), b"three");
        let error = near.send(b"nobody").await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        near.connect(address).await.unwrap();
        assert_eq!(near.peer_addr().unwrap(), address);
        assert_eq!(near.send(b"four").await.unwrap(), 4);
        assert_eq!(received(&far), b"four");
        assert_eq!(near.send_owned("five").await.unwrap().0, 4);
        assert_eq!(received(&far), b"five");
        assert_eq!(near.try_send(b"").unwrap(), 0);
        assert_eq!(received(&far), b"");
        near.send_message(vec![6], &Transmit::connected()).await.unwrap();
        assert_eq!(received(&far), [6]);
        near.writable().await.unwrap();
        let error = near.send(&vec![0; 70_000]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE), "as with std");
        let none: &[SocketAddr] = &[];
        assert_eq!(near.send_to(b"x", none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(near.connect(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = UdpSocket::bind(none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = UdpSocket::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    });
}

#[test]
fn a_send_through_the_ring_dropped_before_its_first_turn_sends_nothing_and_afterwards_all() {
    run(async || {
        let (near, far, address) = pair().await;
        let drops = Drops::default();
        drop(near.send_to(b"never polled", address));
        let to = Transmit::to(address);
        assert!(poll_and_drop(near.send_message("never", &to)).await.is_none());
        let batch = near.send_batch_to(vec![("never", address), ("never", address)]);
        assert!(poll_and_drop(through_the_ring(&near, batch)).await.is_none());
        turn().await;
        assert_nothing(&far);
        for whole in [false, true] {
            let buffer = drops.buffer(content(0, 0, 1000));
            let transmit = Transmit::to(address);
            let mut send: std::pin::Pin<Box<dyn Future<Output = ()>>> = match whole {
                true => Box::pin(async { _ = near.send_message(buffer, &transmit).await }),
                false => Box::pin(async {
                    let batch = near.send_batch_to(vec![(buffer, address)]);
                    _ = through_the_ring(&near, batch).await;
                }),
            };
            assert!(poll_once(&mut send).await.is_pending());
            turn().await;
            drop(send);
            assert_content(0, 0, &received(&far));
        }
        until(|| drops.count() == 2).await;
    });
}

#[test]
fn one_datagram_leaves_at_the_first_poll_whatever_stands_for_its_address() {
    run(async || {
        let (near, far, address) = pair().await;
        let sent = poll_and_drop(near.send_to(b"at once", address)).await;
        assert_eq!(sent.expect("there is room").unwrap(), 7);
        assert_eq!(received(&far), b"at once");
        let sent = poll_and_drop(near.send_to(b"by name", address.to_string())).await;
        assert_eq!(sent.expect("there is room").unwrap(), 7);
        assert_eq!(received(&far), b"by name");
    });
}

#[test]
fn a_batch_leaves_in_order_at_the_first_poll_and_each_refusal_has_its_place() {
    run(async || {
        let (near, far, address) = pair().await;
        let six: SocketAddr = "[::1]:9".parse().unwrap();
        let to = |number: usize| if [0, 50, 51, 99].contains(&number) { six } else { address };
        let batch: Vec<_> = (0..100).map(|number| (vec![number as u8; 3], to(number))).collect();
        let sent = poll_and_drop(near.send_batch_to(batch)).await.expect("there is room");
        assert_eq!(sent.len(), 100);
        for (number, sent) in sent.into_iter().enumerate() {
            let bytes = vec![number as u8; 3];
            match sent {
                Ok((count, buf)) => {
                    assert_eq!((count, &buf, to(number)), (3, &bytes, address));
                    assert_eq!(received(&far), bytes);
                }
                Err(error) => {
                    assert_eq!(error.error.raw_os_error(), Some(libc::EAFNOSUPPORT));
                    assert_eq!((error.buf, to(number)), (bytes, six));
                }
            }
        }
        assert!(near.send_batch_to(Vec::<(Vec<u8>, SocketAddr)>::new()).await.is_empty());
    });
}

#[test]
fn a_socket_that_is_dropped_sends_what_is_under_way() {
    run(async || {
        let (near, far, address) = pair().await;
        let near = Rc::new(near);
        let same = Rc::clone(&near);
        let to = Transmit::to(address);
        let sending = spawn(async move { _ = same.send_message("last", &to).await });
        turn().await;
        sending.abort();
        drop(near);
        assert_eq!(received(&far), b"last");
        until_operations(0).await;
    });
}

#[test]
fn many_tasks_send_at_once_and_more_than_have_a_place_wait() {
    run(async || {
        let (near, far, address) = pair().await;
        let near = Rc::new(near);
        let over = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&over);
        let reader = std::thread::spawn(move || {
            let mut seen: Vec<u32> = Vec::new();
            let mut buf = [0; 4];
            far.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
            loop {
                // Before the look: what was sent by then is there.
                let is_last = is_over.load(Ordering::SeqCst);
                match far.recv(&mut buf) {
                    Ok(4) => seen.push(u32::from_ne_bytes(buf)),
                    _ if is_last => return seen,
                    _ => {}
                }
            }
        });
        let senders = (0..600_u32).map(|number| {
            let near = Rc::clone(&near);
            spawn(async move {
                let to = Transmit::to(address);
                let sent = near.send_message(number.to_ne_bytes().to_vec(), &to).await;
                assert_eq!(sent.expect("there is room").0, 4);
            })
        });
        joined(senders.collect()).await;
        over.store(true, Ordering::SeqCst);
        let mut seen = reader.join().unwrap();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "none twice");
        assert!(count > 100, "{count} of 600: UDP may lose some, not nearly all");
    });
}

#[test]
fn a_batch_leaves_in_order_and_says_of_each_how_it_went() {
    run(async || {
        let (near, far, address) = pair().await;
        let mut batch: Vec<(Vec<u8>, SocketAddr)> =
            (0..20).map(|number| (vec![number; 10], address)).collect();
        batch[7].0 = vec![0; 70_000];
        let results = near.send_batch_to(batch).await;
        assert_eq!(results.len(), 20);
        for (number, result) in results.into_iter().enumerate() {
            match number {
                7 => assert_eq!(result.unwrap_err().error.raw_os_error(), Some(libc::EMSGSIZE)),
                _ => assert_eq!(result.unwrap(), (10, vec![number as u8; 10])),
            }
        }
        for number in (0..20).filter(|number| *number != 7) {
            assert_eq!(received(&far), [number; 10]);
        }
        assert!(near.send_batch_to(Vec::<(Vec<u8>, SocketAddr)>::new()).await.is_empty());
        let many: Vec<_> = (0..300).map(|_| (b"x".as_slice(), address)).collect();
        let results = near.send_batch_to(many).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 300);
    });
}

/// The sizes of what arrives at `far`, which lets the kernel join, and of what each of these was joined.
async fn arriving(far: &UdpSocket, bytes: usize) -> Vec<(usize, Option<usize>)> {
    let (mut at, mut sizes) = (0, Vec::new());
    while at < bytes {
        let datagram = far.recv_datagram().await.expect("a datagram");
        assert_content(0, at, &datagram);
        at += datagram.len();
        sizes.push((datagram.len(), datagram.segment_size()));
    }
    sizes
}

/// A batch of datagrams of these sizes, whose bytes follow each other.
fn batch_of(sizes: &[usize], to: SocketAddr) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut at = 0;
    let datagram = |&size: &usize| {
        at += size;
        (content(0, at - size, size), to)
    };
    sizes.iter().map(datagram).collect()
}

async fn send_all(near: &UdpSocket, batch: Vec<(Vec<u8>, SocketAddr)>) -> usize {
    let sizes: Vec<usize> = batch.iter().map(|(bytes, _)| bytes.len()).collect();
    let sent = near.send_batch_to(batch).await;
    let sent = sent.into_iter().map(|sent| sent.expect("there is room").0);
    assert_eq!(sent.collect::<Vec<_>>(), sizes);
    sizes.into_iter().sum()
}

#[test]
fn datagrams_of_a_batch_that_are_alike_leave_as_one_and_arrive_apart() {
    // Of one size; then what ends a run: a shorter one, a longer one, an empty one.
    const SIZES: [usize; 13] = [100, 100, 100, 100, 40, 100, 100, 0, 100, 200, 200, 60, 60];
    run(async || {
        let (near, plain, address) = pair().await;
        send_all(&near, batch_of(&SIZES, address)).await;
        let mut at = 0;
        for size in SIZES {
            let datagram = received(&plain);
            assert_eq!(datagram.len(), size);
            assert_content(0, at, &datagram);
            at += size;
        }
        // To two in turn, so that none is alike: each gets its own.
        let other = StdSocket::bind("127.0.0.1:0").unwrap();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        let there = other.local_addr().unwrap();
        let to = |number: u8| if number.is_multiple_of(2) { address } else { there };
        let batch = (0..20).map(|number| (vec![number; 9], to(number))).collect();
        send_all(&near, batch).await;
        for number in 0..20 {
            let far = if u8::is_multiple_of(number, 2) { &plain } else { &other };
            assert_eq!(received(far), [number; 9]);
        }
        // A peer that lets the kernel join sees what left as one.
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Err(error) = far.set_gro(true) {
            skip!("no UDP_GRO here: {error}");
        }
        let there = far.local_addr().unwrap();
        let bytes = send_all(&near, batch_of(&SIZES, there)).await;
        let joined = |size, of| (size, Some(of));
        let expected = [
            joined(440, 100),
            joined(200, 100),
            (0, None),
            (100, None),
            joined(460, 200),
            (60, None),
        ];
        assert_eq!(arriving(&far, bytes).await, expected);
        near.set_gso(false);
        let bytes = send_all(&near, batch_of(&SIZES, there)).await;
        assert_eq!(arriving(&far, bytes).await, SIZES.map(|size| (size, None)));
        // More than one system call takes, and more bytes than one packet.
        near.set_gso(true);
        near.set_send_buffer_size(1 << 20).unwrap();
        far.set_recv_buffer_size(1 << 20).unwrap();
        for (size, count) in [(10, 100), (9000, 10)] {
            let bytes = send_all(&near, batch_of(&vec![size; count], there)).await;
            for (len, of) in arriving(&far, bytes).await {
                assert!(len == size || of == Some(size), "{len} of {of:?}");
            }
        }
    });
}

/// Sends what cannot leave as one, and looks whether it arrives all the same, one by one.
async fn assert_apart(near: &UdpSocket, size: usize) {
    let far = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    far.set_gro(true).expect("UDP_GRO");
    let batch = batch_of(&[size; 10], far.local_addr().expect("bound"));
    let bytes = send_all(near, batch).await;
    assert_eq!(arriving(&far, bytes).await, [(size, None); 10]);
}

#[test]
#[allow(unsafe_code, reason = "setsockopt has no safe form for it")]
fn what_the_kernel_or_the_path_does_not_take_as_one_leaves_one_by_one() {
    run(async || {
        let (near, ..) = pair().await;
        let (on, fd) = (1_i32, near.as_raw_fd());
        let (at, len) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
        // SAFETY: the pointer names a local that lives across the call, with its size.
        let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, at, len) };
        assert_eq!(set, 0);
        assert_apart(&near, 100).await;
    });
    // Packets of 1500 bytes, and datagrams that take two of them.
    let outcome = on_a_thread(|| {
        own_namespace()?;
        ip("link set lo up mtu 1500")?;
        run(async || {
            let (near, ..) = pair().await;
            assert_apart(&near, 2000).await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of our own: {error}");
    }
}

#[test]
fn segments_go_down_as_one_buffer_and_come_up_as_datagrams() {
    run(async || {
        let (near, far, address) = pair().await;
        let transmit = Transmit::to(address).segment_size(400);
        match near.send_message(content(0, 0, 1900), &transmit).await {
            Err(error) => skip!("no UDP_SEGMENT here: {}", error.error),
            Ok((count, _)) => assert_eq!(count, 1900),
        }
        let mut at = 0;
        for size in [400, 400, 400, 400, 300] {
            let datagram = received(&far);
            assert_eq!(datagram.len(), size);
            assert_content(0, at, &datagram);
            at += size;
        }
        let too_many = Transmit::to(address).segment_size(10);
        let error = near.send_message(vec![0; 5000], &too_many).await.unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_source_address_is_what_the_peer_sees() {
    run(async || {
        let near = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let source = Ipv4Addr::new(127, 0, 0, 77);
        let transmit = Transmit::to(far.local_addr().unwrap()).source(source.into());
        near.send_message("x", &transmit).await.unwrap();
        let (_, seen) = far.recv_from(&mut [0; 4]).unwrap();
        assert_eq!(seen.ip(), source);
    });
}
