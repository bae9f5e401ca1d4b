//! Each row of the table in `annulus::net`: what a dropped or leaked future leaves behind, on the kernel.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::mem::ManuallyDrop;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use annulus::net::{TcpListener, TcpSocket, TcpStream};
use annulus::{Runtime, spawn};

use crate::support::leak::LeakGuard;
use crate::support::settled::{
    Drops, PATIENCE, assert_content, content, is_switched_off, narrow_pair, pair, poll_and_drop,
    poll_flagged, poll_once, read_len, read_some, read_to_end, run, stream_pair, turn, until,
    until_done, until_operations, write_now,
};
use crate::support::skip::skip;
use annulus::runtime::Feature;

/// More than a narrow connection holds.
const MUCH: usize = 768 * 1024;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

async fn read_text(stream: &TcpStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.expect("nothing is lost");
    String::from_utf8(bytes).expect("text")
}

// `TcpListener::accept`, `accept_stream`, `Incoming::next`: nothing is lost.

#[test]
fn a_dropped_accept_leaves_the_connection_to_the_next() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept at a time takes one connection ahead, not several");
    }
    run(async || {
        let (listener, address) = listener().await;
        assert!(poll_and_drop(listener.accept()).await.is_none());
        turn().await;
        assert!(poll_and_drop(listener.accept_stream()).await.is_none());
        assert!(poll_and_drop(listener.incoming().next()).await.is_none());
        let clients: Vec<_> =
            (0..3).map(|_| StdStream::connect(address).expect("connect")).collect();
        until(|| listener.untaken() == 3).await;
        for client in &clients {
            let (_stream, peer) = listener.accept().await.expect("accept");
            assert_eq!(peer, client.local_addr().expect("connected"));
        }
        assert_eq!(listener.untaken(), 0);
    });
}

#[test]
fn a_dropped_listener_closes_what_nobody_took() {
    run(async || {
        let (listener, address) = listener().await;
        assert!(poll_and_drop(listener.accept()).await.is_none());
        let client = StdStream::connect(address).expect("connect");
        client.set_nonblocking(true).expect("a socket");
        until(|| listener.untaken() == 1).await;
        drop(listener);
        assert!(read_to_end(&client).await.expect("an orderly end").is_empty());
        until(|| StdStream::connect(address).is_err()).await;
    });
}

#[test]
fn a_dropped_accept_leaves_no_waker_behind() {
    run(async || {
        let (listener, _) = listener().await;
        let mut kept = Box::pin(listener.accept());
        let (_, kept_flag) = poll_flagged(&mut kept);
        for _ in 0..3 {
            let mut accept = Box::pin(listener.accept());
            let (poll, flag) = poll_flagged(&mut accept);
            assert!(poll.is_pending());
            drop(accept);
            assert_eq!(Arc::strong_count(&flag), 1);
        }
        assert!(Arc::strong_count(&kept_flag) > 1, "the one that waits keeps its own");
    });
}

// `TcpStream::recv`, `read`, `read_owned`, `peek`, `readable`: nothing is lost.

#[test]
fn a_dropped_read_of_any_kind_leaves_the_bytes_to_the_next() {
    run(async || {
        let (near, far) = pair();
        let drops = Drops::default();
        let mut buf = [0; 4];
        for _ in 0..2 {
            assert!(poll_and_drop(near.recv()).await.is_none());
            assert!(poll_and_drop(near.read(&mut buf)).await.is_none());
            assert!(poll_and_drop(near.read_owned(drops.buffer(vec![0; 4]))).await.is_none());
            assert!(poll_and_drop(near.peek(&mut buf)).await.is_none());
            assert!(poll_and_drop(near.readable()).await.is_none());
            turn().await;
        }
        assert_eq!(drops.count(), 2, "the buffer of a dropped `read_owned` is dropped with it");
        write_now(&far, b"one two three four");
        assert_eq!(read_text(&near, 18).await, "one two three four");
    });
}

