//! SYMLINKAT: makes a symbolic link.

use std::io::ErrorKind;
use std::path::Path;

use annulus::fs::{read_link, symlink, symlink_metadata};

use crate::support::files::Folder;
use crate::support::settled::run;

#[test]
fn a_link_says_what_it_was_told() {
    run(async || {
        let folder = Folder::new();
        let link = folder.join("link");
        symlink("no/such file", &link).await.unwrap();
        assert_eq!(read_link(&link).await.unwrap(), Path::new("no/such file"));
        assert!(symlink_metadata(&link).await.unwrap().is_symlink());
        assert_eq!(symlink("x", &link).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(symlink("a\0b", &link).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let none = read_link(folder.path()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
    });
}
