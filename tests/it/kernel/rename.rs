//! RENAMEAT: gives a file another name.

use std::io::ErrorKind;

use annulus::fs::{Dir, rename};

use crate::support::files::Folder;
use crate::support::settled::run;

#[test]
fn a_file_takes_the_place_of_another() {
    run(async || {
        let folder = Folder::new();
        let (from, to) = (folder.file("from", "new"), folder.file("to", "old"));
        rename(&from, &to).await.unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
        assert_eq!(rename(&from, &to).await.unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::create_dir(folder.join("dir")).unwrap();
        let onto = rename(&to, folder.join("dir")).await.unwrap_err();
        assert_eq!(onto.kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn a_file_moves_between_directories_that_are_kept_open() {
    run(async || {
        let (here, there) = (Folder::new(), Folder::new());
        here.file("file", "content");
        let dirs = (Dir::open(here.path()).await.unwrap(), Dir::open(there.path()).await.unwrap());
        dirs.0.rename("file", &dirs.1, "moved").await.unwrap();
        assert_eq!(std::fs::read(there.join("moved")).unwrap(), b"content");
    });
}
