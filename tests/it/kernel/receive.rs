//! RECV into buffers of the pool, armed once for many messages and once for each.

mod with_fds;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream as StdStream};
use std::time::Duration;

use annulus::Builder;
use annulus::buf::Chunk;
use annulus::net::TcpStream;
use annulus::runtime::{Feature, metrics};
use annulus::time::sleep;

use crate::support::settled::{assert_content, content, pair, run_with, turn, until, write_now};

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

#[test]
fn messages_come_in_order_each_in_a_buffer_of_the_pool() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = pair();
            for round in 0..100 {
                write_now(&far, &content(0, round * 10, 10));
                let chunk = near.recv().await.unwrap().expect("the peer is there");
                assert!(chunk.is_pooled());
                assert_eq!(metrics().lent_buffers, 1);
                assert_eq!(chunk.len(), 10);
                assert_content(0, round * 10, &chunk);
            }
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn an_idle_stream_holds_no_buffer() {
    for builder in both_forms() {
        run_with(builder, async || {
            let pairs: Vec<_> = (0..300).map(|_| pair()).collect();
            for (near, far) in &pairs {
                write_now(far, b"x");
                drop(near.recv().await.unwrap());
                assert_eq!(
                    near.try_read(&mut [0]).unwrap_err().kind(),
                    std::io::ErrorKind::WouldBlock
                );
            }
            turn().await;
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn bulk_gets_large_buffers_and_small_messages_small_ones_again() {
    for builder in both_forms() {
        run_with(builder, async || {
            const LEN: usize = 4 << 20;
            let (near, far) = pair();
            far.set_nonblocking(false).unwrap();
            let writer = std::thread::spawn(move || {
                write_now(&far, &content(0, 0, LEN));
                far
            });
            let (mut at, mut largest) = (0, 0);
            while at < LEN {
                let chunk = near.recv().await.unwrap().expect("the peer is there");
                assert_content(0, at, &chunk);
                at += chunk.len();
                largest = largest.max(chunk.len());
            }
            assert!(largest > 4096, "the largest of {LEN} bytes was {largest}");
            let far = writer.join().unwrap();
            for round in 0..200 {
                write_now(&far, &content(0, LEN + round, 1));
                let chunk = near.recv().await.unwrap().expect("the peer is there");
                assert_content(0, LEN + round, &chunk);
            }
        });
    }
}

#[test]
fn undelivered_bytes_are_bounded_and_none_is_lost() {
    for builder in both_forms() {
        run_with(builder.undelivered_max(64 * 1024), async || {
            const LEN: usize = 8 << 20;
            let (near, far) = pair();
            far.set_nonblocking(false).unwrap();
            let writer = std::thread::spawn(move || write_now(&far, &content(0, 0, LEN)));
            near.readable().await.unwrap();
            let mut steps = 0;
            until(|| {
                steps += 1;
                steps == 300
            })
            .await;
            assert!(!writer.is_finished(), "8 MiB went into buffers that nobody reads");
            let mut at = 0;
            while let Some(chunk) = near.recv().await.unwrap() {
                assert_content(0, at, &chunk);
                at += chunk.len();
            }
            assert_eq!(at, LEN);
            writer.join().unwrap();
        });
    }
}

#[test]
fn a_lone_stream_goes_round_few_of_the_large_buffers() {
    const LEN: usize = 20_000;
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = pair();
            let mut places = BTreeSet::new();
            for round in 0..200 {
                write_now(&far, &content(0, round * LEN, LEN));
                let (mut at, mut last) = (0, None);
                while at < LEN {
                    let chunk = near.recv().await.unwrap().expect("the peer is there");
                    at += chunk.len();
                    last = Some(chunk.as_ptr());
                }
                if round >= 100 {
                    places.extend(last);
                }
            }
            assert!(places.len() <= 4, "{} buffers", places.len());
        });
    }
}

/// Receives what a thread pours, waiting a little before each read, so that there is always more; the longest chunk.
async fn longest_of_bulk() -> usize {
    const LEN: usize = 16 << 20;
    let (near, far) = pair();
    far.set_nonblocking(false).unwrap();
    let writer = std::thread::spawn(move || write_now(&far, &content(0, 0, LEN)));
    let (mut at, mut longest) = (0, 0);
    while let Some(chunk) = near.recv().await.unwrap() {
        assert_content(0, at, &chunk);
        at += chunk.len();
        longest = longest.max(chunk.len());
        sleep(Duration::from_micros(100)).await;
    }
    assert_eq!(at, LEN);
    writer.join().unwrap();
    longest
}

#[test]
fn what_always_has_more_comes_in_the_largest_buffers_and_none_is_copied() {
    for builder in both_forms() {
        run_with(builder, async || {
            let longest = longest_of_bulk().await;
            assert!(longest > 64 * 1024, "the longest chunk was {longest}");
            assert_eq!((metrics().copied_messages, metrics().lent_buffers), (0, 0));
        });
    }
}

#[test]
fn bulk_does_without_its_buffers_where_none_is_left_or_so_much_may_not_wait() {
    for builder in both_forms() {
        run_with(builder.undelivered_max(64 * 1024), async || {
            assert!(longest_of_bulk().await <= 64 * 1024);
        });
    }
    for builder in both_forms() {
        // Of four, one is kept back.
        run_with(builder.bulk_buffers(128 * 1024, 4), async || {
            let mut held = Vec::new();
            let mut pairs = Vec::new();
            while held.len() < 3 {
                let (near, far) = pair();
                held.push(bulk_chunk(&near, &far).await);
                pairs.push((near, far));
            }
            assert!(longest_of_bulk().await <= 64 * 1024);
            held.pop();
            assert!(longest_of_bulk().await > 64 * 1024);
        });
    }
}

/// The first chunk of bulk of a stream that a thread pours into, which is cut off then.
async fn bulk_chunk(near: &TcpStream, far: &StdStream) -> Chunk {
    far.set_nonblocking(false).unwrap();
    let pouring = far.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let _cut_off = (&pouring).write_all(&content(0, 0, 16 << 20));
    });
    loop {
        sleep(Duration::from_micros(200)).await;
        let chunk = near.recv().await.unwrap().expect("more follows");
        if chunk.len() > 64 * 1024 {
            far.shutdown(Shutdown::Both).unwrap();
            writer.join().unwrap();
            return chunk;
        }
    }
}

#[test]
fn a_first_message_leaves_nothing_armed() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = pair();
            // The core's own bell, from its first sleep on.
            until(|| metrics().live_operations > 0).await;
            let before = metrics().live_operations;
            write_now(&far, b"request");
            assert_eq!(&*near.recv().await.unwrap().expect("the peer is there"), b"request");
            turn().await;
            assert_eq!(
                metrics().live_operations,
                before,
                "the close of a connection has nothing to cancel"
            );
            write_now(&far, b"another");
            assert_eq!(&*near.recv().await.unwrap().expect("the peer is there"), b"another");
        });
    }
}
