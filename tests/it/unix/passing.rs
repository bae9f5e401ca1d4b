//! Descriptors beside the bytes of a stream: none overtakes its bytes, none is lost with a future, none leaks.

use std::io::ErrorKind;
use std::time::Duration;

use annulus::Builder;
use annulus::buf::Chunk;
use annulus::net::UnixStream;
use annulus::runtime::Feature;
use annulus::time::timeout;

use super::descriptors::{both_forms, count, null, number_of, numbered, watched};
use crate::support::settled::{
    assert_content, byte, content, poll_and_drop, poll_once, rounds, run, run_with, turn, until,
};

#[test]
fn descriptors_do_not_leave_without_a_byte() {
    run(async || {
        let (near, _far) = UnixStream::pair().unwrap();
        let refused = near.send_with_fds("", vec![null()]).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
        assert_eq!(refused.buf.1.len(), 1);
        assert_eq!(near.send_with_fds("", Vec::new()).await.unwrap().0, 0);
    });
}

/// Bytes with and without descriptors, taken in every way.
#[test]
fn descriptors_keep_their_place_among_the_bytes() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            near.write_all(b"none").await.unwrap();
            let (mut first, mut text) = ([0; 4], [0; 2]);
            assert!(far.recv_with_fds(&mut []).await.unwrap().1.is_empty());
            let (count, fds) = far.recv_with_fds(&mut first).await.unwrap();
            assert_eq!((count, fds.len()), (4, 0));
            for number in 0..20 {
                near.send_with_fds("ab|", vec![numbered(number)]).await.unwrap();
                // Of one that is read in parts the descriptor is with the first, and once.
                let (count, fds) = far.recv_with_fds(&mut text).await.unwrap();
                assert_eq!((count, &text, fds.len()), (2, b"ab", 1));
                fds.into_iter().for_each(|fd| assert_eq!(number_of(fd), number));
                let (count, fds) = far.recv_with_fds(&mut text).await.unwrap();
                assert_eq!((count, text[0], fds.len()), (1, b'|', 0));
            }
            // All at once: none comes after its first byte.
            for number in 0..20 {
                near.write_all(&[b'-'; 3]).await.unwrap();
                near.send_with_fds("#", vec![numbered(number)]).await.unwrap();
            }
            drop(near);
            let (mut marks, mut numbers) = (0, Vec::new());
            while let Some(mut message) = far.recv_message().await.unwrap() {
                marks += message.iter().filter(|byte| **byte == b'#').count();
                numbers.extend(message.take_fds().into_iter().map(number_of));
                assert!(numbers.len() >= marks, "{} of {marks}", numbers.len());
            }
            assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        });
    }
}

#[test]
fn a_long_send_gives_its_descriptor_once_and_every_byte() {
    const LEN: usize = 3 << 20;
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            let sending = annulus::spawn(async move {
                let sent = near.send_with_fds(content(3, 0, LEN), vec![numbered(7)]).await;
                sent.map(|(count, _)| count).map_err(|refused| refused.error)
            });
            let (mut received, mut numbers) = (0, Vec::new());
            while let Some(mut message) = far.recv_message().await.unwrap() {
                numbers.extend(message.take_fds().into_iter().map(number_of));
                assert_eq!(numbers, [7], "with the first byte");
                assert_content(3, received, &message);
                received += message.len();
                turn().await;
            }
            assert_eq!(received, LEN);
            assert_eq!(sending.await.unwrap().unwrap(), LEN);
        });
    }
}

#[test]
fn bytes_that_a_plain_read_takes_lose_their_descriptors_and_these_are_closed() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            assert!(poll_and_drop(far.recv_message()).await.is_none());
            let (writer, is_closed) = watched();
            drop(near.send_with_fds("taken", vec![writer]).await.unwrap());
            far.read_exact(&mut [0; 2]).await.unwrap();
            let (count, fds) = far.recv_with_fds(&mut [0; 8]).await.unwrap();
            assert_eq!((count, fds.len()), (3, 0));
            until(is_closed).await;
            let (writer, is_closed) = watched();
            drop(near.send_with_fds("a", vec![writer]).await.unwrap());
            drop(far.recv().await.unwrap());
            drop(near.send_with_fds("b", vec![numbered(1)]).await.unwrap());
            let (_, fds) = far.recv_with_fds(&mut [0; 8]).await.unwrap();
            // When the next came.
            until(is_closed).await;
            assert_eq!(fds.into_iter().map(number_of).collect::<Vec<_>>(), [1]);
            // A message that is made its bytes has them closed.
            let (writer, is_closed) = watched();
            drop(near.send_with_fds("c", vec![writer]).await.unwrap());
            let message = far.recv_message().await.unwrap().expect("bytes");
            let _chunk: Chunk = message.into_chunk();
            until(is_closed).await;
        });
    }
}

#[test]
fn a_stream_that_was_read_plainly_begins_when_it_is_asked() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            near.write_all(b"plain").await.unwrap();
            assert_eq!(far.read(&mut [0; 2]).await.unwrap(), 2);
            // The plain receive is armed, and the rest of its bytes is there.
            assert!(poll_and_drop(far.readable()).await.is_some());
            let message = far.recv_message().await.unwrap().expect("bytes");
            assert_eq!(&*message, b"ain");
            assert!(poll_and_drop(far.recv_message()).await.is_none());
            for _ in 0..4 {
                turn().await;
            }
            let mut asking = Box::pin(far.recv_message());
            assert!(poll_once(&mut asking).await.is_pending());
            turn().await;
            drop(near.send_with_fds("x", vec![numbered(5)]).await.unwrap());
            let mut message = asking.await.unwrap().expect("bytes");
            let numbers: Vec<u32> = message.take_fds().into_iter().map(number_of).collect();
            assert_eq!(numbers, [5]);
        });
    }
}

