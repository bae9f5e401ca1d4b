//! STATX of an open file.

use std::os::unix::fs::MetadataExt;

use annulus::fs::{File, Metadata};

use crate::support::files::Folder;
use crate::support::settled::{poll_and_drop, poll_once, run, turn, until_operations};

/// Everything that both know.
fn assert_same(ours: &Metadata, theirs: &std::fs::Metadata) {
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours.permissions(), theirs.permissions());
    assert_eq!(ours.modified().unwrap(), theirs.modified().unwrap());
    assert_eq!(ours.accessed().unwrap(), theirs.accessed().unwrap());
    assert_eq!(ours.created().ok(), theirs.created().ok());
    assert_eq!((ours.dev(), ours.ino()), (theirs.dev(), theirs.ino()));
    assert_eq!((ours.mode(), ours.nlink()), (theirs.mode(), theirs.nlink()));
    assert_eq!((ours.uid(), ours.gid()), (theirs.uid(), theirs.gid()));
    assert_eq!((ours.blksize(), ours.blocks()), (theirs.blksize(), theirs.blocks()));
    assert_eq!(ours.rdev(), theirs.rdev());
    assert_eq!(ours.is_dir(), theirs.is_dir());
    assert_eq!(ours.is_file(), theirs.is_file());
    assert_eq!(ours.is_symlink(), theirs.is_symlink());
}

#[test]
fn it_tells_what_std_tells() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", vec![7; 12_345]);
        for path in [path.as_path(), folder.path(), "/dev/null".as_ref()] {
            let file = File::open(path).await.unwrap();
            let theirs = std::fs::metadata(path).unwrap();
            assert_same(&file.metadata().await.unwrap(), &theirs);
        }
    });
}

#[test]
fn dropped_it_leaves_nothing() {
    run(async || {
        let file = File::open("/dev/null").await.unwrap();
        assert!(poll_and_drop(file.metadata()).await.is_none());
        let mut metadata = Box::pin(file.metadata());
        assert!(poll_once(&mut metadata).await.is_pending());
        turn().await;
        drop(metadata);
        until_operations(0).await;
        assert!(file.metadata().await.unwrap().file_type().is_char_device());
    });
}
