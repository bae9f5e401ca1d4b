//! Reading: every method sees the same bytes, in order, and the same end.

use std::io::ErrorKind;
use std::time::Duration;

use annulus::buf::Slice;
use annulus::net::TcpStream;
use annulus::time::timeout;

use crate::support::settled::{pair, poll_and_drop, run, turn, until, write_now};

/// Waits until `len` bytes have arrived in the stream.
async fn arrived(stream: &TcpStream, len: usize) {
    loop {
        stream.readable().await.unwrap();
        let mut buf = vec![0; len + 1];
        if stream.peek(&mut buf).await.unwrap() >= len {
            return;
        }
        turn().await;
    }
}

#[test]
fn read_takes_what_fits_and_leaves_the_rest() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"hello world");
        let mut buf = [0; 4];
        assert_eq!(near.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"hell");
        let mut one = [0];
        assert_eq!(near.read(&mut one).await.unwrap(), 1);
        assert_eq!(&one, b"o");
        let chunk = near.recv().await.unwrap().unwrap();
        assert_eq!(&*chunk, b" world");
    });
}

#[test]
fn an_empty_buffer_reads_nothing_and_does_not_wait() {
    run(async || {
        let (near, _far) = pair();
        let patience = Duration::from_secs(5);
        let read = timeout(patience, near.read(&mut [])).await.expect("it does not wait");
        assert_eq!(read.unwrap(), 0);
        let read = timeout(patience, near.read_exact(&mut [])).await.expect("it does not wait");
        read.unwrap();
        let read = timeout(patience, near.read_owned(Vec::new())).await.expect("no waiting");
        assert_eq!(read.unwrap(), (0, Vec::new()));
        assert_eq!(near.try_read(&mut []).unwrap(), 0);
    });
}

#[test]
fn read_exact_gathers_messages_and_says_when_the_stream_is_short() {
    run(async || {
        let (near, far) = pair();
        let writer = std::thread::spawn(move || {
            for byte in b"0123456789" {
                write_now(&far, &[*byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut buf = [0; 8];
        near.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"01234567");
        let error = near.read_exact(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(&buf[..2], b"89");
        writer.join().unwrap();
    });
}

#[test]
fn read_owned_fills_the_callers_memory() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"hello world");
        let buf = Vec::with_capacity(5);
        let pointer = buf.as_ptr();
        let (count, buf) = near.read_owned(buf).await.unwrap();
        assert_eq!((count, buf.as_slice(), buf.as_ptr()), (5, b"hello".as_slice(), pointer));
        let slice = Slice::for_read(buf, 1..4);
        let (count, slice) = near.read_owned(slice).await.unwrap();
        assert_eq!((count, slice.into_inner()), (3, b"h woo".to_vec()));
        let (count, boxed) = near.read_owned(vec![0; 8].into_boxed_slice()).await.unwrap();
        assert_eq!((count, &boxed[..]), (3, b"rld\0\0\0\0\0".as_slice()));
        drop(far);
        assert_eq!(near.read_owned(vec![1, 2]).await.unwrap(), (0, Vec::new()), "the end");
    });
}

#[test]
fn peek_takes_nothing_however_often() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"look");
        let mut buf = [0; 8];
        for _ in 0..3 {
            assert_eq!(near.peek(&mut buf).await.unwrap(), 4);
            assert_eq!(&buf[..4], b"look");
        }
        assert_eq!(near.peek(&mut buf[..2]).await.unwrap(), 2);
        write_now(&far, b" again");
        arrived(&near, 8).await;
        assert_eq!(near.peek(&mut buf).await.unwrap(), 8);
        assert_eq!(&buf, b"look aga");
        let mut all = [0; 10];
        near.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"look again");
        drop(far);
        assert_eq!(near.peek(&mut buf).await.unwrap(), 0, "the end");
        assert!(near.recv().await.unwrap().is_none());
    });
}

#[test]
fn try_read_never_waits_and_starts_receiving() {
    run(async || {
        let (near, far) = pair();
        let mut buf = [0; 8];
        assert_eq!(near.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        write_now(&far, b"now");
        let mut result = Err(ErrorKind::WouldBlock.into());
        until(|| {
            result = near.try_read(&mut buf);
            result.is_ok()
        })
        .await;
        assert_eq!((result.unwrap(), &buf[..3]), (3, b"now".as_slice()));
        assert_eq!(near.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(far);
        until(|| matches!(near.try_read(&mut buf), Ok(0))).await;
        assert_eq!(near.try_read(&mut buf).unwrap(), 0, "the end stays");
    });
}

#[test]
fn readable_waits_and_takes_nothing() {
    run(async || {
        let (near, far) = pair();
        assert!(poll_and_drop(near.readable()).await.is_none());
        write_now(&far, b"x");
        near.readable().await.unwrap();
        near.readable().await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(near.try_read(&mut buf).unwrap(), 1);
        assert!(poll_and_drop(near.readable()).await.is_none());
        drop(far);
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buf).unwrap(), 0);
    });
}

#[test]
fn the_end_stays_the_end_for_every_method() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"x");
        drop(far);
        let mut buf = [0; 8];
        assert_eq!(near.read(&mut buf).await.unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(near.read(&mut buf).await.unwrap(), 0);
            assert!(near.recv().await.unwrap().is_none());
            assert_eq!(near.read_owned(vec![0; 4]).await.unwrap().0, 0);
            assert_eq!(near.peek(&mut buf).await.unwrap(), 0);
            assert_eq!(near.try_read(&mut buf).unwrap(), 0);
            near.readable().await.unwrap();
        }
    });
}

#[test]
fn a_chunk_can_be_cut_and_outlives_its_stream() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"0123456789");
        let mut chunk = near.recv().await.unwrap().unwrap();
        drop((near, far));
        chunk.advance(2);
        chunk.truncate(100);
        chunk.truncate(5);
        assert_eq!(&*chunk, b"23456");
        assert_eq!(chunk.into_bytes(), b"23456");
    });
}
