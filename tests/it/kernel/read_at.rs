//! READ at an offset, into a caller's buffer.

use std::fs::OpenOptions;
use std::io::Write;

use annulus::buf::Slice;
use annulus::fs::File;

use crate::support::files::{nameless_file, reopened};
use crate::support::settled::{assert_content, content, run};

fn filled(len: usize) -> std::fs::File {
    let mut file = nameless_file();
    file.write_all(&content(1, 0, len)).unwrap();
    file
}

#[test]
fn it_reads_what_lies_at_the_offset() {
    run(async || {
        let file = File::from_std(filled(100_000));
        let mut buf = Vec::with_capacity(1000);
        for offset in [0, 1, 4095, 4096, 50_000, 99_000] {
            let (count, back) = file.read_at(buf, offset as u64).await.unwrap();
            assert_eq!((count, back.len()), (1000, 1000));
            assert_content(1, offset, &back);
            buf = back;
        }
    });
}

#[test]
fn it_reads_less_before_the_end_and_nothing_behind_it() {
    run(async || {
        let file = File::from_std(filled(1000));
        let (count, buf) = file.read_at(vec![0; 100], 950).await.unwrap();
        assert_eq!((count, buf.len()), (50, 50));
        for offset in [1000, 1001, 1 << 40] {
            let (count, buf) = file.read_at(vec![7; 100], offset).await.unwrap();
            assert_eq!((count, buf.len()), (0, 0));
        }
        let (count, _) = file.read_at(Vec::new(), 0).await.unwrap();
        assert_eq!(count, 0, "a buffer without room");
    });
}

#[test]
fn a_box_keeps_its_length_and_a_slice_the_bytes_around_it() {
    run(async || {
        let file = File::from_std(filled(1000));
        let (count, boxed) = file.read_at(vec![9; 16].into_boxed_slice(), 992).await.unwrap();
        assert_eq!((count, &boxed[8..]), (8, [9; 8].as_slice()));
        let slice = Slice::for_read(vec![9; 16], 4..8);
        let (count, slice) = file.read_at(slice, 10).await.unwrap();
        let buf = slice.into_inner();
        assert_eq!((count, buf.len()), (4, 16));
        assert_content(1, 10, &buf[4..8]);
        assert_eq!((&buf[..4], &buf[8..]), ([9; 4].as_slice(), [9; 8].as_slice()));
    });
}

#[test]
fn an_error_gives_the_buffer_back() {
    run(async || {
        let file = File::from_std(reopened(&filled(10), OpenOptions::new().write(true)));
        let failed = file.read_at(b"mine".to_vec(), 0).await.unwrap_err();
        assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.buf, b"mine");
    });
}
