//! Extended attributes.

use std::io::ErrorKind;

use annulus::fs::{File, xattr};

use crate::support::files::Folder;
use crate::support::settled::run;
use crate::support::skip::skip;

#[test]
fn attributes_are_set_told_listed_and_taken_away() {
    let kept = run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "");
        match xattr::set(&path, "user.first", "value").await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return false,
            result => result.unwrap(),
        }
        let file = File::open(&path).await.unwrap();
        // More than the first room for it.
        file.set_xattr("user.second", vec![7; 1000]).await.unwrap();
        assert_eq!(file.xattr("user.first").await.unwrap(), Some(b"value".to_vec()));
        assert_eq!(xattr::get(&path, "user.second").await.unwrap(), Some(vec![7; 1000]));
        for mut names in [file.xattrs().await.unwrap(), xattr::list(&path).await.unwrap()] {
            names.retain(|name| name.to_string_lossy().starts_with("user."));
            names.sort();
            assert_eq!(names, ["user.first", "user.second"]);
        }
        xattr::remove(&path, "user.first").await.unwrap();
        file.remove_xattr("user.second").await.unwrap();
        assert_eq!(xattr::get(&path, "user.first").await.unwrap(), None);
        let none = file.remove_xattr("user.first").await.unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::ENODATA));
        true
    });
    if !kept {
        skip!("the file system of the temporary directory keeps no attributes");
    }
}

#[test]
fn names_and_paths_that_are_none_are_refused() {
    run(async || {
        let folder = Folder::new();
        let missing = xattr::get(folder.join("none"), "user.x").await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let zero = xattr::set(folder.path(), "user.a\0b", "").await.unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        assert!(xattr::set(folder.path(), "no class", "").await.is_err());
    });
}
