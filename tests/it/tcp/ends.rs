//! How connections end: in order, half, abruptly, and as halves of a stream.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use annulus::net::TcpStream;
use annulus::time::timeout;
use socket2::SockRef;

use crate::support::settled::{
    assert_content, content, narrow_pair, pair, poll_and_drop, poll_once, read_len, read_to_end,
    run, std_pair, turn, until, write_now,
};

#[test]
fn a_half_closed_stream_still_reads() {
    run(async || {
        let (near, far) = pair();
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(read_to_end(&far).await.unwrap(), b"question");
        write_now(&far, b"answer");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"answer");
        let error = near.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        drop(far);
        assert!(near.recv().await.unwrap().is_none());
    });
}

#[test]
fn a_peer_that_half_closed_still_reads_what_we_send() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"question");
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"question");
        assert!(near.recv().await.unwrap().is_none());
        near.write_all(b"answer").await.unwrap();
        drop(near);
        assert_eq!(read_to_end(&far).await.unwrap(), b"answer");
    });
}

#[test]
fn a_second_shutdown_does_as_std_does() {
    run(async || {
        let (near, far) = pair();
        near.shutdown().await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
        drop(far);
        assert!(near.recv().await.unwrap().is_none());
        // Both directions are over: std says "not connected", or nothing while the end is under way.
        match near.shutdown().await {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotConnected),
        }
    });
}

#[test]
fn a_stream_dropped_with_a_receive_armed_ends_for_the_peer_at_once() {
    run(async || {
        for _ in 0..20 {
            let (near, far) = pair();
            assert!(poll_and_drop(near.recv()).await.is_none());
            turn().await;
            let start = Instant::now();
            drop(near);
            assert_eq!(read_to_end(&far).await.unwrap(), b"");
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        }
    });
}

#[test]
fn a_stream_dropped_with_bytes_unread_ends_for_the_peer() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, &content(0, 0, 10_000));
        near.readable().await.unwrap();
        drop(near);
        // Bytes that still lie in the kernel make it a reset, as with std.
        match read_to_end(&far).await {
            Ok(bytes) => assert_eq!(bytes, b""),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    });
}

#[test]
fn an_abort_is_a_reset_for_the_peer_and_never_an_end() {
    run(async || {
        for armed in [false, true] {
            let (near, far) = pair();
            if armed {
                assert!(poll_and_drop(near.recv()).await.is_none());
                turn().await;
            }
            near.write_all(b"unfinished").await.unwrap();
            near.abort();
            let error = read_to_end(&far).await.expect_err("the end would look orderly");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn an_abort_ends_a_send_under_way() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut send = Box::pin(near.send_all(vec![0; 4 << 20]));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        let fd = near.as_raw_fd();
        near.abort();
        until(|| std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).is_err()).await;
        assert_eq!(read_to_end(&far).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_peers_reset_is_reported_once() {
    run(async || {
        let (near, far) = pair();
        assert!(poll_and_drop(near.recv()).await.is_none());
        turn().await;
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let mut buf = [0; 4];
        near.readable().await.unwrap();
        assert_eq!(near.peek(&mut buf).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(near.read(&mut buf).await.unwrap(), 0, "once, then the end");
        assert!(near.peer_addr().is_err());
    });
}

#[test]
fn a_stream_goes_to_std_and_back_with_the_bytes_that_had_come() {
    run(async || {
        let (near, far) = pair();
        let address = near.local_addr().unwrap();
        write_now(&far, b"before");
        near.readable().await.unwrap();
        let (plain, rest) = near.into_std().await.unwrap();
        assert_eq!(rest, b"before");
        assert_eq!(plain.local_addr().unwrap(), address);
        write_now(&far, b"between");
        plain.set_nonblocking(false).unwrap();
        let mut buf = [0; 7];
        (&plain).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"between");
        let near = TcpStream::from_std(plain).unwrap();
        write_now(&far, b"after");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"after");
    });
}

#[test]
fn a_stream_goes_to_std_from_every_state() {
    run(async || {
        let (near, far) = std_pair();
        let (plain, rest) = TcpStream::from_std(near).unwrap().into_std().await.unwrap();
        assert!(rest.is_empty(), "never used");
        let near = TcpStream::from_std(plain).unwrap();
        assert!(poll_and_drop(near.recv()).await.is_none());
        let (plain, rest) = near.into_std().await.unwrap();
        assert!(rest.is_empty(), "a receive not yet submitted");
        let near = TcpStream::from_std(plain).unwrap();
        assert!(poll_and_drop(near.recv()).await.is_none());
        turn().await;
        let (plain, rest) = near.into_std().await.unwrap();
        assert!(rest.is_empty(), "a receive in the kernel");
        let near = TcpStream::from_std(plain).unwrap();
        write_now(&far, b"last");
        drop(far);
        near.readable().await.unwrap();
        let (mut plain, mut rest) = near.into_std().await.unwrap();
        plain.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"last", "a stream that had ended");
    });
}

#[test]
fn into_std_waits_for_a_send_under_way() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut send = Box::pin(near.send_all(content(0, 0, 2 << 20)));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        let taken = annulus::spawn(near.into_std());
        assert_content(0, 0, &read_len(&far, 2 << 20).await);
        let (plain, _) = taken.await.unwrap().unwrap();
        drop(plain);
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
    });
}

#[test]
fn halves_work_apart_and_together_again() {
    run(async || {
        let (near, far) = pair();
        let (read, write) = near.into_split();
        let reader = annulus::spawn(async move {
            let mut buf = [0; 4];
            read.read_exact(&mut buf).await.unwrap();
            (read, buf)
        });
        write.write_all(b"out").await.unwrap();
        assert_eq!(read_len(&far, 3).await, b"out");
        write_now(&far, b"into");
        let (read, buf) = reader.await.unwrap();
        assert_eq!(&buf, b"into");
        let near = read.reunite(write).expect("halves of one stream");
        near.write_all(b"whole").await.unwrap();
        assert_eq!(read_len(&far, 5).await, b"whole");
    });
}

#[test]
fn halves_of_two_streams_do_not_fit() {
    run(async || {
        let ((one, _far), (two, other)) = (pair(), pair());
        let ((read, write_one), (_read, write)) = (one.into_split(), two.into_split());
        let failed = read.reunite(write).expect_err("of two streams");
        assert_eq!(failed.to_string(), "these halves are not of the same stream");
        let (read, write) = (failed.0, failed.1);
        write.write_all(b"still there").await.unwrap();
        assert_eq!(read_len(&other, 11).await, b"still there");
        drop(read.reunite(write_one).expect("halves of one stream"));
    });
}

#[test]
fn a_dropped_write_half_ends_the_outgoing_direction_alone() {
    run(async || {
        let (near, far) = pair();
        let (read, write) = near.into_split();
        write.write_all(b"all").await.unwrap();
        drop(write);
        assert_eq!(read_to_end(&far).await.unwrap(), b"all");
        write_now(&far, b"answer");
        assert_eq!(&*read.recv().await.unwrap().unwrap(), b"answer");
    });
}

#[test]
fn a_forgotten_write_half_leaves_the_stream_open() {
    run(async || {
        let (near, far) = pair();
        let (read, write) = near.into_split();
        write.forget();
        turn().await;
        let silence = timeout(Duration::from_millis(50), read_to_end(&far)).await;
        assert!(silence.is_err(), "{silence:?}");
        drop(read);
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
    });
}
