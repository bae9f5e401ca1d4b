//! READV at an offset, into several buffers of the caller's.

use std::fs::OpenOptions;
use std::io::Write;

use annulus::fs::File;

use crate::support::files::{nameless_file, reopened};
use crate::support::settled::{assert_content, content, run};

fn filled(len: usize) -> std::fs::File {
    let mut file = nameless_file();
    file.write_all(&content(2, 0, len)).unwrap();
    file
}

#[test]
fn it_fills_one_buffer_after_the_other() {
    run(async || {
        let file = File::from_std(filled(1000));
        let bufs = Vec::from([0, 1, 100, 0, 200].map(Vec::with_capacity));
        let (count, bufs) = file.read_vectored_at(bufs, 50).await.unwrap();
        assert_eq!((count, lens(&bufs)), (301, vec![0, 1, 100, 0, 200]));
        let mut at = 50;
        for buf in bufs {
            assert_content(2, at, &buf);
            at += buf.len();
        }
    });
}

#[test]
fn the_end_of_the_file_leaves_the_last_buffers_short_and_empty() {
    run(async || {
        let file = File::from_std(filled(150));
        let bufs: Vec<Box<[u8]>> = vec![vec![7; 100].into(), vec![7; 100].into()];
        let (count, bufs) = file.read_vectored_at(bufs, 0).await.unwrap();
        assert_eq!(count, 150);
        assert_content(2, 100, &bufs[1][..50]);
        assert_eq!(bufs[1][50..], [7; 50], "a box keeps its length, and the rest of its bytes");
        let bufs = vec![vec![7; 100], vec![7; 100], vec![7; 3]];
        let (count, bufs) = file.read_vectored_at(bufs, 20).await.unwrap();
        assert_eq!((count, lens(&bufs)), (130, vec![100, 30, 0]));
        let (count, bufs) = file.read_vectored_at(vec![vec![7; 9]], 150).await.unwrap();
        assert_eq!((count, bufs[0].len()), (0, 0));
    });
}

fn lens(bufs: &[Vec<u8>]) -> Vec<usize> {
    bufs.iter().map(Vec::len).collect()
}

#[test]
fn more_buffers_than_an_operation_takes_are_left_as_they_are() {
    run(async || {
        let file = File::from_std(filled(4000));
        let (count, bufs) = file.read_vectored_at(vec![vec![7; 1]; 1100], 0).await.unwrap();
        assert_eq!((count, bufs.len()), (1024, 1100));
        for (at, buf) in bufs[..1024].iter().enumerate() {
            assert_content(2, at, buf);
        }
        assert!(bufs[1024..].iter().all(|buf| buf == &[7]));
        let (count, bufs) = file.read_vectored_at(Vec::<Vec<u8>>::new(), 0).await.unwrap();
        assert_eq!((count, bufs.len()), (0, 0));
    });
}

#[test]
fn an_error_gives_the_buffers_back() {
    run(async || {
        let file = File::from_std(reopened(&filled(10), OpenOptions::new().write(true)));
        let failed = file.read_vectored_at(vec![b"mine".to_vec()], 0).await.unwrap_err();
        assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.buf, [b"mine"]);
    });
}
