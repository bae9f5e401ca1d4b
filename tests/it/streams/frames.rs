//! Messages with their lengths and messages as lines: at all points where they may be split or cut off.

use std::io::ErrorKind;

use annulus::buf::Chunk;
use annulus::io::{AsyncReadExt, Framing, TooLong, duplex, simplex};
use annulus::spawn;

use super::Pieces;
use crate::support::settled::{assert_content, content, poll_and_drop, run, stream_pair, turn};

fn framings() -> Vec<(Framing, Vec<u8>)> {
    let frames: [&[u8]; 3] = [b"one", b"", b"three"];
    let encode = |length: &dyn Fn(usize) -> Vec<u8>| {
        frames.iter().flat_map(|frame| [length(frame.len()), frame.to_vec()].concat()).collect()
    };
    vec![
        (Framing::u8(), encode(&|len| vec![len as u8])),
        (Framing::u16(), encode(&|len| (len as u16).to_be_bytes().to_vec())),
        (Framing::u32(), encode(&|len| (len as u32).to_be_bytes().to_vec())),
        (Framing::u64(), encode(&|len| (len as u64).to_be_bytes().to_vec())),
        (Framing::u16().little_endian(), encode(&|len| (len as u16).to_le_bytes().to_vec())),
        (Framing::u32().little_endian(), encode(&|len| (len as u32).to_le_bytes().to_vec())),
        (Framing::u64().little_endian(), encode(&|len| (len as u64).to_le_bytes().to_vec())),
        (Framing::lines(), b"one\n\r\nthree\n".to_vec()),
        (Framing::lines().little_endian(), b"one\r\n\nthree".to_vec()),
    ]
}

#[test]
fn frames_are_found_wherever_the_bytes_are_split() {
    run(async || {
        for (framing, bytes) in framings() {
            for at in 0..=bytes.len() {
                let mut reader = framing.reader(Pieces::new([&bytes[..at], &[], &bytes[at..]]));
                for frame in [&b"one"[..], b"", b"three"] {
                    // The empty piece in between is a poll that is given up.
                    let found = loop {
                        if let Some(found) = poll_and_drop(reader.next()).await {
                            break found.unwrap().map(<[u8]>::to_vec);
                        }
                    };
                    assert_eq!(found.as_deref(), Some(frame), "{framing:?} split at {at}");
                }
                let end = loop {
                    if let Some(end) = poll_and_drop(reader.next()).await {
                        break end.unwrap();
                    }
                };
                assert_eq!(end, None);
            }
        }
    });
}