#[test]
fn a_read_dropped_when_the_bytes_were_there_leaves_them_too() {
    run(async || {
        let (near, far) = pair();
        let drops = Drops::default();
        for round in 0..4_u8 {
            let buffer = drops.buffer(vec![0; 2]);
            let mut read: Pin<Box<dyn Future<Output = ()> + '_>> = match round {
                0 => Box::pin(async { _ = near.recv().await }),
                1 => Box::pin(async { _ = near.read(&mut [0; 2]).await }),
                2 => Box::pin(async { _ = near.read_owned(buffer).await }),
                _ => Box::pin(async { _ = near.peek(&mut [0; 2]).await }),
            };
            let (poll, flag) = poll_flagged(&mut read);
            assert!(poll.is_pending());
            write_now(&far, &[b'0' + round; 3]);
            until(|| flag.is_set()).await;
            drop(read);
            assert_eq!(read_text(&near, 3).await.as_bytes(), [b'0' + round; 3]);
        }
    });
}

#[test]
fn peek_takes_nothing_and_reports_the_error_that_read_will() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"ab");
        let mut buf = [0; 4];
        assert_eq!(near.peek(&mut buf).await.expect("bytes"), 2);
        assert_eq!(near.peek(&mut buf[..1]).await.expect("bytes"), 1);
        assert_eq!(read_text(&near, 2).await, "ab");
        near.write_all(b"unread").await.expect("the peer is there");
        drop(far);
        for _ in 0..2 {
            let error = near.peek(&mut buf).await.expect_err("a reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let error = near.recv().await.expect_err("once");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.peek(&mut buf).await.expect("the end"), 0);
        assert!(near.recv().await.expect("the end").is_none());
    });
}

// `TcpStream::read_exact`: what it copied is in the buffer and gone from the stream.

#[test]
fn a_dropped_read_exact_keeps_what_it_had_copied() {
    run(async || {
        let (near, far) = pair();
        let mut buf = [b'-'; 6];
        let mut read = Box::pin(near.read_exact(&mut buf));
        until_done(&mut read, async || write_now(&far, b"abc")).await;
        assert!(poll_once(&mut read).await.is_pending(), "three more are missing");
        drop(read);
        assert_eq!(&buf, b"abc---");
        write_now(&far, b"def");
        assert_eq!(read_text(&near, 3).await, "def");
    });
}

// `TcpStream::write`, `send` and those that go on until all is sent.

#[test]
fn a_write_dropped_before_its_first_turn_sends_nothing() {
    run(async || {
        let (near, far) = pair();
        assert!(poll_and_drop(near.write(b"1")).await.is_none());
        assert!(poll_and_drop(near.write_all(b"2")).await.is_none());
        assert!(poll_and_drop(near.send(b"3".to_vec())).await.is_none());
        assert!(poll_and_drop(near.send_all("4")).await.is_none());
        assert!(poll_and_drop(near.send_all_vectored(vec!["5", "6"])).await.is_none());
        near.write_all(b"only this").await.expect("the peer is there");
        drop(near);
        assert_eq!(read_to_end(&far).await.expect("an orderly end"), b"only this");
    });
}

#[test]
fn writes_dropped_after_their_first_turn_leave_in_order_with_those_that_follow() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut sent = 0;
        let mut expected = Vec::new();
        for round in 0..3 {
            let bytes = content(2, sent, MUCH);
            sent += bytes.len();
            let mut send = Box::pin(near.send_all(bytes));
            // The second and third wait for the one before, which goes out while we read.
            let mut received = 0;
            while expected.len() < round * MUCH {
                assert!(poll_once(&mut send).await.is_pending());
                assert!(!read_some(&far, &mut expected).expect("a whole stream"));
                turn().await;
                received += 1;
            }
            assert!(received > 0 || round == 0);
            turn().await;
            assert!(poll_once(&mut send).await.is_pending());
            turn().await;
            turn().await;
            drop(send);
        }
        let writing = spawn(async move {
            near.write_all(b"end").await.expect("the peer is there");
        });
        until(|| read_some(&far, &mut expected).expect("a whole stream")).await;
        writing.await.expect("the writer is done");
        assert_content(2, 0, &expected[..sent]);
        assert_eq!(&expected[sent..], b"end");
    });
}

