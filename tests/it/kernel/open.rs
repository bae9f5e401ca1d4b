//! OPENAT2 of a path.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use annulus::fs::{File, OpenOptions};

use crate::support::files::{Folder, make_fifo};
use crate::support::settled::{poll_and_drop, poll_once, run, turn, until, until_operations};

#[test]
fn it_opens_what_is_there_and_makes_what_is_not() {
    run(async || {
        let folder = Folder::new();
        let path = folder.join("file");
        assert_eq!(File::open(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        File::create(&path).await.unwrap().write_all_at("text", 0).await.unwrap();
        let (count, _) = File::open(&path).await.unwrap().read_at(vec![0; 9], 0).await.unwrap();
        assert_eq!(count, 4);
        assert_eq!(File::create_new(&path).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        File::create(&path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"", "it was emptied");
    });
}

#[test]
fn each_setting_does_what_std_s_does() {
    run(async || {
        let folder = Folder::new();
        for bits in 0..64_u32 {
            for there in [false, true] {
                let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
                for path in [&ours, &theirs] {
                    let _ = std::fs::remove_file(path);
                    if there {
                        std::fs::write(path, "content").unwrap();
                    }
                }
                let is = |bit: u32| bits >> bit & 1 == 1;
                let mut options = OpenOptions::new();
                options.read(is(0)).write(is(1)).append(is(2));
                options.truncate(is(3)).create(is(4)).create_new(is(5));
                let mut std_options = std::fs::OpenOptions::new();
                std_options.read(is(0)).write(is(1)).append(is(2));
                std_options.truncate(is(3)).create(is(4)).create_new(is(5));
                let ours_kind = options.open(&ours).await.err().map(|error| error.kind());
                let std_kind = std_options.open(&theirs).err().map(|error| error.kind());
                assert_eq!(ours_kind, std_kind, "{options:?}, there: {there}");
                let contents = [ours, theirs].map(|path| std::fs::read(path).ok());
                assert_eq!(contents[0], contents[1], "{options:?}, there: {there}");
            }
        }
    });
}

#[test]
fn the_mode_is_that_of_a_new_file_and_flags_are_handed_on() {
    run(async || {
        let folder = Folder::new();
        let path = folder.join("file");
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o640);
        options.open(&path).await.unwrap();
        let mut plain = std::fs::OpenOptions::new();
        plain.write(true).create(true).mode(0o640).open(folder.join("plain")).unwrap();
        let [ours, theirs] = ["file", "plain"].map(|name| folder.join(name).metadata().unwrap());
        assert_eq!(ours.permissions().mode(), theirs.permissions().mode());
        let link = folder.join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(link).await;
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        let opened = OpenOptions::new().read(true).open(folder.join("a\0b")).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::InvalidInput);
        let nameless = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .mode(0o600)
            .open(folder.path())
            .await;
        match nameless {
            Ok(file) => _ = file.write_all_at("x", 0).await.unwrap(),
            // A few file systems have no files without a name.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
        }
    });
}

#[test]
fn what_is_opened_is_closed_when_another_program_runs() {
    run(async || {
        let file = File::open("/proc/self/exe").await.unwrap();
        let info = format!("/proc/thread-self/fdinfo/{}", file.as_fd().as_raw_fd());
        let info = std::fs::read_to_string(info).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & libc::O_CLOEXEC, 0, "{info}");
    });
}

#[test]
fn a_dropped_open_leaves_no_descriptor() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", "content");
        for _ in 0..20 {
            assert!(poll_and_drop(File::open(&path)).await.is_none());
            let mut open = Box::pin(File::open(&path));
            assert!(poll_once(&mut open).await.is_pending());
            turn().await;
            drop(open);
            let mut create = Box::pin(File::create(&path));
            assert!(poll_once(&mut create).await.is_pending());
            turn().await;
            drop(create);
        }
        until_operations(0).await;
    });
}

/// With a file to be made the kernel waits in a thread of its own; a pipe that is only opened it does not wait for.
#[test]
fn an_open_that_waits_for_the_other_end_of_a_pipe_is_cancelled() {
    run(async || {
        let folder = Folder::new();
        let path = folder.join("pipe");
        make_fifo(&path);
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        let mut open = Box::pin(options.open(&path));
        assert!(poll_once(&mut open).await.is_pending());
        turn().await;
        drop(open);
        until_operations(0).await;
        let mut open = Box::pin(options.open(&path));
        assert!(poll_once(&mut open).await.is_pending());
        turn().await;
        let mut reader = std::fs::OpenOptions::new();
        let reader = reader.read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        let mut reader = reader.unwrap();
        let writer = open.await.unwrap();
        writer.write_all_at("through", 0).await.unwrap();
        drop(writer);
        let mut text = String::new();
        until(|| reader.read_to_string(&mut text).is_ok()).await;
        assert_eq!(text, "through");
    });
}
