//! RECVMSG of a stream into buffers of the pool, with descriptors, armed once for many messages and once for each.

use annulus::net::UnixStream;
use annulus::runtime::metrics;

use super::both_forms;
use crate::support::settled::{assert_content, content, poll_and_drop, run_with, turn, until};

#[test]
fn bytes_come_in_order_in_buffers_of_the_pool_and_then_the_end() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            for round in 0..100 {
                far.send_all(content(0, round * 10, 10)).await.unwrap();
                let chunk =
                    near.recv_message().await.unwrap().expect("the peer is there").into_chunk();
                assert!(chunk.is_pooled());
                assert_eq!((metrics().lent_buffers, chunk.len()), (1, 10));
                assert_content(0, round * 10, &chunk);
            }
            drop(far);
            assert!(near.recv_message().await.unwrap().is_none());
            assert!(near.recv_message().await.unwrap().is_none(), "again");
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn an_idle_stream_holds_no_buffer() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixStream::pair().unwrap();
            far.write_all(b"x").await.unwrap();
            drop(near.recv_message().await.unwrap());
            assert!(poll_and_drop(near.recv_message()).await.is_none());
            turn().await;
            assert_eq!(metrics().lent_buffers, 0);
            drop(near);
            until(|| metrics().live_operations == 0 || metrics().lent_buffers == 0).await;
        });
    }
}

/// What a buffer holds beside control data is little or nothing: then each receive is for one message.
#[test]
fn small_buffers_are_enough() {
    for size in [512, 2048] {
        for builder in both_forms() {
            run_with(builder.large_buffers(size, 4), async || {
                let (near, far) = UnixStream::pair().unwrap();
                far.send_all(content(1, 0, 20_000)).await.unwrap();
                drop(far);
                let mut received = 0;
                while let Some(message) = near.recv_message().await.unwrap() {
                    assert_content(1, received, &message);
                    received += message.len();
                }
                assert_eq!(received, 20_000);
            });
        }
    }
}
