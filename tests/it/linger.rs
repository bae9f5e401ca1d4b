//! Streams that end with bytes still to send: they linger for a bounded time, are reset after it, and `abort` resets
//! at once.

use std::io::ErrorKind;
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::net::{TcpStream, UnixStream};
use annulus::runtime::metrics;
use annulus::{Builder, Runtime, spawn};
use socket2::SockRef;

use crate::support::leak::LeakGuard;
use crate::support::settled::{
    PATIENCE, assert_content, content, narrow_pair, pair, poll_once, read_len, read_to_end, run,
    run_with, turn, until, until_operations, write_now,
};

/// More than a narrow connection holds.
const MUCH: usize = 768 * 1024;

/// Drops a send of `MUCH` bytes that is in the kernel and cannot end, and hands the stream on.
async fn with_orphan(near: TcpStream) -> TcpStream {
    let mut send = Box::pin(near.send_all(content(1, 0, MUCH)));
    assert!(poll_once(&mut send).await.is_pending());
    turn().await;
    turn().await;
    assert!(poll_once(&mut send).await.is_pending(), "the connection does not hold it all");
    drop(send);
    near
}

/// The peer's end: what came before the reset, which it must see.
async fn assert_reset(far: &StdStream) {
    let error = read_to_end(far).await.expect_err("the peer must see a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_dropped_stream_goes_on_sending_and_then_ends() {
    run(async || {
        let (near, far) = narrow_pair();
        drop(with_orphan(near).await);
        assert_eq!(metrics().lingering_streams, 1);
        let bytes = read_to_end(&far).await.expect("an orderly end");
        assert_eq!(bytes.len(), MUCH);
        assert_content(1, 0, &bytes);
        until(|| metrics().lingering_streams == 0).await;
    });
}

#[test]
fn a_stream_dropped_with_its_send_future_in_one_task_lingers_too() {
    run(async || {
        let (near, far) = narrow_pair();
        let task = spawn(async move { near.send_all(content(1, 0, MUCH)).await.map(drop) });
        turn().await;
        task.abort();
        let bytes = read_to_end(&far).await.expect("an orderly end");
        assert_eq!(bytes.len(), MUCH);
        assert_content(1, 0, &bytes);
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    });
}

#[test]
fn a_peer_that_never_reads_is_reset_after_the_time() {
    let time = Duration::from_millis(50);
    run_with(Builder::new().linger(time), async || {
        let (near, far) = narrow_pair();
        let near = with_orphan(near).await;
        let start = Instant::now();
        drop(near);
        until(|| metrics().lingering_streams == 0).await;
        assert!(start.elapsed() >= time);
        until_operations(0).await;
        assert_reset(&far).await;
    });
}

#[test]
fn one_more_than_may_linger_is_reset_at_once() {
    let builder = Builder::new().lingering_max(2).linger(PATIENCE);
    run_with(builder, async || {
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (near, far) = narrow_pair();
            drop(with_orphan(near).await);
            ends.push(far);
        }
        assert_eq!(metrics().lingering_streams, 2);
        assert_reset(&ends[2]).await;
        for far in &ends[..2] {
            assert_eq!(read_to_end(far).await.expect("an orderly end").len(), MUCH);
        }
    });
}

#[test]
fn a_shutdown_resets_what_lingers() {
    let _leaks = LeakGuard::new();
    let runtime = Builder::new().linger(PATIENCE).build().expect("io_uring");
    let far = runtime.block_on(async {
        let (near, far) = narrow_pair();
        drop(with_orphan(near).await);
        far
    });
    let start = Instant::now();
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert!(start.elapsed() < PATIENCE / 2, "it does not wait for the peer");
    Runtime::new().expect("io_uring").block_on(assert_reset(&far));
}

#[test]
fn a_shutdown_resets_a_stream_that_was_sending() {
    let _leaks = LeakGuard::new();
    let runtime = Builder::new().linger(PATIENCE).build().expect("io_uring");
    let far = runtime.block_on(async {
        let (near, far) = narrow_pair();
        drop(spawn(async move { near.send_all(content(1, 0, MUCH)).await.map(drop) }));
        turn().await;
        turn().await;
        far
    });
    let start = Instant::now();
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert!(start.elapsed() < PATIENCE / 2, "it does not wait for the peer");
    Runtime::new().expect("io_uring").block_on(assert_reset(&far));
}

#[test]
fn abort_resets_at_once() {
    run(async || {
        let (near, far) = narrow_pair();
        let near = with_orphan(near).await;
        near.abort();
        assert_reset(&far).await;
    });
}

#[test]
fn abort_of_an_idle_stream_is_a_reset_too_and_never_an_orderly_end() {
    for _ in 0..50 {
        run(async || {
            let (near, far) = pair();
            let mut read = Box::pin(near.recv());
            assert!(poll_once(&mut read).await.is_pending());
            turn().await;
            drop(read);
            near.abort();
            assert_reset(&far).await;
        });
    }
}

