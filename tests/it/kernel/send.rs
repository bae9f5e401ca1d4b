//! SEND of a caller's buffer.

use std::rc::Rc;
use std::sync::Arc;

use annulus::buf::{Chunk, IoBuf, Slice};
use annulus::net::TcpStream;

use crate::support::settled::{Drops, narrow_pair, pair, read_len, run};

async fn sent<B: IoBuf>(near: &TcpStream, far: &std::net::TcpStream, buf: B) -> B {
    let (pointer, len) = (buf.buf_ptr(), buf.buf_len());
    let buf = near.send_all(buf).await.ok().expect("the peer is there");
    assert_eq!((buf.buf_ptr(), buf.buf_len()), (pointer, len), "the same buffer comes back");
    assert_eq!(read_len(far, len).await, buf.as_bytes());
    buf
}

#[test]
fn every_kind_of_buffer_is_sent_and_comes_back() {
    run(async || {
        let (near, far) = pair();
        sent(&near, &far, b"vector".to_vec()).await;
        sent(&near, &far, b"box".to_vec().into_boxed_slice()).await;
        sent(&near, &far, Rc::<[u8]>::from(b"rc".as_slice())).await;
        sent(&near, &far, Arc::<[u8]>::from(b"arc".as_slice())).await;
        sent(&near, &far, String::from("string")).await;
        sent(&near, &far, b"static".as_slice()).await;
        sent(&near, &far, "text").await;
        sent(&near, &far, Slice::new(b"a slice of it".to_vec(), 2..7)).await;
        sent(&near, &far, Chunk::from(Box::from(b"chunk".as_slice()))).await;
        sent(&near, &far, Drops::default().buffer(b"one of the user's".to_vec())).await;
    });
}

#[test]
fn a_received_chunk_is_sent_from_where_it_lies() {
    run(async || {
        let (near, far) = pair();
        for round in 0..20 {
            let message = vec![round; 100];
            crate::support::settled::write_now(&far, &message);
            let chunk = near.recv().await.unwrap().expect("the peer is there");
            assert!(chunk.is_pooled());
            drop(sent(&near, &far, chunk).await);
        }
    });
}

#[test]
fn send_may_send_a_part_and_says_how_much() {
    run(async || {
        let (near, far) = narrow_pair();
        let (count, buf) = near.send(vec![7; 4 << 20]).await.unwrap();
        assert!((1..4 << 20).contains(&count), "{count} of {}", buf.len());
        assert_eq!(read_len(&far, count).await, vec![7; count]);
    });
}
