//! RECV into buffers of the pool, armed once for many messages and once for each.

mod with_fds;

use annulus::Builder;
use annulus::runtime::{Feature, metrics};

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