/// Sends all that the connection holds.
fn fill(near: &TcpStream) {
    while near.try_write(&[0; 4096]).is_ok() {}
}

/// A send in the kernel fails with a reset; its future is dropped before or after.
async fn failed_orphan(near: &TcpStream, far: StdStream, dropped_first: bool) {
    fill(near);
    let mut send = Some(Box::pin(near.write(b"stuck")));
    let (poll, flag) = poll_flagged(send.as_mut().expect("just made"));
    assert!(poll.is_pending());
    turn().await;
    turn().await;
    assert!(!flag.is_set());
    if dropped_first {
        send = None;
    }
    // Unread bytes make it a reset.
    drop(far);
    match &send {
        Some(_) => until(|| flag.is_set()).await,
        None => {
            until(|| near.try_write(b"x").is_err_and(|e| e.kind() != ErrorKind::WouldBlock)).await
        }
    }
}

#[test]
fn the_error_of_a_dropped_write_is_reported_by_the_next() {
    for dropped_first in [true, false] {
        run(async || {
            let (near, far) = narrow_pair();
            failed_orphan(&near, far, dropped_first).await;
            let error = near.write(b"next").await.expect_err("the orphan's error");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "dropped first: {dropped_first}");
            let error = near.write(b"next").await.expect_err("its own error");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "the orphan's is reported once");
        });
    }
}

