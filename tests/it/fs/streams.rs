//! Files read ahead and written behind, and files to sockets and back.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use annulus::fs::{self, File};
use annulus::io::{self, AsyncReadExt, AsyncWriteExt};

use crate::support::files::{Folder, nameless_file};
use crate::support::settled::{
    Drops, assert_content, content, poll_and_drop, poll_once, run, stream_pair, turn, until,
};

/// A file of `len` bytes of a stream's content.
fn filled(len: usize) -> File {
    let file = nameless_file();
    file.write_all_at(&content(8, 0, len), 0).unwrap();
    File::from_std(file)
}

#[test]
fn chunks_are_the_range_in_order_whatever_is_ahead() {
    run(async || {
        let file = filled(100_000);
        for (size, ahead) in [(1000, 1), (4096, 4), (33_333, 3), (200_000, 2)] {
            for range in [0..u64::MAX, 0..100_000, 5000..5000, 5000..42_000, 99_999..1 << 40] {
                let start = range.start as usize;
                let end = range.end.min(100_000) as usize;
                let mut chunks = file.chunks(range).size(size).ahead(ahead);
                let mut at = start;
                while let Some(chunk) = chunks.next().await.unwrap() {
                    assert!(chunk.len() == size || at + chunk.len() == end);
                    assert_content(8, at, &chunk);
                    at += chunk.len();
                    if at & 1 == 0 {
                        chunks.recycle(chunk);
                    }
                }
                assert_eq!(at, end);
                assert!(chunks.next().await.unwrap().is_none(), "the end stays");
            }
        }
        file.close().await.unwrap();
    });
}

#[test]
fn dropped_waits_for_chunks_lose_none() {
    run(async || {
        let file = filled(50_000);
        let mut chunks = file.chunks(..).size(1000);
        let mut at = 0;
        loop {
            let mut next = poll_and_drop(chunks.next()).await;
            turn().await;
            next = match next {
                Some(next) => Some(next),
                None => Some(chunks.next().await),
            };
            let Some(chunk) = next.expect("one of the two").unwrap() else {
                break;
            };
            assert_content(8, at, &chunk);
            at += chunk.len();
        }
        assert_eq!(at, 50_000);
        // Dropped with reads under way, it leaves nothing.
        chunks = file.chunks(..).size(1000).ahead(8);
        chunks.next().await.unwrap();
        drop(chunks);
        file.close().await.unwrap();
        let file = filled(10);
        let _chunks = file.chunks(..);
        assert_eq!(file.close().await.unwrap_err().kind(), ErrorKind::ResourceBusy);
    });
}

#[test]
fn a_file_that_shrinks_or_grows_under_its_chunks_ends_where_it_does() {
    run(async || {
        let plain = nameless_file();
        plain.write_all_at(&content(8, 0, 20_000), 0).unwrap();
        let file = File::from_std(plain.try_clone().unwrap());
        let mut chunks = file.chunks(..).size(1000);
        chunks.next().await.unwrap();
        plain.set_len(10_500).unwrap();
        let mut at = 1000;
        while let Some(chunk) = chunks.next().await.unwrap() {
            at += chunk.len();
        }
        // Some was read before it went.
        assert!((10_500..=20_000).contains(&at), "{at}");
    });
}

#[test]
fn an_error_of_a_chunk_is_told_and_the_place_is_tried_again() {
    run(async || {
        let folder = Folder::new();
        let dir = File::open(folder.path()).await.unwrap();
        let mut chunks = dir.chunks(..);
        for _ in 0..3 {
            assert_eq!(chunks.next().await.unwrap_err().kind(), ErrorKind::IsADirectory);
        }
    });
}

#[test]
fn what_is_written_behind_is_all_there_at_the_end() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let mut writer = file.write_behind(100).bound(3);
        let (mut at, mut back) = (0, 0);
        for part in 0..200 {
            let len = part * 37 % 5000;
            back += usize::from(writer.write(content(9, at, len)).await.unwrap().is_some());
            at += len;
        }
        assert!(back >= 197, "{back}: all but those under way were given back");
        assert_eq!(writer.finish().await.unwrap(), 100 + at as u64);
        let mut bytes = vec![0; at];
        plain.read_exact_at(&mut bytes, 100).unwrap();
        assert_content(9, 0, &bytes);
        file.close().await.unwrap();
    });
}

#[test]
fn no_more_than_the_bound_is_in_memory() {
    run(async || {
        let file = File::from_std(nameless_file());
        let drops = Drops::default();
        let mut writer = file.write_behind(0).bound(2);
        for made in 1..=20 {
            drop(writer.write(drops.buffer(vec![7; 10_000])).await.unwrap());
            assert!(made - drops.count() <= 3, "{made}, {}", drops.count());
        }
        writer.finish().await.unwrap();
        assert_eq!(drops.count(), 20);
    });
}

