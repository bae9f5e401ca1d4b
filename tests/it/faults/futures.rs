//! Futures that are dropped or leaked while the kernel holds their buffers, and what the next one sees.
#![allow(unsafe_code, reason = "a leaked descriptor is closed by number")]

use std::io::{ErrorKind, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, RawWakerVTable, Waker};
use std::time::Duration;

use annulus::Runtime;
use annulus::fs::{DirectFile, File};
use annulus::net::TcpStream;
use annulus::runtime::metrics;
use annulus::time::timeout;
use socket2::SockRef;

use crate::support::files::{direct_file, nameless_file};
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    Drops, PATIENCE, assert_content, content, narrow_pair, pair, poll_once, read_len, rounds, run,
    turn, until, until_operations, write_now,
};
use crate::support::skip::skip;

/// A file that has nothing to read until the other end writes.
fn pipe() -> (File, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (File::from_std(OwnedFd::from(reader).into()), writer)
}

#[test]
fn a_dropped_read_keeps_its_buffer_until_the_kernel_is_done() {
    run(async || {
        let (file, mut writer) = pipe();
        let (drops, count) = (Drops::default(), rounds(2000, 10_000));
        for round in 0..count {
            let mut read = Box::pin(file.read_at(drops.buffer(vec![0; 64]), 0));
            assert!(poll_once(&mut read).await.is_pending());
            turn().await;
            if round % 3 == 0 {
                writer.write_all(b"late").unwrap();
            }
            drop(read);
            if round % 3 == 0 {
                // Whoever won, the pipe is empty for the next round.
                until_operations(0).await;
                drain(file.as_fd().try_clone_to_owned().unwrap());
            }
        }
        until(|| drops.count() == count).await;
    });
}

#[test]
fn a_dropped_read_of_a_disk_keeps_its_buffer_until_the_kernel_is_done() {
    const SIZE: usize = 4096;
    run(async || {
        let file = match direct_file() {
            Err(error) => skip!("no direct I/O in the temporary directory: {error}"),
            Ok(file) => DirectFile::from_std(file).await.unwrap(),
        };
        let mut whole = file.buffer(16 * SIZE);
        whole.extend_from_slice(&content(0, 0, 16 * SIZE));
        file.write_all_at(whole, 0).await.unwrap();
        let (drops, count) = (Drops::default(), rounds(2000, 10_000));
        for round in 0..count {
            let buf = drops.counted(file.buffer(SIZE));
            let mut read = Box::pin(file.read_at(buf, (round % 16 * SIZE) as u64));
            assert!(poll_once(&mut read).await.is_pending());
            // Where some wait for their turn, others are in the kernel, and some have come.
            if round % 7 == 0 {
                turn().await;
            }
            drop(read);
        }
        until(|| drops.count() == count).await;
        let whole = file.read_exact_at(file.buffer(16 * SIZE), 0).await.unwrap();
        assert_content(0, 0, &whole);
    });
}

/// A waker that panics instead of being cloned.
static UNCLONABLE: RawWakerVTable =
    RawWakerVTable::new(|_| panic!("no clone today"), |_| (), |_| (), |_| ());

#[test]
fn a_waker_that_panics_when_it_is_cloned_leaves_nothing_to_be_waited_for() {
    run(async || {
        let file = File::from_std(nameless_file());
        let drops = Drops::default();
        // SAFETY: the functions do nothing with the data, and may be called on any thread.
        let waker = unsafe { Waker::new(std::ptr::null(), &UNCLONABLE) };
        let mut write = Box::pin(file.write_at(drops.buffer(vec![1; 64]), 0));
        let poll = || write.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
        assert_eq!(drops.count(), 0, "it can be polled again");
        drop(write);
        assert_eq!(drops.count(), 1);
        timeout(PATIENCE, file.sync_all()).await.expect("nothing is under way").unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 0);
    });
}

/// Submits nothing: `future` is polled once, which stages its operation, and dropped in the same turn.
async fn stage_and_drop<F: Future>(future: F) {
    assert!(poll_once(&mut Box::pin(future)).await.is_pending());
}