#[test]
fn a_stream_that_ends_within_a_frame_says_so() {
    run(async || {
        for (framing, bytes) in framings().into_iter().take(7) {
            let mut ends = vec![0];
            for cut in 0..bytes.len() {
                let mut reader = framing.reader(Pieces::of_len(&bytes[..cut], 2));
                let error = loop {
                    match reader.next().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                match error {
                    None => ends.push(cut),
                    Some(error) => {
                        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                        assert_eq!(error.to_string(), "the stream ended within a message");
                        // What came of it is still there.
                        let mut rest = Vec::new();
                        reader.into_inner().read_to_end(&mut rest).await.unwrap();
                        assert!(!rest.is_empty() && bytes[..cut].ends_with(&rest));
                    }
                }
            }
            ends.dedup();
            assert_eq!(ends.len(), 3, "before each frame alone: {ends:?}");
        }
    });
}

#[test]
fn a_length_over_the_maximum_is_refused_before_memory_is_taken() {
    run(async || {
        let lengths: [(Framing, Vec<u8>); 5] = [
            (Framing::u8().max(9), vec![10]),
            (Framing::u16().max(9), vec![255, 255]),
            (Framing::u32(), vec![255; 4]),
            (Framing::u64(), vec![255; 8]),
            (Framing::u64().max(usize::MAX).little_endian().max(9), vec![10, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (framing, bytes) in lengths {
            let mut reader = framing.reader(Pieces::of_len(&bytes, 1));
            for _ in 0..2 {
                let error = reader.next().await.unwrap_err();
                assert!(TooLong::is(&error), "{framing:?}: {error}");
            }
            assert_eq!(reader.get_mut().exact(bytes.len()).await.unwrap(), bytes);
        }
        for (line, fits) in [
            ("123456789\n", true),
            ("123456789\r\n", true),
            ("1234567890\n", false),
            ("12345678901234\n", false),
            ("1234567890123", false),
        ] {
            let mut reader = Framing::lines().max(9).reader(Pieces::of_len(line.as_bytes(), 3));
            let result = reader.next().await;
            match fits {
                true => assert_eq!(result.unwrap(), Some(&b"123456789"[..])),
                false => {
                    let error = result.unwrap_err();
                    assert_eq!(error.to_string(), "longer than the limit of 9 bytes");
                }
            }
        }
    });
}

#[test]
fn messages_that_do_not_fit_are_not_written() {
    run(async || {
        let (reader, writer) = simplex(1 << 20);
        let mut writer = Framing::u8().max(1000).writer(writer);
        let error = writer.send(vec![0; 256]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "a message of 256 bytes; at most 255 are allowed");
        writer.send(vec![1; 255]).await.unwrap();
        drop(writer);
        let mut reader = Framing::u8().reader(reader);
        assert_eq!(reader.next().await.unwrap(), Some(&[1; 255][..]));
        assert_eq!(reader.next().await.unwrap(), None);

        let (mut reader, writer) = simplex(100);
        let mut writer = Framing::lines().writer(writer);
        assert_eq!(
            writer.feed(b"a\nb".to_vec()).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        writer.feed(b"ab".to_vec()).await.unwrap();
        assert!(poll_and_drop(reader.recv()).await.is_none(), "it is gathered");
        writer.flush().await.unwrap();
        assert_eq!(&*reader.recv().await.unwrap().unwrap(), b"ab\n");
    });
}

#[test]
fn frames_of_all_sizes_go_through_a_socket() {
    run(async || {
        for framing in
            [Framing::u32(), Framing::u64().little_endian(), Framing::lines().max(1 << 20)]
        {
            let (near, far) = stream_pair();
            let lens = [0, 1, 100, 8000, 8188, 8192, 70_000, 3, 500_000];
            let writing = spawn(async move {
                let mut writer = framing.writer(near);
                for (stream, len) in lens.into_iter().enumerate() {
                    writer.send(text(stream, len)).await?;
                }
                writer.shutdown().await
            });
            let mut reader = framing.reader(far);
            for (stream, len) in lens.into_iter().enumerate() {
                let found = reader.next().await.unwrap().expect("more comes");
                assert_eq!(found.len(), len);
                assert!(found == text(stream, len), "frame {stream}");
            }
            assert_eq!(reader.next().await.unwrap(), None);
            writing.await.unwrap().unwrap();
        }
    });
}

/// Bytes without a line end.
fn text(stream: usize, len: usize) -> Vec<u8> {
    let mut bytes = content(stream, 0, len);
    bytes.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    bytes
}

#[test]
fn a_dropped_send_tears_no_frame() {
    run(async || {
        let (near, far) = duplex(50);
        let mut writer = Framing::u32().writer(near);
        let mut reader = Framing::u32().reader(far);
        let mut accepted = Vec::new();
        let mut found = 0;
        for number in 0..400_usize {
            turn().await;
            let len = [3, 40, 9000, 0, 20_000][number % 5];
            // Dropped if it is not accepted at once; then it was whole or not at all.
            let feeding = writer.feed(Chunk::from(content(number, 0, len)));
            match poll_and_drop(feeding).await {
                Some(result) => {
                    result.unwrap();
                    accepted.push((number, len));
                }
                None => {
                    let Some(&(number, len)) = accepted.get(found) else { continue };
                    let frame = next_of(&mut writer, &mut reader).await;
                    assert_eq!(frame.len(), len);
                    assert_content(number, 0, &frame);
                    found += 1;
                }
            }
        }
        assert!(found > 10 && accepted.len() < 400, "{found} of {}", accepted.len());
        while found < accepted.len() {
            let (number, len) = accepted[found];
            let frame = next_of(&mut writer, &mut reader).await;
            assert_eq!(frame.len(), len);
            assert_content(number, 0, &frame);
            found += 1;
        }
    });
}

/// Takes the next frame, with flushes that are given up again and again meanwhile.
async fn next_of<W: annulus::io::AsyncWrite, R: annulus::io::AsyncRead>(
    writer: &mut annulus::io::FrameWriter<W>,
    reader: &mut annulus::io::FrameReader<R>,
) -> Vec<u8> {
    loop {
        if let Some(result) = poll_and_drop(writer.flush()).await {
            result.unwrap();
        }
        if let Some(frame) = poll_and_drop(reader.next()).await {
            return frame.unwrap().expect("more was accepted").to_vec();
        }
        // What this task may do in one poll is bounded.
        turn().await;
    }
}
