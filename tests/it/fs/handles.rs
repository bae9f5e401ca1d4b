//! How files come, go, and are shared: clones, locks, std.

use std::fs::{FileTimes, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use annulus::fs::{File, TryLockError};
use annulus::time::timeout;

use crate::support::files::Folder;
use crate::support::settled::run;

#[test]
fn a_file_comes_from_std_and_goes_back() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "old");
        let file = File::options().write(true).open(&path).await.unwrap();
        file.write_all_at("new, ", 0).await.unwrap();
        let mut plain = file.into_std().await.unwrap();
        plain.write_all(b"and").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"and, ", "std begins where nobody had moved");
    });
}

#[test]
fn a_clone_is_a_descriptor_of_its_own() {
    run(async || {
        let folder = Folder::new();
        let file = File::create_new(folder.join("file")).await.unwrap();
        let clone = file.try_clone().unwrap();
        assert_ne!(file.as_raw_fd(), clone.as_fd().as_raw_fd());
        file.close().await.unwrap();
        clone.write_all_at("still open", 0).await.unwrap();
        let mut text = String::new();
        clone.into_std().await.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "still open");
    });
}

#[test]
fn locks_keep_others_out_and_are_waited_for() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "");
        let (first, second) = (File::open(&path).await.unwrap(), File::open(&path).await.unwrap());
        first.lock().await.unwrap();
        first.try_clone().unwrap().try_lock().expect("a clone is the same open file");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        let refused = std::io::Error::from(second.try_lock_shared().unwrap_err());
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        assert!(timeout(Duration::from_millis(5), second.lock()).await.is_err());
        first.unlock().unwrap();
        first.lock_shared().await.unwrap();
        second.lock_shared().await.unwrap();
        assert!(timeout(Duration::from_millis(5), second.lock()).await.is_err());
        let second = annulus::spawn(async move { second.lock().await.map(|()| second) });
        first.close().await.unwrap();
        second.await.unwrap().expect("the lock went with the file").unlock().unwrap();
    });
}

#[test]
fn length_permissions_and_times_are_changed() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "content");
        let file = File::options().write(true).open(&path).await.unwrap();
        file.set_len(4).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"cont");
        file.set_len(6).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"cont\0\0");
        let refused = file.set_len(u64::MAX).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        file.set_permissions(Permissions::from_mode(0o400)).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().permissions().mode() & 0o777, 0o400);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        let before = SystemTime::UNIX_EPOCH - Duration::new(1000, 700);
        file.set_modified(long_ago).await.unwrap();
        file.set_times(FileTimes::new().set_accessed(before)).await.unwrap();
        let metadata = file.metadata().await.unwrap();
        assert_eq!(metadata.modified().unwrap(), long_ago);
        let seen = std::fs::metadata(&path).unwrap().accessed().unwrap();
        assert_eq!(metadata.accessed().unwrap(), seen);
        assert!(seen == before || seen >= SystemTime::UNIX_EPOCH, "not every one knows 1969");
    });
}
