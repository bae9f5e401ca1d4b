//! Reads and writes at the file's own position, beside the same on std's.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use annulus::fs::File;

use crate::support::files::{Folder, nameless_file};
use crate::support::settled::{assert_content, content, poll_and_drop, poll_once, run, turn};

#[test]
fn reads_writes_and_seeks_go_where_std_s_go() {
    run(async || {
        let mut theirs = nameless_file();
        let ours = File::from_std(nameless_file());
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for step in 0..300 {
            match next(8) {
                0..3 => {
                    let bytes = content(step, 0, next(9000) as usize);
                    ours.write_all(&bytes).await.unwrap();
                    theirs.write_all(&bytes).unwrap();
                }
                3..6 => {
                    let len = next(9000) as usize;
                    let (mut our, mut their) = (vec![0; len], vec![0; len]);
                    let count = ours.read(&mut our).await.unwrap();
                    assert_eq!(count, theirs.read(&mut their).unwrap());
                    assert_eq!(our, their);
                }
                _ => {
                    let by = next(20_000) as i64 - 10_000;
                    let to = match next(3) {
                        0 => SeekFrom::Start(by.unsigned_abs()),
                        1 => SeekFrom::Current(by),
                        _ => SeekFrom::End(by),
                    };
                    let kinds = ours.seek(to).await.map_err(|error| error.kind());
                    assert_eq!(kinds, theirs.seek(to).map_err(|error| error.kind()), "{to:?}");
                }
            }
            let position = ours.stream_position().await.unwrap();
            assert_eq!(position, theirs.stream_position().unwrap());
        }
        ours.rewind().await.unwrap();
        theirs.rewind().unwrap();
        let (mut our, mut their) = (Vec::new(), Vec::new());
        ours.read_to_end(&mut our).await.unwrap();
        theirs.read_to_end(&mut their).unwrap();
        assert!(our == their);
    });
}

#[test]
fn the_position_comes_from_std_and_goes_back() {
    run(async || {
        let mut plain = nameless_file();
        plain.write_all(&content(1, 0, 1000)).unwrap();
        plain.seek(SeekFrom::Start(100)).unwrap();
        let file = File::from_std(plain);
        let mut bytes = [0; 50];
        file.read_exact(&mut bytes).await.unwrap();
        assert_content(1, 100, &bytes);
        let clone = file.try_clone().unwrap();
        clone.read_exact(&mut bytes).await.unwrap();
        assert_content(1, 150, &bytes);
        let mut plain = file.into_std().await.unwrap();
        assert_eq!(plain.stream_position().unwrap(), 150, "the clone has its own");
    });
}

#[test]
fn a_dropped_read_loses_nothing() {
    run(async || {
        let mut plain = nameless_file();
        plain.write_all(&content(2, 0, 1000)).unwrap();
        plain.rewind().unwrap();
        let file = File::from_std(plain);
        let mut at = 0;
        for _ in 0..10 {
            let mut buf = [0; 40];
            let mut read = Box::pin(file.read(&mut buf));
            assert!(poll_once(&mut read).await.is_pending());
            turn().await;
            drop(read);
            assert!(poll_and_drop(file.read(&mut buf)).await.is_none());
            file.read_exact(&mut buf).await.unwrap();
            assert_content(2, at, &buf);
            at += buf.len();
        }
    });
}

#[test]
fn a_dropped_write_is_gone_on_behind() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        file.write_all(b"first, ").await.unwrap();
        let mut write = Box::pin(file.write(b"dropped, "));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        assert!(poll_and_drop(file.write(b"never")).await.is_none());
        file.write_all(b"last").await.unwrap();
        assert_eq!(file.stream_position().await.unwrap(), 20);
        let mut bytes = [0; 20];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"first, dropped, last");
    });
}

#[test]
fn a_second_user_of_the_position_is_refused_and_loses_nothing() {
    run(async || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(reader).into());
        let mut buf = [0; 4];
        let mut first = Box::pin(file.read(&mut buf));
        assert!(poll_once(&mut first).await.is_pending());
        turn().await;
        let second = file.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::ResourceBusy);
        writer.write_all(b"text").unwrap();
        assert_eq!(first.await.unwrap(), 4);
        assert_eq!(&buf, b"text");
    });
}

#[test]
fn appended_bytes_go_to_the_end_whatever_the_position() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("log", "begin");
        let plain = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        let file = File::from_std(plain);
        let mut word = [0; 3];
        file.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"beg");
        file.write_all(b", more").await.unwrap();
        assert_eq!(file.stream_position().await.unwrap(), 11);
        file.seek(SeekFrom::Start(2)).await.unwrap();
        file.write_at(", and more", 0).await.unwrap();
        file.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"gin");
        assert_eq!(std::fs::read(&path).unwrap(), b"begin, more, and more");
        assert_eq!(file.seek(SeekFrom::End(-4)).await.unwrap(), 17);
    });
}

#[test]
fn a_pipe_is_read_to_its_end_and_has_no_position() {
    run(async || {
        let (reader, writer) = std::io::pipe().unwrap();
        let [reader, writer] =
            [OwnedFd::from(reader), OwnedFd::from(writer)].map(|end| File::from_std(end.into()));
        let sending = annulus::spawn(async move {
            writer.write_all(&content(3, 0, 200_000)).await.unwrap();
        });
        let mut bytes = Vec::new();
        assert_eq!(reader.read_to_end(&mut bytes).await.unwrap(), 200_000);
        assert_content(3, 0, &bytes);
        sending.await.unwrap();
        let refused = reader.stream_position().await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESPIPE));
    });
}

#[test]
fn text_is_appended_only_if_it_is_text() {
    run(async || {
        let folder = Folder::new();
        let file = File::open(folder.file("good", "grüße")).await.unwrap();
        let mut text = "he sends ".to_owned();
        assert_eq!(file.read_to_string(&mut text).await.unwrap(), 7);
        assert_eq!(text, "he sends grüße");
        let file = File::open(folder.file("bad", [b'a', 0xff])).await.unwrap();
        let failed = file.read_to_string(&mut text).await.unwrap_err();
        assert_eq!((failed.kind(), text.as_str()), (ErrorKind::InvalidData, "he sends grüße"));
    });
}

#[test]
fn an_exact_read_over_the_end_is_an_error() {
    run(async || {
        let folder = Folder::new();
        let file = File::open(folder.file("short", "text")).await.unwrap();
        let failed = file.read_exact(&mut [0; 5]).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.read(&mut []).await.unwrap(), 0);
    });
}
