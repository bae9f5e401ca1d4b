//! Lines, pieces and lengths out of whatever pieces the bytes come in: limits, ends, and what a dropped future leaves.

use std::io::ErrorKind;

use annulus::io::{AsyncReadExt, AsyncWriteExt, BufReader, TooLong, duplex};

use super::Pieces;
use crate::support::settled::{pair, poll_and_drop, run, turn, write_now};

const TEXT: &[u8] = b"one\r\ntwo\n\nthree \xc3\xa9\nfour";

#[test]
fn lines_are_lent_without_their_ends() {
    run(async || {
        for len in 1..=TEXT.len() {
            let mut reader = BufReader::new(Pieces::of_len(TEXT, len));
            let lines: [&[u8]; 5] = [b"one", b"two", b"", "three é".as_bytes(), b"four"];
            for line in lines {
                assert_eq!(reader.line().await.unwrap(), Some(line), "pieces of {len}");
            }
            assert_eq!(reader.line().await.unwrap(), None);
            assert_eq!(reader.line().await.unwrap(), None);
        }
    });
}

#[test]
fn texts_and_pieces_of_their_own() {
    run(async || {
        for len in 1..=TEXT.len() {
            let mut reader = BufReader::new(Pieces::of_len(TEXT, len));
            let mut text = String::from(">");
            assert_eq!(reader.read_line(&mut text).await.unwrap(), 5);
            assert_eq!(text, ">one\r\n");
            let mut bytes = b">".to_vec();
            assert_eq!(reader.read_until(b'w', &mut bytes).await.unwrap(), 2);
            assert_eq!(bytes, b">tw");
            assert_eq!(reader.until(b'\n').await.unwrap(), Some(&b"o\n"[..]));
            let mut lines = reader.lines();
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(""));
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("three é"));
            let mut reader = lines.into_inner();
            assert_eq!(reader.fill_buf().await.unwrap().first(), Some(&b'f'));
            reader.consume(1);
            let mut pieces = reader.split(b'u');
            assert_eq!(pieces.next_segment().await.unwrap().as_deref(), Some(&b"o"[..]));
            assert_eq!(pieces.next_segment().await.unwrap().as_deref(), Some(&b"r"[..]));
            assert_eq!(pieces.next_segment().await.unwrap(), None);
            let mut reader = pieces.into_inner();
            assert_eq!(reader.read_line(&mut text).await.unwrap(), 0);
            assert_eq!(reader.read_until(b'x', &mut bytes).await.unwrap(), 0);
            assert!(reader.fill_buf().await.unwrap().is_empty());
        }
    });
}

#[test]
fn exact_lengths_come_whole_or_not_at_all() {
    run(async || {
        for len in 1..=TEXT.len() {
            let mut reader = BufReader::new(Pieces::of_len(TEXT, len));
            assert_eq!(reader.exact(0).await.unwrap(), b"");
            assert_eq!(reader.exact(4).await.unwrap(), &TEXT[..4]);
            let mut buf = [0; 6];
            reader.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, TEXT[4..10]);
            let mut much = [9; 100];
            let error = reader.read_exact(&mut much).await.unwrap_err();
            assert_eq!((error.kind(), much), (ErrorKind::UnexpectedEof, [9; 100]));
            assert_eq!(reader.exact(50).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            // All that came is still there.
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, &TEXT[10..]);
        }
    });
}

#[test]
fn what_is_no_text_stays_and_can_be_read_as_bytes() {
    run(async || {
        for len in 1..10 {
            let mut reader = BufReader::new(Pieces::of_len(b"bad \xff\xfe\ngood\n", len));
            let mut text = String::new();
            for _ in 0..2 {
                let error = reader.read_line(&mut text).await.unwrap_err();
                assert_eq!((error.kind(), text.as_str()), (ErrorKind::InvalidData, ""));
                assert!(!TooLong::is(&error));
            }
            let mut lines = reader.lines();
            assert_eq!(lines.next_line().await.unwrap_err().kind(), ErrorKind::InvalidData);
            let reader = lines.get_mut();
            assert_eq!(reader.line().await.unwrap(), Some(&b"bad \xff\xfe"[..]));
            assert_eq!(reader.read_line(&mut text).await.unwrap(), 5);
            assert_eq!(text, "good\n");
        }
    });
}

#[test]
fn a_line_over_the_limit_is_refused_and_lost_it_is_not() {
    run(async || {
        for len in 1..12 {
            let mut reader =
                BufReader::with_limit(8, Pieces::of_len(b"1234567\n12345678\nab\n", len));
            assert_eq!(reader.line().await.unwrap(), Some(&b"1234567"[..]));
            for _ in 0..2 {
                let error = reader.line().await.unwrap_err();
                assert!(TooLong::is(&error) && error.kind() == ErrorKind::InvalidData);
                assert_eq!(error.to_string(), "longer than the limit of 8 bytes");
                assert!(TooLong::is(&reader.read_line(&mut String::new()).await.unwrap_err()));
                assert!(TooLong::is(&reader.until(b'\n').await.unwrap_err()));
            }
            // Another end may be nearer; and the stream goes on behind the line.
            assert_eq!(reader.until(b'5').await.unwrap(), Some(&b"12345"[..]));
            assert_eq!(reader.line().await.unwrap(), Some(&b"678"[..]));
            assert_eq!(reader.line().await.unwrap(), Some(&b"ab"[..]));
            assert_eq!(reader.line().await.unwrap(), None);
        }
    });
}

