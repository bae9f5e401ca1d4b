//! Unix streams: they read, write, wait and end as TCP's do, but that they know no reset.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use annulus::net::UnixStream;
use annulus::runtime::{Feature, metrics};
use annulus::{Builder, spawn};

use crate::support::settled::{
    Drops, assert_content, content, poll_and_drop, poll_flagged, poll_once, run, run_with, turn,
    until, until_operations,
};

/// More than a connection holds.
const MUCH: usize = 2 << 20;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

/// A stream of ours, and the other end as a plain socket that does not block.
fn pair() -> (UnixStream, StdStream) {
    let (near, far) = StdStream::pair().expect("a pair");
    far.set_nonblocking(true).expect("a socket");
    (UnixStream::from_std(near).expect("a socket"), far)
}

/// Reads what a plain socket has; true at its end.
fn read_some(far: &StdStream, bytes: &mut Vec<u8>) -> bool {
    match (&mut &*far).read_to_end(bytes) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("a whole stream: {error}"),
    }
}

async fn read_to_end(far: &StdStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    until(|| read_some(far, &mut bytes)).await;
    bytes
}

/// Drops a send of `MUCH` bytes that is in the kernel and cannot end.
async fn orphan_a_send(near: &UnixStream) {
    let mut send = Box::pin(near.send_all(content(1, 0, MUCH)));
    assert!(poll_once(&mut send).await.is_pending());
    turn().await;
    turn().await;
    assert!(poll_once(&mut send).await.is_pending(), "the connection does not hold it all");
}

#[test]
fn bytes_cross_both_ways_whatever_the_method_and_the_size() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            let sending = spawn(async move {
                let (read, write) = near.into_split();
                for size in [1, 100, 5000, 200_000] {
                    write.write_all(&content(0, 0, size)).await.unwrap();
                    write.send_all(content(0, 0, size)).await.unwrap();
                    let parts = vec![content(0, 0, size), content(0, size, size)];
                    write.send_all_vectored(parts).await.unwrap();
                }
                drop(write);
                assert!(read.recv().await.unwrap().is_none());
            });
            for size in [1, 100, 5000, 200_000] {
                for part in [size, size, 2 * size] {
                    let mut bytes = vec![0; part];
                    far.read_exact(&mut bytes).await.unwrap();
                    assert_content(0, 0, &bytes);
                }
            }
            assert_eq!(far.read(&mut [0; 4]).await.unwrap(), 0);
            assert_eq!(far.read_owned(vec![0; 4]).await.unwrap().0, 0);
            drop(far);
            sending.await.unwrap();
        });
    }
}

#[test]
fn messages_lie_in_buffers_of_the_pool_and_none_when_idle() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, mut far) = pair();
            for round in 0..20 {
                far.write_all(&content(0, round, 10)).unwrap();
                let chunk = near.recv().await.unwrap().unwrap();
                assert!(chunk.is_pooled());
                assert_content(0, round, &chunk);
            }
            turn().await;
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn a_dropped_read_of_any_kind_leaves_the_bytes_to_the_next() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, mut far) = pair();
            let drops = Drops::default();
            let mut buf = [0; 4];
            assert!(poll_and_drop(near.recv()).await.is_none());
            assert!(poll_and_drop(near.read(&mut buf)).await.is_none());
            assert!(poll_and_drop(near.read_owned(drops.buffer(vec![0; 4]))).await.is_none());
            assert!(poll_and_drop(near.peek(&mut buf)).await.is_none());
            assert!(poll_and_drop(near.readable()).await.is_none());
            turn().await;
            assert_eq!(drops.count(), 1);
            let mut read = Box::pin(near.recv());
            let (poll, flag) = poll_flagged(&mut read);
            assert!(poll.is_pending());
            far.write_all(b"one two").unwrap();
            until(|| flag.is_set()).await;
            drop(read);
            assert_eq!(near.peek(&mut buf).await.unwrap(), 4);
            let mut bytes = [0; 7];
            near.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"one two");
            assert_eq!(near.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    }
}

