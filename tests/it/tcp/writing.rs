//! Writing: copies and lent buffers, parts and wholes, with a socket that takes little.

use std::io::ErrorKind;

use annulus::buf::IoBuf;
use socket2::SockRef;

use crate::support::settled::{
    Drops, assert_content, content, joined, narrow_pair, pair, poll_and_drop, read_len,
    read_to_end, run, turn, until,
};

#[test]
fn write_copies_at_most_64_kib() {
    run(async || {
        let (near, far) = pair();
        let all = content(0, 0, 300_000);
        let count = near.write(&all).await.unwrap();
        assert!((1..=64 * 1024).contains(&count), "{count}");
        assert_eq!(read_len(&far, count).await, &all[..count]);
    });
}

#[test]
fn nothing_to_write_is_done_at_once() {
    run(async || {
        let (near, far) = pair();
        assert_eq!(near.write(b"").await.unwrap(), 0);
        near.write_all(b"").await.unwrap();
        assert_eq!(near.send(Vec::new()).await.unwrap().0, 0);
        assert_eq!(near.send_all(String::new()).await.unwrap(), "");
        assert_eq!(near.try_write(b"").unwrap(), 0);
        drop(near);
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
    });
}

#[test]
fn a_tiny_send_buffer_gets_every_form_whole_and_in_order() {
    run(async || {
        const PART: usize = 400_000;
        let (near, far) = pair();
        SockRef::from(&near).set_send_buffer_size(1).unwrap();
        let sender = annulus::spawn(async move {
            near.write_all(&content(0, 0, PART)).await.unwrap();
            let back = near.send_all(content(0, PART, PART)).await.unwrap();
            assert_content(0, PART, &back);
            let parts: Vec<Vec<u8>> =
                content(0, 2 * PART, PART).chunks(1000).map(<[u8]>::to_vec).collect();
            let back = near.send_all_vectored(parts).await.unwrap();
            assert_content(0, 2 * PART, &back.concat());
        });
        let bytes = read_len(&far, 3 * PART).await;
        assert_content(0, 0, &bytes);
        sender.await.unwrap();
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
    });
}

#[test]
fn try_write_takes_what_fits_and_never_waits() {
    run(async || {
        let (near, far) = narrow_pair();
        let all = content(0, 0, 4 << 20);
        let mut sent = 0;
        let error = loop {
            match near.try_write(&all[sent..]) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!((1..all.len()).contains(&sent), "{sent}");
        assert_content(0, 0, &read_len(&far, sent).await);
    });
}

#[test]
fn try_write_waits_behind_a_send_under_way() {
    run(async || {
        let (near, far) = narrow_pair();
        let drops = Drops::default();
        let len = 4 << 20;
        assert!(poll_and_drop(near.write(b"never")).await.is_none());
        let mut send = Box::pin(near.send_all(drops.buffer(content(0, 0, len))));
        assert!(crate::support::settled::poll_once(&mut send).await.is_pending());
        turn().await;
        assert_eq!(near.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(poll_and_drop(near.writable()).await.expect("at once").is_err(), "a writer writes");
        drop(send);
        assert_content(0, 0, &read_len(&far, len).await);
        near.writable().await.unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(near.try_write(b"x").unwrap(), 1);
        assert_eq!(read_len(&far, 1).await, b"x");
    });
}

#[test]
fn many_streams_send_at_once_and_none_mixes_with_another() {
    run(async || {
        const STREAMS: usize = 40;
        const LEN: usize = 100_000;
        let mut senders = Vec::new();
        let mut readers = Vec::new();
        for stream in 0..STREAMS {
            let (near, far) = narrow_pair();
            readers.push(far);
            senders.push(annulus::spawn(async move {
                for offset in (0..LEN).step_by(10_000) {
                    near.send_all(content(stream, offset, 10_000)).await.unwrap();
                }
            }));
        }
        for (stream, far) in readers.iter().enumerate() {
            let bytes = read_to_end(far).await.unwrap();
            assert_eq!(bytes.len(), LEN);
            assert_content(stream, 0, &bytes);
        }
        joined(senders).await;
    });
}

#[test]
fn the_error_of_a_write_gives_the_buffer_back() {
    run(async || {
        let (near, far) = pair();
        SockRef::from(&far).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(far);
        until(|| near.try_write(b"x").is_err()).await;
        let failed = near.send(b"mine".to_vec()).await.unwrap_err();
        assert_eq!(failed.buf, b"mine");
        let failed = near.send_all("mine").await.unwrap_err();
        assert_eq!(failed.buf, "mine");
        let failed = near.send_all_vectored(vec!["mine", "too"]).await.unwrap_err();
        assert_eq!(failed.buf.iter().map(IoBuf::buf_len).sum::<usize>(), 7);
        let error = near.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}
