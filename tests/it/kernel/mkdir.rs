//! MKDIRAT: makes a directory.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use annulus::fs::{create_dir, create_dir_all};

use crate::support::files::Folder;
use crate::support::settled::run;

#[test]
fn a_directory_is_made_as_std_makes_it() {
    run(async || {
        let folder = Folder::new();
        let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
        create_dir(&ours).await.unwrap();
        std::fs::create_dir(&theirs).unwrap();
        let modes = [&ours, &theirs].map(|path| path.metadata().unwrap().permissions().mode());
        assert_eq!(modes[0], modes[1]);
        assert_eq!(create_dir(&ours).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let deep = create_dir(folder.join("no/such")).await.unwrap_err();
        assert_eq!(deep.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn all_that_is_missing_is_made_also_by_two_at_once() {
    run(async || {
        let folder = Folder::new();
        let deep = folder.join("a/b/./c/d");
        let other = {
            let deep = deep.clone();
            annulus::spawn(async move { create_dir_all(deep).await })
        };
        create_dir_all(&deep).await.unwrap();
        other.await.unwrap().unwrap();
        assert!(deep.is_dir());
        create_dir_all(&deep).await.unwrap();
        create_dir_all("").await.unwrap();
        folder.file("a/file", "");
        let through = folder.join("a/file/sub");
        let kinds = [
            create_dir_all(&through).await.unwrap_err().kind(),
            std::fs::create_dir_all(&through).unwrap_err().kind(),
        ];
        assert_eq!(kinds[0], kinds[1]);
        let file = create_dir_all(folder.join("a/file")).await.unwrap_err();
        assert_eq!(file.kind(), ErrorKind::AlreadyExists);
    });
}
