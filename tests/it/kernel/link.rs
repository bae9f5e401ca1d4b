//! LINKAT: gives a file one more name.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use annulus::fs::hard_link;

use crate::support::files::Folder;
use crate::support::settled::run;

#[test]
fn both_names_are_the_file_s() {
    run(async || {
        let folder = Folder::new();
        let (file, more) = (folder.file("file", "content"), folder.join("more"));
        hard_link(&file, &more).await.unwrap();
        assert_eq!(file.metadata().unwrap().ino(), more.metadata().unwrap().ino());
        assert_eq!(hard_link(&file, &more).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        // Of a symbolic link it is one more name of the link.
        std::os::unix::fs::symlink("file", folder.join("soft")).unwrap();
        hard_link(folder.join("soft"), folder.join("also soft")).await.unwrap();
        assert!(folder.join("also soft").is_symlink());
    });
}