#[test]
fn a_write_half_dropped_with_a_send_under_way_ends_the_direction_after_it() {
    run(async || {
        let (near, far) = narrow_pair();
        let near = with_orphan(near).await;
        let (read, write) = near.into_split();
        drop(write);
        let bytes = read_to_end(&far).await.expect("an orderly end");
        assert_eq!(bytes.len(), MUCH);
        assert_content(1, 0, &bytes);
        // The other direction is whole.
        write_now(&far, b"still here");
        let mut answer = [0; 10];
        read.read_exact(&mut answer).await.expect("the peer is there");
        assert_eq!(&answer, b"still here");
    });
}

#[test]
fn both_halves_dropped_with_a_send_under_way_linger_no_longer_than_a_stream() {
    let time = Duration::from_millis(50);
    for write_first in [true, false] {
        run_with(Builder::new().linger(time), async || {
            let (near, far) = narrow_pair();
            let (read, write) = with_orphan(near).await.into_split();
            match write_first {
                true => drop((write, read)),
                false => drop((read, write)),
            }
            assert_reset_later(&far).await;
        });
    }
}

/// The peer does not read before the reset is there.
async fn assert_reset_later(far: &StdStream) {
    until_operations(0).await;
    until(|| metrics().live_tasks == 0).await;
    assert_reset(far).await;
}

#[test]
fn a_stream_dropped_outside_of_its_loop_is_reset() {
    let _leaks = LeakGuard::new();
    let runtime = Builder::new().linger(PATIENCE).build().expect("io_uring");
    let (near, far) = runtime.block_on(async {
        let (near, far) = narrow_pair();
        (with_orphan(near).await, far)
    });
    drop(near);
    runtime.block_on(assert_reset(&far));
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

#[test]
fn what_was_sent_before_the_drop_arrives_although_a_receive_is_armed() {
    run(async || {
        let (near, far) = pair();
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let reading = spawn(async move { reader.recv().await.map(drop) });
        near.write_all(b"all of it").await.expect("the peer is there");
        reading.abort();
        drop(reading.await);
        drop(near);
        assert_eq!(read_to_end(&far).await.expect("an orderly end"), b"all of it");
        drop(read_len(&far, 0).await);
    });
}

/// What lies unread at a close is a reset to the peer, and what it was told is lost to it; not so here.
#[test]
fn a_graceful_close_lets_the_peer_read_all_though_its_own_bytes_lie_unread() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, &content(1, 0, 1000));
        near.write_all(b"farewell").await.unwrap();
        let closing = spawn(near.close_gracefully(PATIENCE));
        assert_eq!(read_len(&far, 8).await, b"farewell");
        write_now(&far, &content(1, 0, 1000));
        assert_eq!(read_to_end(&far).await.expect("an orderly end"), b"");
        assert!(!closing.is_finished(), "the peer may still send");
        drop(far);
        closing.await.unwrap().unwrap();
    });
}

#[test]
fn a_graceful_close_waits_for_a_peer_no_longer_than_it_is_to() {
    run(async || {
        let (near, far) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let error = near.close_gracefully(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert!(far.recv().await.unwrap().is_none());
        // A dropped one drops the stream; what was sent before leaves first.
        let (near, far) = narrow_pair();
        let near = with_orphan(near).await;
        drop(near.close_gracefully(PATIENCE));
        assert_eq!(read_to_end(&far).await.expect("an orderly end").len(), MUCH);
        until(|| metrics().lingering_streams == 0).await;
    });
}

/// Twice as long as a test may take.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A stream whose `close(2)` waits for the peer to take what it was sent, and how much that is.
fn slow_to_close() -> (TcpStream, StdStream, usize) {
    let (near, far) = narrow_pair();
    near.set_linger(Some(TOO_LONG)).unwrap();
    let mut sent = 0;
    while let Ok(count) = near.try_write(&content(1, sent, 4096)) {
        sent += count;
    }
    (near, far, sent)
}

/// The peer reads on this core, which therefore goes on.
async fn assert_all_arrives(far: &StdStream, sent: usize) {
    let bytes = read_to_end(far).await.expect("an orderly end");
    assert_eq!(bytes.len(), sent);
    assert_content(1, 0, &bytes);
}

#[test]
fn a_drop_does_not_have_the_core_wait_in_a_close_that_waits_for_the_peer() {
    run(async || {
        let start = Instant::now();
        let (near, far, sent) = slow_to_close();
        drop(near);
        turn().await;
        assert_all_arrives(&far, sent).await;
        // One that was a std stream's meanwhile.
        let (near, far, sent) = slow_to_close();
        let (near, _) = near.into_std().await.unwrap();
        assert!(SockRef::from(&near).linger().unwrap().is_some(), "it is as it was set");
        drop(TcpStream::from_std(near).unwrap());
        turn().await;
        assert_all_arrives(&far, sent).await;
        assert!(start.elapsed() < TOO_LONG);
    });
}