#[test]
fn a_dropped_send_all_that_was_cut_short_is_an_error_of_the_next_write() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut send = Box::pin(near.send_all(content(3, 0, MUCH)));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        turn().await;
        drop(send);
        drop(far);
        let error = near.shutdown().await.expect_err("the orphan's error");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_error_of_a_dropped_write_is_reported_by_shutdown() {
    run(async || {
        let (near, far) = narrow_pair();
        failed_orphan(&near, far, true).await;
        let error = near.shutdown().await.expect_err("the orphan's error");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_write_that_was_done_does_not_disturb_the_one_under_way() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut first = Box::pin(near.write(b"first"));
        until_done(&mut first, async || {}).await;
        // The kernel is done with the first, so a second may start, before the first is told.
        fill(&near);
        let mut second = Box::pin(near.write(b"stuck"));
        assert!(poll_once(&mut second).await.is_pending());
        turn().await;
        assert!(matches!(poll_once(&mut first).await, Poll::Ready(Ok(5))));
        drop(first);
        let error =
            near.write(b"third").await.expect_err("the second is under way, and not dropped");
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        // Its error goes to it, and to nobody else.
        drop(far);
        let error = second.await.expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = near.write(b"next").await.expect_err("its own error");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_send_all_that_was_dropped_ends_although_its_peer_reads_slowly() {
    run(async || {
        let (near, far) = narrow_pair();
        let drops = Drops::default();
        let mut send = Box::pin(near.send_all(drops.buffer(content(5, 0, MUCH))));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        turn().await;
        drop(send);
        assert_eq!(drops.count(), 0, "the kernel still reads it");
        let mut received = Vec::new();
        while received.len() < MUCH {
            let mut some = [0; 16 * 1024];
            match io::Read::read(&mut &far, &mut some) {
                Ok(count) => received.extend_from_slice(&some[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            turn().await;
        }
        assert_content(5, 0, &received);
        until(|| drops.count() == 1).await;
        near.writable().await.expect("nothing failed");
    });
}

// `TcpStream::shutdown`, `writable`: nothing happened yet.

#[test]
fn a_dropped_shutdown_leaves_the_direction_open() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut send = Box::pin(near.send_all(content(6, 0, MUCH)));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        turn().await;
        drop(send);
        assert!(poll_and_drop(near.shutdown()).await.is_none());
        assert!(poll_and_drop(near.writable()).await.is_none());
        assert_content(6, 0, &read_len(&far, MUCH).await);
        near.write_all(b"open").await.expect("the direction is open");
        near.shutdown().await.expect("nothing is under way");
        assert_eq!(read_to_end(&far).await.expect("an orderly end"), b"open");
    });
}

// `TcpStream::connect`, `TcpSocket::connect`: the socket is closed.

#[test]
fn a_dropped_connect_closes_its_socket() {
    run(async || {
        let listener = StdListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        assert!(poll_and_drop(TcpStream::connect(address)).await.is_none());
        turn().await;
        let refused = listener.accept().expect_err("no entry reached the kernel");
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let mut connect = Box::pin(TcpSocket::new_v4().expect("a socket").connect(address));
        assert!(poll_once(&mut connect).await.is_pending());
        turn().await;
        drop(connect);
        let (peer, _) = listener.accept().expect("it was connected");
        peer.set_nonblocking(true).expect("a socket");
        assert!(read_to_end(&peer).await.expect("an orderly end").is_empty());
    });
}

// `TcpStream::into_std`: the stream is dropped, with the bytes that it held.

#[test]
fn into_std_gives_back_what_had_arrived() {
    run(async || {
        let (near, far) = pair();
        let mut read = Box::pin(near.recv());
        until_done(&mut read, async || write_now(&far, b"arrived")).await;
        drop(read);
        let (std, rest) = near.into_std().await.expect("nothing failed");
        assert_eq!(rest, b"arrived");
        write_now(&far, b"later");
        std.set_nonblocking(true).expect("a socket");
        assert_eq!(read_len(&std, 5).await, b"later");
    });
}

#[test]
fn a_dropped_into_std_drops_the_stream() {
    run(async || {
        let (near, far) = pair();
        let mut read = Box::pin(near.recv());
        assert!(poll_once(&mut read).await.is_pending());
        turn().await;
        drop(read);
        let mut into = Box::pin(near.into_std());
        assert!(poll_once(&mut into).await.is_pending(), "the receive is still armed");
        drop(into);
        assert!(read_to_end(&far).await.expect("an orderly end").is_empty());
        until_operations(0).await;
    });
}

// Futures that are leaked.

/// Leaks a future after its first poll.
async fn poll_and_leak<F: Future>(future: F) {
    let mut future = ManuallyDrop::new(Box::pin(future));
    assert!(poll_once(&mut *future).await.is_pending());
}

#[test]
fn leaked_reads_and_accepts_hold_nothing_up() {
    run(async || {
        let (near, far) = pair();
        poll_and_leak(near.recv()).await;
        turn().await;
        poll_and_leak(near.read_owned(vec![0; 8])).await;
        poll_and_leak(near.readable()).await;
        write_now(&far, b"go on");
        assert_eq!(read_text(&near, 5).await, "go on");
        let (listener, address) = listener().await;
        poll_and_leak(listener.accept()).await;
        turn().await;
        poll_and_leak(listener.accept()).await;
        let _client = StdStream::connect(address).expect("connect");
        drop(listener.accept().await.expect("nothing is lost"));
        poll_and_leak(annulus::time::sleep(annulus::time::Duration::from_millis(1))).await;
    });
}

#[test]
fn a_read_that_another_task_leaked_gives_way() {
    run(async || {
        let (near, far) = pair();
        let near = Rc::new(near);
        let leaking = Rc::clone(&near);
        spawn(async move { poll_and_leak(std::pin::pin!(leaking.recv())).await })
            .await
            .expect("it leaks and ends");
        write_now(&far, b"x");
        match near.recv().await {
            Err(error) => assert_eq!(error.kind(), ErrorKind::ResourceBusy, "at most once"),
            Ok(chunk) => return assert_eq!(&*chunk.expect("a byte"), b"x"),
        }
        assert_eq!(read_text(&near, 1).await, "x");
    });
}

#[test]
fn a_leaked_write_delays_nobody_once_the_kernel_is_done() {
    run(async || {
        let (near, far) = narrow_pair();
        let drops = Drops::default();
        // Kept until the end and neither polled nor dropped: leaked, as far as the stream can tell.
        let mut small = Box::pin(near.send_all(drops.buffer(b"small".to_vec())));
        let mut large = Box::pin(near.send_all(drops.buffer(content(7, 0, MUCH))));
        assert!(poll_once(&mut small).await.is_pending());
        turn().await;
        turn().await;
        assert!(poll_once(&mut large).await.is_pending());
        turn().await;
        assert_eq!(read_len(&far, 5 + MUCH).await[..5], *b"small");
        turn().await;
        near.write_all(b"next").await.expect("nobody is sending");
        assert_eq!(read_len(&far, 4).await, b"next");
        assert_eq!(drops.count(), 0, "a leaked future leaks its buffer");
        drop((small, large));
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn a_leaked_connect_is_a_leaked_socket_and_no_more() {
    run(async || {
        let (listener, address) = listener().await;
        let mut connect = Box::pin(TcpStream::connect(address));
        assert!(poll_once(&mut connect).await.is_pending());
        let (stream, _) = listener.accept().await.expect("accept");
        stream.write_all(b"unheard").await.expect("the socket is there");
        stream.shutdown().await.expect("the socket is there");
        drop(connect);
        assert!(stream.recv().await.map_or(true, |chunk| chunk.is_none()));
    });
}

#[test]
fn a_half_closed_stream_still_salvages() {
    run(async || {
        let (near, far) = pair();
        assert!(poll_and_drop(near.recv()).await.is_none());
        turn().await;
        write_now(&far, b"last words");
        far.shutdown(Shutdown::Write).expect("a socket");
        turn().await;
        assert!(poll_and_drop(near.readable()).await.is_none_or(|ready| ready.is_ok()));
        assert_eq!(read_text(&near, 10).await, "last words");
        assert!(near.recv().await.expect("the end").is_none());
    });
}

// Futures and streams that outlive their runtime.

#[test]
fn what_outlives_its_runtime_fails_and_closes() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("io_uring");
    let (near, far, listener) = runtime.block_on(async {
        let (near, far) = pair();
        (Rc::new(near), far, Rc::new(listener().await.0))
    });
    let (reader, acceptor) = (Rc::clone(&near), Rc::clone(&listener));
    let mut read = Box::pin(async move { reader.recv().await.map(drop) });
    let mut accept = Box::pin(async move { acceptor.accept().await.map(drop) });
    runtime.block_on(async {
        assert!(poll_once(&mut read).await.is_pending());
        assert!(poll_once(&mut accept).await.is_pending());
        turn().await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let other = Runtime::new().expect("io_uring");
    other.block_on(async {
        read.await.expect_err("the runtime is gone");
        accept.await.expect_err("the runtime is gone");
        near.write(b"x").await.expect_err("the runtime is gone");
        near.recv().await.expect_err("the runtime is gone");
        listener.accept().await.expect_err("the runtime is gone");
        drop((near, listener));
        assert!(read_to_end(&far).await.expect("an orderly end").is_empty());
    });
    assert_eq!(other.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_send_polled_after_its_result_panics_and_gives_its_turn_up() {
    run(async || {
        let (near, far) = stream_pair();
        let mut send = pin!(near.send_all(b"one".to_vec()));
        send.as_mut().await.expect("the peer is there");
        let again = poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| send.as_mut().poll(cx).is_ready());
            Poll::Ready(catch_unwind(poll))
        });
        assert!(again.await.is_err(), "it has given its result");
        near.write_all(b"two").await.expect("nobody holds the turn");
        let mut both = [0; 6];
        far.read_exact(&mut both).await.expect("both are there");
        assert_eq!(&both, b"onetwo");
    });
}
