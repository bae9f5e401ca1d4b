//! Reads and writes of whole buffers at an offset.

use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use annulus::buf::Slice;
use annulus::fs::File;
use annulus::spawn;

use crate::support::files::nameless_file;
use crate::support::settled::{assert_content, content, joined, run};

/// A file of `len` bytes of a stream's content.
fn filled(len: usize) -> File {
    let mut file = nameless_file();
    file.write_all(&content(4, 0, len)).unwrap();
    File::from_std(file)
}

/// A pipe, which is read and written in parts.
fn pipe() -> (PipeReader, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, File::from_std(OwnedFd::from(writer).into()))
}

#[test]
fn an_exact_read_fills_the_buffer_or_says_how_far_it_came() {
    run(async || {
        let file = filled(1000);
        let buf = file.read_exact_at(Vec::with_capacity(300), 500).await.unwrap();
        assert_eq!(buf.len(), 300);
        assert_content(4, 500, &buf);
        let failed = file.read_exact_at(Vec::with_capacity(300), 800).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!((failed.transferred, failed.buf.len()), (200, 200));
        assert_content(4, 800, &failed.buf);
        assert!(failed.to_string().contains("after 200 bytes"), "{failed}");
        let buf = file.read_exact_at(Vec::new(), 5000).await.unwrap();
        assert!(buf.is_empty(), "nothing was asked for");
        let slice = Slice::for_read(vec![9; 100], 10..20);
        let buf = file.read_exact_at(slice, 0).await.unwrap().into_inner();
        assert_content(4, 0, &buf[10..20]);
        assert_eq!((&buf[..10], &buf[20..]), ([9; 10].as_slice(), [9; 80].as_slice()));
    });
}

#[test]
fn an_exact_read_goes_on_after_each_part() {
    run(async || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(reader).into());
        let parts = std::thread::spawn(move || {
            for at in 0..20 {
                writer.write_all(&content(4, at * 50, 50)).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let buf = file.read_exact_at(vec![0; 1000].into_boxed_slice(), 0).await.unwrap();
        assert_content(4, 0, &buf);
        let failed = file.read_exact_at(vec![0; 1], 0).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::UnexpectedEof);
        parts.join().unwrap();
    });
}

#[test]
fn a_whole_write_goes_on_after_each_part() {
    run(async || {
        let (mut reader, file) = pipe();
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let buf = file.write_all_at(content(5, 0, 300_000), 0).await.unwrap();
        assert_eq!(buf.len(), 300_000);
        let bufs = (0..3).map(|at| content(5, 300_000 + at * 100_000, 100_000)).collect();
        file.write_all_vectored_at(bufs, 0).await.unwrap();
        file.close().await.unwrap();
        let bytes = read.join().unwrap();
        assert_eq!(bytes.len(), 600_000);
        assert_content(5, 0, &bytes);
    });
}

#[test]
fn the_largest_offset_is_refused_and_does_not_mean_the_position() {
    run(async || {
        let file = filled(10);
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let failed = file.read_at(vec![0; 4], offset).await.unwrap_err();
            assert_eq!(failed.error.kind(), ErrorKind::InvalidInput, "{offset}");
            let failed = file.write_at("text", offset).await.unwrap_err();
            assert_eq!(failed.error.kind(), ErrorKind::InvalidInput, "{offset}");
            assert!(file.read_vectored_at(vec![vec![0; 4]], offset).await.is_err());
            assert!(file.write_vectored_at(vec!["text"], offset).await.is_err());
        }
        let failed = file.write_all_at("text", i64::MAX as u64 - 1).await.unwrap_err();
        assert!(matches!(failed.error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge));
    });
}

#[test]
fn a_buffer_of_each_small_length_comes_through() {
    run(async || {
        let file = File::from_std(nameless_file());
        for len in 0..100 {
            let at = 10_000 * len as u64;
            file.write_all_at(content(6, 0, len), at).await.unwrap();
            let buf = file.read_exact_at(Vec::with_capacity(len), at).await.unwrap();
            assert_eq!(buf.len(), len);
            assert_content(6, 0, &buf);
        }
    });
}

#[test]
fn many_tasks_read_and_write_one_file() {
    run(async || {
        let plain = nameless_file();
        let file = std::rc::Rc::new(File::from_std(plain.try_clone().unwrap()));
        let tasks = (0..64).map(|task| {
            let file = std::rc::Rc::clone(&file);
            spawn(async move {
                for round in 0..8 {
                    let at = (round * 64 + task) * 512;
                    file.write_all_at(content(7, at, 512), at as u64).await.unwrap();
                    let buf = vec![0; 512].into_boxed_slice();
                    assert_content(7, at, &file.read_exact_at(buf, at as u64).await.unwrap());
                }
            })
        });
        joined(tasks.collect()).await;
        let mut bytes = vec![0; 64 * 8 * 512];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_content(7, 0, &bytes);
    });
}
