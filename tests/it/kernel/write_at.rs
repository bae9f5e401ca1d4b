//! WRITE at an offset, from a caller's buffer.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::FileExt;

use annulus::fs::File;

use crate::support::files::{nameless_file, reopened};
use crate::support::settled::{Drops, assert_content, content, poll_once, run, turn, until};

#[test]
fn it_writes_at_the_offset_and_leaves_the_rest() {
    run(async || {
        let mut plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        for offset in [5000_usize, 0, 4096, 100] {
            let buf = content(0, offset, 50);
            let (count, back) = file.write_at(buf, offset as u64).await.unwrap();
            assert_eq!((count, back.len()), (50, 50));
        }
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 5050);
        for offset in [5000, 0, 4096, 100] {
            assert_content(0, offset, &bytes[offset..offset + 50]);
        }
        assert!(bytes[150..4096].iter().all(|byte| *byte == 0), "a hole");
    });
}

#[test]
fn an_empty_write_writes_nothing() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let (count, _) = file.write_at(Vec::new(), 100).await.unwrap();
        assert_eq!((count, plain.metadata().unwrap().len()), (0, 0));
    });
}

#[test]
fn an_error_gives_the_buffer_back() {
    run(async || {
        let file = File::from_std(reopened(&nameless_file(), OpenOptions::new().read(true)));
        let failed = file.write_at("mine", 0).await.unwrap_err();
        assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(failed.buf, "mine");
    });
}

#[test]
fn a_dropped_write_that_the_kernel_has_is_finished() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let drops = Drops::default();
        let mut write = Box::pin(file.write_at(drops.buffer(content(0, 0, 100_000)), 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        until(|| drops.count() == 1).await;
        let mut bytes = vec![0; 100_000];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_content(0, 0, &bytes);
    });
}
