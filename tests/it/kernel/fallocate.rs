//! FALLOCATE of a range of a file.

use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use annulus::fs::{Allocation, File};

use crate::support::files::nameless_file;
use crate::support::settled::{poll_and_drop, run};
use crate::support::skip::skip;

#[test]
fn it_grows_files_and_makes_holes() {
    let supported = run(async || {
        let mut plain = nameless_file();
        plain.write_all(&[7; 16384]).unwrap();
        let file = File::from_std(plain.try_clone().unwrap());
        match file.allocate(0..65536, Allocation::Extend).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return false,
            result => result.unwrap(),
        }
        assert_eq!(plain.metadata().unwrap().len(), 65536);
        assert!(plain.metadata().unwrap().blocks() * 512 >= 65536);
        file.allocate(65536..131_072, Allocation::KeepLen).await.unwrap();
        assert_eq!(plain.metadata().unwrap().len(), 65536);
        file.allocate(4096..8192, Allocation::PunchHole).await.unwrap();
        let mut bytes = [1; 16384];
        plain.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((bytes[4095], bytes[4096], bytes[8191], bytes[8192]), (7, 0, 0, 7));
        match file.allocate(8192..12288, Allocation::Zero).await {
            // Not every file system has it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
            Ok(()) => {
                plain.read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!((bytes[8192], bytes[12287], bytes[12288]), (0, 0, 7));
            }
        }
        true
    });
    if !supported {
        skip!("the file system of the temporary directory gives no space in advance");
    }
}

#[test]
fn an_empty_range_and_a_pipe_are_refused() {
    run(async || {
        let file = File::from_std(nameless_file());
        for range in [5..5, std::ops::Range { start: 5, end: 4 }] {
            let refused = file.allocate(range, Allocation::Extend).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from_std(OwnedFd::from(writer).into());
        let refused = pipe.allocate(0..10, Allocation::Extend).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESPIPE));
    });
}

#[test]
fn dropped_before_the_loop_turns_it_does_not_happen() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        assert!(poll_and_drop(file.allocate(0..65536, Allocation::Extend)).await.is_none());
        file.flush().await.unwrap();
        assert_eq!(plain.metadata().unwrap().len(), 0);
    });
}
