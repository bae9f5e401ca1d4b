//! Directories: their entries, and what is done in one that is kept open.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use annulus::fs::{Dir, DirBuilder, File, OpenOptions, fchown, read_dir, remove_dir_all};

use crate::support::files::Folder;
use crate::support::settled::{poll_and_drop, run, turn, until};
use crate::support::skip::skip;

#[test]
fn every_entry_comes_once_over_many_batches() {
    run(async || {
        let folder = Folder::new();
        let names: BTreeSet<String> =
            (0..2500).map(|number| format!("{number}-{}", "x".repeat(number % 60))).collect();
        for name in &names {
            folder.file(name, "");
        }
        let mut entries = read_dir(folder.path()).await.unwrap();
        let mut found = BTreeSet::new();
        while let Some(entry) = entries.next_entry().await.unwrap() {
            assert!(found.insert(entry.file_name().into_string().unwrap()));
            assert_eq!(entry.path(), folder.join(entry.name()));
        }
        assert!(found == names);
        assert!(entries.next_entry().await.unwrap().is_none(), "the end stays");
        let mut entries = read_dir(folder.path()).await.unwrap();
        let first = entries.next_entry().await.unwrap();
        let mut count = usize::from(first.is_some());
        loop {
            match entries.next_batch().await.unwrap().len() {
                0 => break,
                batch => count += batch,
            }
        }
        assert_eq!(count, names.len());
    });
}