#[test]
fn what_nobody_receives_is_closed_with_the_stream() {
    for builder in both_forms() {
        run_with(builder, async || {
            let before = count();
            for armed in [false, true] {
                let (near, far) = UnixStream::pair().unwrap();
                if armed {
                    assert!(poll_and_drop(far.recv_message()).await.is_none());
                    turn().await;
                }
                for _ in 0..5 {
                    drop(near.send_with_fds("x", vec![null(), null()]).await.unwrap());
                }
                turn().await;
                drop((near, far));
                until(|| count() == before).await;
            }
            let (near, far) = UnixStream::pair().unwrap();
            assert!(poll_and_drop(far.recv_message()).await.is_none());
            drop(near.send_with_fds("x", vec![null()]).await.unwrap());
            far.readable().await.unwrap();
            let (far, bytes) = far.into_std().await.unwrap();
            assert_eq!(bytes, b"x");
            // The two ends are left.
            until(|| count() == before + 2).await;
            drop((near, far));
            // And with the runtime: what is left here would be found by the guard.
            let (near, far) = UnixStream::pair().unwrap();
            assert!(poll_and_drop(far.recv_message()).await.is_none());
            drop(near.send_with_fds("x", vec![null()]).await.unwrap());
            far.readable().await.unwrap();
        });
    }
}

#[test]
fn a_dropped_send_closes_its_descriptors_when_the_kernel_is_done() {
    run(async || {
        let (near, far) = UnixStream::pair().unwrap();
        let before = count();
        assert!(poll_and_drop(near.send_with_fds("never", vec![null()])).await.is_none());
        turn().await;
        assert_eq!(count(), before);
        let mut send = Box::pin(near.send_with_fds("sent", vec![null()]));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        near.write_all(b", in order").await.unwrap();
        until(|| count() == before).await;
        let mut message = far.recv_message().await.unwrap().expect("bytes");
        assert_eq!(message.take_fds().len(), 1);
        let mut text = message.to_vec();
        while text.len() < 14 {
            text.extend_from_slice(&far.recv_message().await.unwrap().expect("the rest"));
        }
        assert_eq!(text, b"sent, in order");
    });
}

/// A dropped send that the kernel took in part: who writes next is told.
#[test]
fn a_dropped_send_that_was_cut_short_is_told_to_the_next_write() {
    run(async || {
        let (near, far) = UnixStream::pair().unwrap();
        let mut send = Box::pin(near.send_with_fds(content(0, 0, 4 << 20), vec![null()]));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        let error = near.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(far.recv_with_fds(&mut [0; 8]).await.unwrap().1.len(), 1);
    });
}

#[test]
fn halves_pass_descriptors_too() {
    run(async || {
        let (near, far) = UnixStream::pair().unwrap();
        let (_reading, writing) = near.into_split();
        let (reading, _writing) = far.into_split();
        writing.send_with_fds("one", vec![numbered(1)]).await.unwrap();
        let (count, mut fds) = reading.recv_with_fds(&mut [0; 8]).await.unwrap();
        assert_eq!((count, fds.pop().map(number_of)), (3, Some(1)));
        writing.send_with_fds("two", vec![numbered(2)]).await.unwrap();
        let mut message = reading.recv_message().await.unwrap().expect("bytes");
        assert_eq!(message.take_fds().pop().map(number_of), Some(2));
        assert_eq!(&*message, b"two");
    });
}

/// Reads that are dropped again and again: every byte and every descriptor comes, in order.
fn race(builder: Builder) {
    let messages = rounds(2_000, 100_000);
    run_with(builder, async || {
        let (near, far) = UnixStream::pair().unwrap();
        let sending = annulus::spawn(async move {
            let mut sent = 0;
            for message in 0..messages {
                let size = 1 + usize::from(byte(1, message)) * 4;
                let fds =
                    if message % 3 == 0 { vec![numbered(message as u32)] } else { Vec::new() };
                near.send_with_fds(content(2, sent, size), fds).await.expect("somebody reads");
                sent += size;
            }
            sent
        });
        let (mut received, mut expected, mut dropped) = (0, 0, 0);
        let mut buf = [0; 700];
        for round in 0.. {
            let way = byte(4, round);
            let size = 1 + usize::from(way) * 2;
            let read = far.recv_with_fds(&mut buf[..size]);
            let read = match way % 3 {
                0 => poll_and_drop(read).await,
                1 => timeout(Duration::from_micros(30), read).await.ok(),
                _ => timeout(Duration::from_millis(5), read).await.ok(),
            };
            let Some(read) = read else {
                dropped += 1;
                continue;
            };
            let (count, fds) = read.expect("the stream is whole");
            if count == 0 {
                break;
            }
            assert_content(2, received, &buf[..count]);
            received += count;
            for fd in fds {
                assert_eq!(number_of(fd), expected, "none is lost, all in order");
                expected += 3;
            }
        }
        assert_eq!(received, sending.await.unwrap());
        assert_eq!(expected as usize, messages.next_multiple_of(3));
        assert!(dropped > 0);
    });
}

#[test]
fn reads_against_timeouts() {
    race(Builder::new());
}

#[test]
fn reads_against_timeouts_one_by_one() {
    race(Builder::new().disable(Feature::MultishotReceive));
}

#[test]
fn reads_against_timeouts_with_few_buffers_and_a_bound_that_is_always_reached() {
    race(Builder::new().large_buffers(4096, 4).stream_share(2).undelivered_max(6000));
}