#[test]
fn a_second_reader_or_writer_is_refused_and_loses_nothing() {
    run(async || {
        let (near, mut far) = pair();
        let near = Rc::new(near);
        let same = Rc::clone(&near);
        let first = spawn(async move { same.recv().await });
        turn().await;
        assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        let mut send = Box::pin(near.send_all(content(1, 0, MUCH)));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert_eq!(near.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        far.write_all(b"still").unwrap();
        assert_eq!(&*first.await.unwrap().unwrap().unwrap(), b"still");
        let mut bytes = Vec::new();
        until(|| {
            read_some(&far, &mut bytes);
            bytes.len() == MUCH
        })
        .await;
        send.await.unwrap();
    });
}

#[test]
fn undelivered_bytes_are_bounded_and_none_is_lost() {
    for builder in both_forms() {
        run_with(builder.undelivered_max(64 * 1024), async || {
            let (near, mut far) = pair();
            near.try_read(&mut [0]).unwrap_err();
            let mut sent = 0;
            let mut idle = 0;
            while idle < 20 {
                match far.write(&content(0, sent, 16 * 1024)) {
                    Ok(count) => (sent, idle) = (sent + count, 0),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        idle += 1;
                    }
                }
                assert!(sent < 16 << 20, "{sent} bytes went into buffers that nobody reads");
                turn().await;
            }
            drop(far);
            let mut at = 0;
            while let Some(chunk) = near.recv().await.unwrap() {
                assert_content(0, at, &chunk);
                at += chunk.len();
            }
            assert_eq!(at, sent);
        });
    }
}

#[test]
fn ends_are_those_of_std() {
    run(async || {
        let (near, mut far) = pair();
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(read_to_end(&far).await, b"question");
        far.write_all(b"answer").unwrap();
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"answer");
        assert_eq!(near.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        far.shutdown(Shutdown::Write).unwrap();
        assert!(near.recv().await.unwrap().is_none());
        drop(far);
        assert!(near.recv().await.unwrap().is_none());
    });
}

/// A peer that is closed while bytes for it lie unread is the one reset that Unix sockets have.
#[test]
fn a_peer_that_read_not_all_is_a_reset_reported_once() {
    run(async || {
        let (near, far) = pair();
        near.write_all(b"unread").await.unwrap();
        drop(far);
        assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(near.recv().await.unwrap().is_none(), "once, then the end");
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (plain, far) = StdStream::pair().unwrap();
        (&plain).write_all(b"unread").unwrap();
        drop(far);
        let error = (&plain).read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "as with std");
    });
}

#[test]
fn an_abort_ends_a_send_under_way_and_the_peer_reads_what_left() {
    run(async || {
        let (near, far) = pair();
        assert!(poll_and_drop(near.recv()).await.is_none());
        orphan_a_send(&near).await;
        near.abort();
        let bytes = read_to_end(&far).await;
        assert!(bytes.len() < MUCH);
        assert_content(1, 0, &bytes);
        until_operations(0).await;
    });
}

#[test]
fn a_dropped_stream_goes_on_sending_and_then_ends() {
    run(async || {
        let (near, far) = pair();
        orphan_a_send(&near).await;
        drop(near);
        assert_eq!(metrics().lingering_streams, 1);
        let bytes = read_to_end(&far).await;
        assert_eq!(bytes.len(), MUCH);
        assert_content(1, 0, &bytes);
    });
}

#[test]
fn a_dropped_stream_lingers_no_longer_than_it_may() {
    run_with(Builder::new().linger(Duration::from_millis(20)), async || {
        let (near, far) = pair();
        orphan_a_send(&near).await;
        drop(near);
        until(|| metrics().lingering_streams == 0).await;
        until_operations(0).await;
        let bytes = read_to_end(&far).await;
        assert!(bytes.len() < MUCH);
        assert_content(1, 0, &bytes);
    });
}

#[test]
fn the_error_of_a_dropped_write_is_reported_by_the_next() {
    run(async || {
        let (near, far) = pair();
        while near.try_write(&[0; 4096]).is_ok() {}
        let mut send = Box::pin(near.write(b"stuck"));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        turn().await;
        drop(send);
        drop(far);
        let error = near.writable().await.expect_err("the orphan's error");
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stream_goes_to_std_and_back_with_the_bytes_that_had_come() {
    run(async || {
        let (near, mut far) = pair();
        far.write_all(b"before").unwrap();
        near.readable().await.unwrap();
        let (plain, rest) = near.into_std().await.unwrap();
        assert_eq!(rest, b"before");
        far.write_all(b"between").unwrap();
        let mut bytes = [0; 7];
        (&plain).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"between");
        let near = UnixStream::from_std(plain).unwrap();
        far.write_all(b"after").unwrap();
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"after");
    });
}

#[test]
fn halves_work_apart_and_together_again() {
    run(async || {
        let ((near, mut far), (other, _kept)) = (pair(), pair());
        let (read, write) = near.into_split();
        let (other_read, other_write) = other.into_split();
        let failed = read.reunite(other_write).expect_err("of two streams");
        assert_eq!(failed.to_string(), "these halves are not of the same stream");
        let near = failed.0.reunite(write).expect("of one stream");
        drop(other_read.reunite(failed.1).expect("of one stream"));
        let (read, write) = near.into_split();
        write.write_all(b"all").await.unwrap();
        drop(write);
        assert_eq!(read_to_end(&far).await, b"all");
        far.write_all(b"answer").unwrap();
        assert_eq!(&*read.recv().await.unwrap().unwrap(), b"answer");
    });
}