#[test]
fn an_entry_tells_its_kind_and_more() {
    run(async || {
        let folder = Folder::new();
        folder.file("file", "four");
        std::fs::create_dir(folder.join("dir")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
        let dir = Dir::open(folder.path()).await.unwrap();
        for mut entries in [read_dir(folder.path()).await.unwrap(), dir.read_dir().await.unwrap()] {
            let mut seen = 0;
            while let Some(entry) = entries.next_entry().await.unwrap() {
                let (kind, metadata) = (entry.file_type().await.unwrap(), entry.metadata().await);
                let metadata = metadata.unwrap();
                assert_eq!(metadata.file_type(), kind);
                assert_eq!(metadata.ino(), entry.ino());
                seen += match entry.name().to_str().unwrap() {
                    "file" if kind.is_file() && metadata.len() == 4 => 1,
                    "dir" if kind.is_dir() => 10,
                    "link" if kind.is_symlink() => 100,
                    other => panic!("{other}: {metadata:?}"),
                };
            }
            assert_eq!(seen, 111);
        }
    });
}

#[test]
fn a_dropped_wait_for_an_entry_loses_none() {
    run(async || {
        let folder = Folder::new();
        for number in 0..20 {
            folder.file(&number.to_string(), "");
        }
        let mut entries = read_dir(folder.path()).await.unwrap();
        let mut count = 0;
        loop {
            for _ in 0..2 {
                if let Some(Ok(Some(_))) = poll_and_drop(entries.next_entry()).await {
                    count += 1;
                }
                turn().await;
            }
            match entries.next_entry().await.unwrap() {
                Some(_) => count += 1,
                None => break,
            }
        }
        assert_eq!(count, 20);
        // Dropped in the middle of a batch, the directory is closed.
        let mut entries = read_dir(folder.path()).await.unwrap();
        let _ = poll_and_drop(entries.next_entry()).await;
    });
}

#[test]
fn what_is_no_directory_is_refused() {
    run(async || {
        let folder = Folder::new();
        let file = folder.file("file", "");
        assert_eq!(read_dir(&file).await.unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(Dir::open(&file).await.unwrap_err().kind(), ErrorKind::NotADirectory);
        let none = read_dir(folder.join("none")).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_open_directory_is_the_same_wherever_it_is_moved() {
    run(async || {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("before")).unwrap();
        let dir = Dir::open(folder.join("before")).await.unwrap();
        std::fs::rename(folder.join("before"), folder.join("after")).unwrap();
        dir.create("file").await.unwrap().write_all_at("content", 0).await.unwrap();
        dir.create_dir_all("deep/er").await.unwrap();
        dir.hard_link("file", &dir, "deep/hard").await.unwrap();
        dir.symlink("../file", "deep/soft").await.unwrap();
        dir.sync_all().await.unwrap();
        assert_eq!(std::fs::read(folder.join("after/deep/soft")).unwrap(), b"content");
        assert_eq!(dir.metadata("deep/soft").await.unwrap().len(), 7);
        assert!(dir.symlink_metadata("deep/soft").await.unwrap().is_symlink());
        assert!(dir.dir_metadata().await.unwrap().is_dir());
        assert!(dir.exists("deep/hard").await.unwrap());
        assert!(!dir.exists("deep/none").await.unwrap());
        let deep = dir.open_dir("deep").await.unwrap();
        let file = deep.open_file("hard").await.unwrap();
        assert_eq!(file.read_at(vec![0; 9], 0).await.unwrap().0, 7);
        deep.remove_file("hard").await.unwrap();
        deep.remove_file("soft").await.unwrap();
        dir.remove_dir("deep/er").await.unwrap();
        dir.remove_dir("deep").await.unwrap();
        remove_dir_all(folder.join("after")).await.unwrap();
        assert_eq!(dir.create("late").await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_directory_is_made_with_the_permissions_that_were_asked_for() {
    run(async || {
        let folder = Folder::new();
        let dir = Dir::open(folder.path()).await.unwrap();
        let mut builder = DirBuilder::new();
        builder.mode(0o701);
        builder.create(folder.join("one")).await.unwrap();
        dir.create_dir_with(&builder, "two").await.unwrap();
        let mut theirs = std::fs::DirBuilder::new();
        theirs.mode(0o701).create(folder.join("std")).unwrap();
        let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().mode();
        assert_eq!((mode("one"), mode("two")), (mode("std"), mode("std")));
        let there = builder.create(folder.join("one")).await.unwrap_err();
        assert_eq!(there.kind(), ErrorKind::AlreadyExists);
        let above = dir.create_dir_with(&builder, "a/b/c").await.unwrap_err();
        assert_eq!(above.kind(), ErrorKind::NotFound);
        builder.recursive(true).create(folder.join("a/b/c")).await.unwrap();
        assert_eq!((mode("a"), mode("a/b/c")), (mode("std"), mode("std")));
        dir.create_dir_with(&builder, "a/b/c").await.expect("it is there already");
        folder.file("file", "");
        let under = dir.create_dir_with(&builder, "file/dir").await.unwrap_err();
        assert_eq!(under.kind(), ErrorKind::NotADirectory);
    });
}

#[test]
fn links_are_read_and_permissions_changed_from_an_open_directory() {
    run(async || {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("before")).unwrap();
        let dir = Dir::open(folder.join("before")).await.unwrap();
        std::fs::rename(folder.join("before"), folder.join("after")).unwrap();
        folder.file("after/file", "");
        let long = "x/".repeat(1500);
        dir.symlink("file", "link").await.unwrap();
        dir.symlink(&long, "long").await.unwrap();
        assert_eq!(dir.read_link("link").await.unwrap(), Path::new("file"));
        assert_eq!(dir.read_link("long").await.unwrap(), Path::new(&long));
        assert_eq!(dir.read_link("file").await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(dir.read_link("none").await.unwrap_err().kind(), ErrorKind::NotFound);
        let zero = dir.read_link("a\0b").await.unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        dir.set_permissions("link", Permissions::from_mode(0o640)).await.unwrap();
        assert_eq!(dir.metadata("file").await.unwrap().mode() & 0o7777, 0o640);
        let none = dir.set_permissions("none", Permissions::from_mode(0o640)).await;
        assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
        // A dropped change happens all the same, though the directory is gone from here.
        let _ = poll_and_drop(dir.set_permissions("file", Permissions::from_mode(0o600))).await;
        drop(dir);
        let mode = || std::fs::metadata(folder.join("after/file")).unwrap().mode() & 0o777;
        until(|| mode() == 0o600).await;
    });
}

#[test]
fn owners_are_those_that_were_given_and_the_others_stay() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "");
        let before = std::fs::metadata(&path).unwrap();
        let (uid, gid) = (before.uid(), before.gid());
        let dir = Dir::open(folder.path()).await.unwrap();
        dir.symlink("file", "link").await.unwrap();
        let file = File::open(&path).await.unwrap();
        let ids = |name: &str| {
            let metadata = std::fs::symlink_metadata(folder.join(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        // What changes nothing is everybody's to do.
        fchown(&file, Some(uid), None).await.unwrap();
        dir.chown("link", None, Some(gid)).await.unwrap();
        dir.lchown("link", None, None).await.unwrap();
        let taken = fchown(&file, Some(1234), None).await;
        if uid != 0 {
            assert_eq!(taken.unwrap_err().kind(), ErrorKind::PermissionDenied);
            skip!("only root gives files away");
        }
        taken.unwrap();
        assert_eq!(ids("file"), (1234, gid));
        dir.chown("link", None, Some(77)).await.unwrap();
        assert_eq!((ids("file"), ids("link")), ((1234, 77), (uid, gid)));
        dir.lchown("link", Some(5), Some(6)).await.unwrap();
        assert_eq!((ids("file"), ids("link")), ((1234, 77), (5, 6)));
    });
}

#[test]
fn a_path_beneath_does_not_leave_the_directory() {
    run(async || {
        let folder = Folder::new();
        folder.file("outside", "secret");
        std::fs::create_dir(folder.join("inside")).unwrap();
        folder.file("inside/file", "open");
        for (target, name) in [("../outside", "up"), ("/etc/passwd", "away"), ("file", "well")] {
            std::os::unix::fs::symlink(target, folder.join("inside").join(name)).unwrap();
        }
        let dir = Dir::open(folder.join("inside")).await.unwrap();
        let mut beneath = OpenOptions::new();
        beneath.read(true).beneath(true);
        for path in ["file", "well", "./file", "../inside/file", "up", "away", "../outside"] {
            let opened = dir.open_with(&beneath, path).await.map_err(|error| error.kind());
            let stays = ["file", "well", "./file"].contains(&path);
            match opened {
                Ok(_) => assert!(stays, "{path}"),
                Err(kind) => assert!(!stays && kind == ErrorKind::CrossesDevices, "{path}: {kind}"),
            }
        }
        let absolute = dir.open_with(&beneath, Path::new("/proc/self/exe")).await.unwrap_err();
        assert_eq!(absolute.kind(), ErrorKind::CrossesDevices);
        assert!(dir.open_file("up").await.is_ok(), "only where it is asked for");
    });
}