#[test]
fn an_operation_dropped_before_its_turn_never_reaches_the_kernel() {
    run(async || {
        let idle = metrics().live_operations;
        let file = File::from_std(nameless_file());
        let (reader, mut writer) = pipe();
        writer.write_all(b"untouched").unwrap();
        let (near, far) = pair();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let drops = Drops::default();
        for round in 1..=500 {
            stage_and_drop(file.write_at(drops.buffer(vec![1; 64]), 0)).await;
            stage_and_drop(reader.read_at(drops.buffer(vec![0; 64]), 0)).await;
            stage_and_drop(near.send_all(drops.buffer(vec![2; 64]))).await;
            stage_and_drop(TcpStream::connect(address)).await;
            assert_eq!(drops.count(), 3 * round, "freed at once, for the kernel never had them");
            if round % 50 == 0 {
                turn().await;
            }
        }
        turn().await;
        until_operations(idle).await;
        // No byte in the file, none out of the pipe, none to the peer, no connection.
        let (count, _) = file.read_at(vec![0; 1], 0).await.unwrap();
        assert_eq!(count, 0);
        let (count, buf) = reader.read_at(vec![0; 64], 0).await.unwrap();
        assert_eq!(&buf[..count], b"untouched");
        near.write_all(b"first").await.unwrap();
        assert_eq!(read_len(&far, 5).await, b"first");
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// Reads what a pipe holds, without waiting.
fn drain(reader: OwnedFd) {
    let mut buf = [0_u8; 64];
    // SAFETY: the buffer is 64 bytes long; the descriptor is open.
    unsafe {
        libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        libc::read(reader.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len());
        libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, 0);
    }
}

#[test]
fn a_dropped_receive_loses_nothing_ten_thousand_times() {
    run(async || {
        let (near, far) = pair();
        let mut next = 0;
        for round in 0..10_000 {
            let mut read = Box::pin(near.recv());
            let polled = poll_once(&mut read).await;
            if let std::task::Poll::Ready(chunk) = polled {
                let chunk = chunk.unwrap().expect("the peer is there");
                assert_content(0, next, &chunk);
                next += chunk.len();
            }
            if round % 2 == 0 {
                write_now(&far, &content(0, round / 2 * 3, 3));
            }
            if round % 3 == 0 {
                turn().await;
            }
        }
        let mut rest = vec![0; 15_000 - next];
        near.read_exact(&mut rest).await.unwrap();
        assert_content(0, next, &rest);
    });
}

/// A read that is polled and then leaked with all it owns; the numbers it keeps open.
async fn forget_read() -> (RawFd, std::io::PipeWriter) {
    let (file, writer) = pipe();
    let fd = file.as_fd().as_raw_fd();
    let mut read = ManuallyDrop::new(Box::pin(file.read_at(vec![0; 4096], 0)));
    assert!(poll_once(&mut *read).await.is_pending());
    turn().await;
    (fd, writer)
}

#[test]
fn a_leaked_read_leaks_memory_and_a_descriptor_but_nothing_is_freed_early() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let (first, second, _writer) = runtime.block_on(async {
        let (first, mut writer) = forget_read().await;
        writer.write_all(b"into leaked memory").unwrap();
        let (second, silent) = forget_read().await;
        turn().await;
        (first, second, silent)
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()), "the kernel holds neither of them any more");
    // SAFETY: the futures that own these numbers were leaked, so nobody else closes them.
    unsafe {
        libc::close(first);
        libc::close(second);
    }
}

#[test]
fn an_error_of_a_dropped_write_is_told_to_the_next() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut send = Box::pin(near.send_all(vec![0; 4 << 20]));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let error = near.write(b"next").await.unwrap_err();
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(gone.contains(&error.kind()), "{error}");
    });
}

#[test]
fn futures_that_outlive_their_runtime_end_with_an_error() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let (near, _far) = runtime.block_on(async { pair() });
    let (file, _writer) = runtime.block_on(async { pipe() });
    let mut waiting = Box::pin(near.recv());
    let mut reading = Box::pin(file.read_at(vec![0; 16], 0));
    runtime.block_on(async {
        assert!(poll_once(&mut waiting).await.is_pending());
        assert!(poll_once(&mut reading).await.is_pending());
        turn().await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let other = Runtime::new().unwrap();
    other.block_on(async {
        waiting.await.expect_err("its runtime is gone");
        reading.await.expect_err("its runtime is gone");
        near.recv().await.expect_err("its runtime is gone");
        near.write(b"x").await.expect_err("its runtime is gone");
        near.try_read(&mut [0]).expect_err("its runtime is gone");
        let failed = file.read_at(b"mine".to_vec(), 0).await.expect_err("its runtime is gone");
        assert_eq!(failed.buf, b"mine");
        assert!(failed.error.to_string().contains("has shut down"), "{}", failed.error);
    });
    drop((near, file));
    assert_eq!(other.shutdown(PATIENCE), Ok(()));
}