#[test]
fn an_error_behind_is_told_by_a_later_write_or_the_end() {
    run(async || {
        let full = || {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
            File::from_std(full.unwrap())
        };
        let file = full();
        let mut writer = file.write_behind(0);
        writer.write("lost").await.unwrap();
        assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::StorageFull);
        let mut writer = file.write_behind(0).bound(1);
        writer.write("lost").await.unwrap();
        let told = writer.write("never").await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::StorageFull);
        drop(writer);
        // Dropped, it is the file that tells.
        let drops = Drops::default();
        let mut writer = file.write_behind(0);
        assert!(poll_once(&mut Box::pin(writer.write(drops.buffer(vec![1])))).await.is_ready());
        turn().await;
        drop(writer);
        until(|| drops.count() == 1).await;
        assert_eq!(file.close().await.unwrap_err().kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn a_file_goes_through_a_connection_and_arrives_whole() {
    run(async || {
        const LEN: usize = 3 << 20;
        let (near, far) = stream_pair();
        let sending = annulus::spawn(async move {
            let mut last = 0;
            let file = filled(LEN);
            let sent = file.send_to(&near, 10.., |sent| {
                assert!(sent > last);
                last = sent;
            });
            assert_eq!(sent.await.unwrap(), LEN as u64 - 10);
            near.shutdown().await.unwrap();
        });
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let mut seen = 0;
        let received = file.receive_from(&far, 7, |received| seen = received).await.unwrap();
        assert_eq!((received, seen), (LEN as u64 - 10, received));
        sending.await.unwrap();
        let mut bytes = vec![0; LEN - 10];
        plain.read_exact_at(&mut bytes, 7).unwrap();
        assert_content(8, 10, &bytes);
        file.sync_all().await.unwrap();
    });
}

#[test]
fn files_are_the_ends_of_a_copy_of_streams() {
    run(async || {
        const LEN: usize = 1 << 20;
        let (mut near, mut far) = stream_pair();
        let sending = annulus::spawn(async move {
            let file = filled(LEN);
            let sent = io::copy(&mut file.chunks(10..).size(10_000), &mut near).await;
            assert_eq!(sent.unwrap(), LEN as u64 - 10);
            near.shutdown().await.unwrap();
        });
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let mut writer = file.write_behind(7).bound(2);
        let received = io::copy(&mut far, &mut writer).await.unwrap();
        assert_eq!(received, LEN as u64 - 10);
        // The copy flushed: all is in the file.
        let mut bytes = vec![0; LEN - 10];
        plain.read_exact_at(&mut bytes, 7).unwrap();
        assert_content(8, 10, &bytes);
        assert_eq!(writer.finish().await.unwrap(), LEN as u64 - 3);
        sending.await.unwrap();
    });
}

#[test]
fn a_file_is_read_by_lines_and_in_parts_without_losing_a_byte() {
    run(async || {
        let plain = nameless_file();
        let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        plain.write_all_at(text.as_bytes(), 0).unwrap();
        let file = File::from_std(plain);
        let mut lines = io::BufReader::new(file.chunks(..).size(37));
        let mut count = 0;
        while let Some(line) = lines.line().await.unwrap() {
            assert_eq!(line, format!("line {count}").as_bytes());
            count += 1;
        }
        assert_eq!(count, 1000);
        // Whole chunks and parts of them, in turn.
        let mut chunks = file.chunks(..).size(100);
        let mut read = Vec::new();
        loop {
            let mut part = [0; 30];
            let len = chunks.read(&mut part).await.unwrap();
            read.extend_from_slice(&part[..len]);
            let Some(rest) = chunks.next().await.unwrap() else {
                break;
            };
            read.extend(rest);
        }
        assert!(read == text.as_bytes());
    });
}

#[test]
fn bytes_that_are_accepted_behind_are_written_or_their_error_is_told() {
    run(async || {
        let plain = nameless_file();
        let mut writer = File::from_std(plain.try_clone().unwrap()).write_behind(0).bound(1);
        writer.write_all(&content(9, 0, 200_000)).await.unwrap();
        writer.shutdown().await.unwrap();
        let mut bytes = vec![0; 200_000];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_content(9, 0, &bytes);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = File::from_std(full).write_behind(0);
        let failed = async {
            writer.write_all(b"no room").await?;
            writer.flush().await
        };
        assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn a_copy_tells_its_progress_and_keeps_the_permissions() {
    run(async || {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let from = folder.file("from", content(8, 0, 1_000_000));
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o640)).unwrap();
        let to = folder.join("to");
        let mut steps = Vec::new();
        let copied = fs::copy_with(&from, &to, |done| steps.push(done)).await.unwrap();
        assert_eq!((copied, steps.last()), (1_000_000, Some(&1_000_000)));
        assert_content(8, 0, &std::fs::read(&to).unwrap());
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        // A file of the kernel's own, which says that it is empty.
        let count = fs::copy("/proc/self/limits", &to).await.unwrap();
        assert_eq!(std::fs::read(&to).unwrap().len() as u64, count);
        assert!(count > 0);
        let none = fs::copy(folder.path(), &to).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
    });
}
