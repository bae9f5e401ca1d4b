//! WRITEV of several buffers at an offset.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::FileExt;

use annulus::fs::File;

use crate::support::files::{nameless_file, reopened};
use crate::support::settled::{Drops, assert_content, content, poll_once, run, turn, until};

#[test]
fn it_writes_one_buffer_after_the_other() {
    run(async || {
        let mut plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let bufs = vec![content(3, 0, 10), Vec::new(), content(3, 10, 5000), content(3, 5010, 1)];
        let (count, bufs) = file.write_vectored_at(bufs, 7).await.unwrap();
        assert_eq!((count, bufs.len(), bufs[2].len()), (5011, 4, 5000));
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes.len(), &bytes[..7]), (5018, [0; 7].as_slice()));
        assert_content(3, 0, &bytes[7..]);
    });
}

#[test]
fn all_of_more_buffers_than_an_operation_takes_are_written() {
    run(async || {
        let mut plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let bufs: Vec<Vec<u8>> = (0..2500).map(|at| content(3, at * 3, 3)).collect();
        let bufs = file.write_all_vectored_at(bufs, 0).await.unwrap();
        assert_eq!(bufs.len(), 2500);
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 7500);
        assert_content(3, 0, &bytes);
    });
}

#[test]
fn an_error_gives_the_buffers_back() {
    run(async || {
        let file = File::from_std(reopened(&nameless_file(), OpenOptions::new().read(true)));
        let failed = file.write_vectored_at(vec!["mine", "too"], 0).await.unwrap_err();
        assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.buf, ["mine", "too"]);
        let failed = file.write_all_vectored_at(vec!["mine", "too"], 0).await.unwrap_err();
        assert_eq!((failed.transferred, failed.buf.len()), (0, 2));
    });
}

#[test]
fn a_dropped_write_that_the_kernel_has_is_finished() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let drops = Drops::default();
        let bufs = (0..10).map(|at| drops.buffer(content(3, at * 10_000, 10_000))).collect();
        let mut write = Box::pin(file.write_vectored_at(bufs, 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        until(|| drops.count() == 10).await;
        let mut bytes = vec![0; 100_000];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_content(3, 0, &bytes);
    });
}
