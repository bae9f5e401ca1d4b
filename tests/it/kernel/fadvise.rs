//! FADVISE about a range of a file.

use std::os::fd::OwnedFd;

use annulus::fs::{Advice, File};

use crate::support::files::nameless_file;
use crate::support::settled::{poll_and_drop, run, until_operations};

const ALL: [Advice; 6] = [
    Advice::Normal,
    Advice::Sequential,
    Advice::Random,
    Advice::WillNeed,
    Advice::DontNeed,
    Advice::NoReuse,
];

#[test]
fn each_advice_is_taken_for_each_range() {
    run(async || {
        let file = File::from_std(nameless_file());
        file.write_all_at(vec![1; 100_000], 0).await.unwrap();
        for advice in ALL {
            for range in [0..u64::MAX, 4096..8192, 7..7, 0..3 << 32, 99..1 << 33] {
                file.advise(range, advice).await.unwrap();
            }
        }
    });
}

#[test]
fn a_pipe_takes_none() {
    run(async || {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(writer).into());
        let refused = file.advise(0..10, Advice::WillNeed).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESPIPE));
    });
}

#[test]
fn dropped_it_leaves_nothing() {
    run(async || {
        let file = File::from_std(nameless_file());
        for advice in ALL {
            assert!(poll_and_drop(file.advise(0..4096, advice)).await.is_none());
        }
        until_operations(0).await;
        file.close().await.unwrap();
    });
}
