//! Whole files and whole paths.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use annulus::fs::{
    canonicalize, exists, metadata, read, read_to_string, remove_dir_all, set_permissions,
    try_exists, write,
};

use crate::support::files::Folder;
use crate::support::settled::{assert_content, content, run};

#[test]
fn files_of_every_size_are_written_and_read_whole() {
    run(async || {
        let folder = Folder::new();
        let path = folder.join("file");
        const K: usize = 1024;
        for len in [0, 1, 100, 16 * K - 1, 16 * K, 16 * K + 1, 64 * K, 1024 * K + 7] {
            write(&path, content(9, 0, len)).await.unwrap();
            let bytes = read(&path).await.unwrap();
            assert_eq!(bytes.len(), len);
            assert_content(9, 0, &bytes);
        }
    });
}

#[test]
fn files_that_do_not_say_their_length_are_read_whole() {
    run(async || {
        let ours = read("/proc/self/limits").await.unwrap();
        assert_eq!(ours, std::fs::read("/proc/self/limits").unwrap());
        // Longer than the first read.
        let ours = read_to_string("/proc/self/smaps").await.unwrap();
        assert!(ours.len() > 16 * 1024 && ours.ends_with('\n'), "{} bytes", ours.len());
    });
}

#[test]
fn text_is_text() {
    run(async || {
        let folder = Folder::new();
        let path = folder.join("file");
        write(&path, "grüße").await.unwrap();
        assert_eq!(read_to_string(&path).await.unwrap(), "grüße");
        write(&path, vec![0xff]).await.unwrap();
        let failed = read_to_string(&path).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InvalidData);
    });
}

#[test]
fn paths_are_followed_and_told() {
    run(async || {
        let folder = Folder::new();
        let file = folder.file("file", "four");
        std::fs::create_dir(folder.join("dir")).unwrap();
        std::os::unix::fs::symlink("none", folder.join("broken")).unwrap();
        let round = folder.join("dir/.././file");
        assert_eq!(canonicalize(&round).await.unwrap(), std::fs::canonicalize(&file).unwrap());
        assert_eq!(metadata(&round).await.unwrap().len(), 4);
        assert!(exists(&round).await.unwrap());
        assert!(!exists(folder.join("broken")).await.unwrap());
        assert!(!try_exists(folder.join("none")).await.unwrap());
        let through = try_exists(file.join("more")).await;
        assert_eq!(through.map_err(|error| error.kind()), Err(ErrorKind::NotADirectory));
        set_permissions(&file, Permissions::from_mode(0o421)).await.unwrap();
        let mode = metadata(&file).await.unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o421);
        remove_dir_all(folder.join("dir")).await.unwrap();
        let none = remove_dir_all(folder.join("dir")).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}
