//! UNLINKAT: removes a name.

use std::io::ErrorKind;

use annulus::fs::{remove_dir, remove_file};

use crate::support::files::Folder;
use crate::support::settled::{poll_and_drop, poll_once, run, turn, until};

#[test]
fn files_links_and_empty_directories_go() {
    run(async || {
        let folder = Folder::new();
        let (file, link, dir) = (folder.file("file", ""), folder.join("link"), folder.join("dir"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::fs::create_dir(&dir).unwrap();
        remove_file(&link).await.unwrap();
        assert!(file.exists(), "a link is not followed");
        assert_eq!(remove_file(&dir).await.unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(remove_dir(&file).await.unwrap_err().kind(), ErrorKind::NotADirectory);
        let inner = folder.file("dir/inner", "");
        assert_eq!(remove_dir(&dir).await.unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        remove_file(inner).await.unwrap();
        remove_dir(&dir).await.unwrap();
        remove_file(&file).await.unwrap();
        assert_eq!(remove_file(&file).await.unwrap_err().kind(), ErrorKind::NotFound);
        let zero = remove_file("a\0b").await.unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_dropped_one_happens_once_the_loop_turned() {
    run(async || {
        let folder = Folder::new();
        let file = folder.file("file", "");
        assert!(poll_and_drop(remove_file(&file)).await.is_none());
        turn().await;
        assert!(file.exists());
        let mut removing = Box::pin(remove_file(&file));
        assert!(poll_once(&mut removing).await.is_pending());
        turn().await;
        drop(removing);
        until(|| !file.exists()).await;
    });
}