#[test]
fn a_line_without_end_takes_up_no_more_than_the_limit() {
    run(async || {
        let (mut near, far) = duplex(100);
        let endless = annulus::spawn(async move {
            let mut sent = 0;
            while near.write_all(&[b'x'; 50]).await.is_ok() {
                sent += 50;
            }
            sent
        });
        let mut reader = BufReader::with_limit(1000, far);
        assert!(TooLong::is(&reader.line().await.unwrap_err()));
        let (far, rest) = reader.into_parts();
        assert!((1000..1100).contains(&rest.len()), "{}", rest.len());
        drop(far);
        assert!(endless.await.unwrap() <= 1300);
    });
}

#[test]
fn dropped_at_each_piece_nothing_is_lost() {
    run(async || {
        // Each piece comes after a poll that was given up.
        let pieces = TEXT.iter().flat_map(|byte| [vec![], vec![*byte]]);
        let mut reader = BufReader::new(Pieces::new(pieces));
        let mut dropped = 0;
        let mut line = String::new();
        while poll_and_drop(reader.read_line(&mut line)).await.is_none() {
            dropped += 1;
        }
        assert_eq!((line.as_str(), dropped), ("one\r\n", 5));
        let mut buf = [0; 3];
        while poll_and_drop(reader.read_exact(&mut buf)).await.is_none() {
            assert_eq!(buf, [0; 3]);
        }
        assert_eq!(&buf, b"two");
        while poll_and_drop(reader.exact(2)).await.is_none() {}
        let mut bytes = Vec::new();
        while poll_and_drop(reader.read_until(b' ', &mut bytes)).await.is_none() {
            assert_eq!(bytes, b"");
        }
        assert_eq!(bytes, b"three ");
        while poll_and_drop(reader.until(b'\n')).await.is_none() {}
        let mut lines = reader.lines();
        loop {
            if let Some(line) = poll_and_drop(lines.next_line()).await {
                assert_eq!(line.unwrap().as_deref(), Some("four"));
                break;
            }
        }
    });
}

#[test]
fn over_a_socket_a_line_lies_where_the_kernel_put_it_and_who_waits_holds_no_buffer() {
    run(async || {
        let (near, far) = pair();
        let mut reader = BufReader::new(near);
        assert!(poll_and_drop(reader.line()).await.is_none());
        write_now(&far, b"HELO x\r\nQUIT\r\nre");
        assert_eq!(reader.line().await.unwrap(), Some(&b"HELO x"[..]));
        assert_eq!(annulus::runtime::metrics().lent_buffers, 1);
        assert_eq!(reader.buffer(), b"QUIT\r\nre");
        assert_eq!(reader.line().await.unwrap(), Some(&b"QUIT"[..]));
        assert!(poll_and_drop(reader.line()).await.is_none());
        write_now(&far, b"st\r\n");
        assert_eq!(reader.line().await.unwrap(), Some(&b"rest"[..]));
        assert!(poll_and_drop(reader.line()).await.is_none());
        turn().await;
        assert_eq!(annulus::runtime::metrics().lent_buffers, 0);
        // What is written goes past the buffer.
        AsyncWriteExt::write_all(&mut reader, b"bye").await.unwrap();
        let mut two = [0; 2];
        write_now(&far, b"abc");
        assert_eq!(AsyncReadExt::read(&mut reader, &mut two).await.unwrap(), 2);
        let (near, rest) = reader.into_parts();
        assert_eq!(rest, b"c");
        drop(near);
        assert_eq!(crate::support::settled::read_to_end(&far).await.unwrap(), b"bye");
    });
}

#[test]
fn a_chunk_taken_from_the_front_leaves_those_behind_it_in_order() {
    run(async || {
        let mut reader = BufReader::new(Pieces::new([&b"aa"[..], b"bb", b"", b"cc\ndd", b"\n"]));
        assert!(poll_and_drop(reader.line()).await.is_none());
        let first = AsyncReadExt::recv(&mut reader).await.unwrap();
        assert_eq!(first.as_deref(), Some(&b"aa"[..]));
        assert_eq!(reader.line().await.unwrap(), Some(&b"bbcc"[..]));
        assert_eq!(reader.line().await.unwrap(), Some(&b"dd"[..]));
        assert_eq!(reader.line().await.unwrap(), None);
    });
}

#[test]
#[should_panic(expected = "consume 3 of 2 bytes")]
fn more_than_there_is_cannot_be_consumed() {
    let mut reader = BufReader::new(Pieces::new([b"ab"]));
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        reader.fill_buf().await.unwrap();
        reader.consume(3);
    });
}
