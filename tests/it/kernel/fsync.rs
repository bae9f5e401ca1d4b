//! FSYNC of a file or of a range of it.

use std::os::fd::OwnedFd;

use annulus::fs::File;

use crate::support::files::nameless_file;
use crate::support::settled::{poll_once, run, turn};

#[test]
fn each_form_succeeds_on_a_file() {
    run(async || {
        let file = File::from_std(nameless_file());
        file.write_all_at(vec![1; 100_000], 0).await.unwrap();
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
        file.sync_range(4096..8192).await.unwrap();
        file.sync_range(0..0).await.unwrap();
        file.sync_range(0..u64::MAX).await.unwrap();
        let backwards = std::ops::Range { start: 10, end: 5 };
        file.sync_range(backwards).await.unwrap();
    });
}

#[test]
fn a_pipe_cannot_be_synced() {
    run(async || {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(writer).into());
        for result in [file.sync_all().await, file.sync_data().await] {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    });
}

#[test]
fn what_a_dropped_sync_finds_the_next_one_tells() {
    run(async || {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(writer).into());
        let mut sync = Box::pin(file.sync_all());
        assert!(poll_once(&mut sync).await.is_pending());
        turn().await;
        drop(sync);
        let lost = file.flush().await.unwrap_err();
        assert_eq!(lost.raw_os_error(), Some(libc::EINVAL));
        file.flush().await.unwrap();
    });
}
