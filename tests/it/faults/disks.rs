//! File systems that are full, read-only or out of descriptors, files that shrink, and more work than kernel threads.
//!
//! # Safety rules
//!
//! 1. Strings end in zero and live across the call; the namespace is the calling thread's own.
//! 2. What the kernel fills is a local of the length that it is told.
#![allow(unsafe_code, reason = "mounts and limits are made by system calls")]

use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use annulus::buf::{AlignedBuf, BufError};
use annulus::fs::{self, Advice, Allocation, Dir, DirBuilder, DirectFile, File, OpenOptions};
use annulus::{Builder, spawn_blocking};

use crate::support::child::{assert_passed, in_child};
use crate::support::files::{Folder, make_fifo};
use crate::support::settled::{
    Drops, PATIENCE, assert_content, content, joined, poll_and_drop, poll_once, run, run_with,
    turn, until,
};
use crate::support::skip::skip;

/// Mounts a file system of 256 KiB in memory over the directory, in a namespace of this thread's own.
fn mount_small(at: &Path) -> io::Result<()> {
    // SAFETY: rule 1.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount("/".as_ref(), "none", libc::MS_REC | libc::MS_PRIVATE, "")?;
    mount(at, "tmpfs", 0, "size=256k,nr_inodes=64")
}

fn mount(at: &Path, kind: &str, flags: u64, options: &str) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    let (kind, options) = (CString::new(kind)?, CString::new(options)?);
    // SAFETY: rule 1.
    check(unsafe {
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a file system of 16 MiB in a file, and mounts it over the directory, in a namespace of this thread's own.
fn mount_ext4(at: &Path) -> io::Result<()> {
    let image = at.join("image");
    std::fs::File::create(&image)?.set_len(16 << 20)?;
    command("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &image])?;
    // SAFETY: rule 1.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount("/".as_ref(), "none", libc::MS_REC | libc::MS_PRIVATE, "")?;
    command("mount", &["-o".as_ref(), "loop".as_ref(), &image, at])
}

fn command(name: &str, arguments: &[&Path]) -> io::Result<()> {
    let output = std::process::Command::new(name).args(arguments).output();
    let output = output.map_err(|error| io::Error::other(format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn on_small(body: fn(&Path)) -> io::Result<()> {
    on_mounted(mount_small, body)
}

/// Runs the body in a thread, over a directory with a file system of its own; an error says why there is none.
fn on_mounted(mount: fn(&Path) -> io::Result<()>, body: fn(&Path)) -> io::Result<()> {
    let thread = std::thread::spawn(move || {
        let folder = Folder::new();
        mount(folder.path())?;
        body(folder.path());
        let at = CString::new(folder.path().as_os_str().as_bytes())?;
        // SAFETY: rule 1.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
        Ok(())
    });
    thread.join().expect("the test passed")
}

#[test]
fn a_full_disk_is_an_error_that_says_how_much_was_written() {
    let test = on_small(|root| {
        run(async || {
            let file = File::create_new(root.join("file")).await.unwrap();
            let failed = file.write_all_at(content(1, 0, 1 << 20), 0).await.unwrap_err();
            assert_eq!(failed.error.kind(), ErrorKind::StorageFull, "{failed}");
            assert_eq!(failed.buf.len(), 1 << 20);
            assert!((1..=256 << 10).contains(&failed.transferred), "{failed}");
            let written = file.read_exact_at(vec![0; failed.transferred], 0).await.unwrap();
            assert_content(1, 0, &written);
            let full = file.allocate(0..1 << 20, Allocation::Extend).await.unwrap_err();
            assert_eq!(full.kind(), ErrorKind::StorageFull);
            let full = fs::write(root.join("more"), vec![0; 1 << 20]).await.unwrap_err();
            assert_eq!(full.kind(), ErrorKind::StorageFull);
            // With room again it goes on.
            fs::remove_file(root.join("more")).await.unwrap();
            file.set_len(0).await.unwrap();
            file.write_all_at("small", 0).await.unwrap();
            file.sync_all().await.unwrap();
        });
    });
    if let Err(error) = test {
        skip!("no file system of our own: {error}");
    }
}

#[test]
fn a_dropped_write_to_a_full_disk_is_told_by_the_sync() {
    let test = on_small(|root| {
        run(async || {
            let file = File::create_new(root.join("file")).await.unwrap();
            let drops = Drops::default();
            let mut write = Box::pin(file.write_all_at(drops.buffer(vec![1; 1 << 20]), 0));
            assert!(poll_once(&mut write).await.is_pending());
            turn().await;
            drop(write);
            until(|| drops.count() == 1).await;
            let lost = file.sync_all().await.unwrap_err();
            assert!(matches!(lost.kind(), ErrorKind::WriteZero | ErrorKind::StorageFull), "{lost}");
            file.sync_all().await.unwrap();
        });
    });
    if let Err(error) = test {
        skip!("no file system of our own: {error}");
    }
}

/// Drops a change for which there is no room when it is under way; that of a thread has failed then.
async fn lose_change(file: &File, by_thread: bool) {
    async fn drop_under_way(change: impl Future) {
        let mut change = Box::pin(change);
        assert!(poll_once(&mut change).await.is_pending());
        turn().await;
    }
    if by_thread {
        // It is busy until the change is dropped.
        let (busy, until_gone) = std::sync::mpsc::channel::<()>();
        drop(spawn_blocking(move || until_gone.recv()));
        drop_under_way(file.set_xattr("user.much", vec![1; 65_536])).await;
        drop(busy);
        // The only thread of the pool has begun with this, and so is done with the other.
        spawn_blocking(|| ()).await.unwrap();
    } else {
        drop_under_way(file.allocate(0..1 << 20, Allocation::Extend)).await;
    }
}

/// Drops a change that a thread makes, which fails. One that has failed by the first poll has told so.
async fn lose(change: impl AsyncFn() -> io::Result<()>) {
    while let Some(told) = poll_and_drop(change()).await {
        assert!(told.is_err());
    }
}

/// The first write that fails. It does not wait for what was dropped.
async fn failed_write(file: &File) -> BufError<&'static str> {
    let start = Instant::now();
    loop {
        match file.write_at("kept", 0).await {
            Err(failed) => return failed,
            Ok(_) => assert!(start.elapsed() < PATIENCE, "no write failed"),
        }
        turn().await;
    }
}

#[test]
fn a_dropped_change_for_which_there_is_no_room_is_told_by_whatever_comes_next() {
    let test = on_small(|root| {
        run_with(Builder::new().blocking_threads(1), async || {
            let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
            for by_thread in [false, true] {
                let file = File::create(root.join("file")).await.unwrap();
                if by_thread && file.set_xattr("user.small", "value").await.is_err() {
                    skip!("a file system in memory keeps no attributes before Linux 6.6");
                }
                lose_change(&file, by_thread).await;
                let failed = failed_write(&file).await;
                assert_eq!((failed.error.kind(), failed.buf), (ErrorKind::StorageFull, "kept"));
                file.set_len(0).await.expect("it is told once");
                file.write_all_at("now", 0).await.expect("it is told once");
                lose_change(&file, by_thread).await;
                assert_eq!(kind(file.sync_all().await), Err(ErrorKind::StorageFull));
                assert_eq!(kind(file.sync_all().await), Ok(()));
                lose_change(&file, by_thread).await;
                assert_eq!(kind(file.sync_data().await), Err(ErrorKind::StorageFull));
                lose_change(&file, by_thread).await;
                assert_eq!(kind(file.set_len(1).await), Err(ErrorKind::StorageFull));
                assert_eq!(file.metadata().await.unwrap().len(), 3, "and this did not happen");
                lose_change(&file, by_thread).await;
                assert_eq!(kind(file.close().await), Err(ErrorKind::StorageFull));
            }
        });
    });
    if let Err(error) = test {
        skip!("no file system of our own: {error}");
    }
}

/// Direct I/O on a file system that gets full.
fn fill_directly(root: &Path) {
    /// More than there is room for.
    const MUCH: usize = 24 << 20;
    run(async || {
        let file = match DirectFile::create(root.join("file")).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => skip!("here: {error}"),
            file => file.unwrap(),
        };
        let unit = file.alignment().offset;
        assert!(unit.is_power_of_two() && unit <= 4096, "{unit}");
        let failed = file.write_all_at(AlignedBuf::zeroed(MUCH, 4096), 0).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::StorageFull, "{failed}");
        assert_eq!((failed.buf.len(), failed.transferred % unit), (MUCH, 0), "{failed}");
        let drops = Drops::default();
        let mut write = Box::pin(file.write_all_durable_at(drops.counted(failed.buf), 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        until(|| drops.count() == 1).await;
        let lost = file.sync_data().await.unwrap_err();
        assert!(matches!(lost.kind(), ErrorKind::WriteZero | ErrorKind::StorageFull), "{lost}");
        // With room again it goes on, and what is not aligned never reached the disk.
        file.set_len(0).await.unwrap();
        let refused = file.write_at(AlignedBuf::zeroed(unit - 1, 4096), 0).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
        file.write_all_durable_at(AlignedBuf::zeroed(4096, 4096), 0).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 4096);
        file.close().await.unwrap();
    });
}

#[test]
fn a_full_disk_in_memory_is_told_by_direct_writes() {
    if let Err(error) = on_small(fill_directly) {
        skip!("no file system of our own: {error}");
    }
}

#[test]
fn a_full_disk_is_told_by_direct_writes() {
    if let Err(error) = on_mounted(mount_ext4, fill_directly) {
        skip!("no file system of our own: {error}");
    }
}

#[test]
fn a_read_only_file_system_refuses_every_change() {
    let test = on_small(|root| {
        std::fs::write(root.join("file"), "content").unwrap();
        mount(root, "tmpfs", libc::MS_REMOUNT | libc::MS_RDONLY, "").unwrap();
        run(async || {
            let dir = Dir::open(root).await.unwrap();
            let permissions = std::fs::Permissions::from_mode(0o600);
            let kinds = [
                File::create(root.join("new")).await.map(drop),
                OpenOptions::new().append(true).open(root.join("file")).await.map(drop),
                fs::create_dir(root.join("dir")).await,
                DirBuilder::new().recursive(true).create(root.join("a/b")).await,
                fs::set_permissions(root.join("file"), permissions.clone()).await,
                fs::chown(root.join("file"), None, None).await,
                dir.set_permissions("file", permissions).await,
                dir.symlink("file", "other").await,
                fs::remove_file(root.join("file")).await,
                fs::rename(root.join("file"), root.join("other")).await,
                fs::hard_link(root.join("file"), root.join("other")).await,
                fs::symlink("file", root.join("other")).await,
                fs::copy(root.join("file"), root.join("other")).await.map(drop),
            ];
            for (nth, result) in kinds.into_iter().enumerate() {
                let kind = result.map_err(|error| error.kind());
                assert_eq!(kind, Err(ErrorKind::ReadOnlyFilesystem), "{nth}");
            }
            assert_eq!(fs::read(root.join("file")).await.unwrap(), b"content");
            // What a thread was to change and nobody waits for is told by the next sync.
            let file = File::open(root.join("file")).await.unwrap();
            let permissions = file.metadata().await.unwrap().permissions();
            lose(async || file.set_permissions(permissions.clone()).await).await;
            let lost = file.sync_all().await.unwrap_err();
            assert_eq!(lost.kind(), ErrorKind::ReadOnlyFilesystem);
            file.sync_all().await.unwrap();
        });
    });
    if let Err(error) = test {
        skip!("no file system of our own: {error}");
    }
}

#[test]
fn a_file_longer_than_the_limit_is_an_error_of_the_write_and_of_the_dropped_change() {
    let output = in_child!(|| {
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        // SAFETY: the limit is read during the call; a signal that is ignored calls nothing.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
        run(async || {
            let folder = Folder::new();
            let file = File::create_new(folder.join("file")).await.unwrap();
            let failed = file.write_all_at(content(3, 0, 8192), 0).await.unwrap_err();
            assert_eq!((failed.error.kind(), failed.transferred), (ErrorKind::FileTooLarge, 4096));
            lose(async || file.set_len(1 << 20).await).await;
            assert_eq!(file.sync_all().await.unwrap_err().kind(), ErrorKind::FileTooLarge);
            file.sync_all().await.unwrap();
            assert_eq!(file.metadata().await.unwrap().len(), 4096);
        });
    });
    if let Some(output) = output {
        assert_passed(&output);
    }
}

#[test]
fn a_file_that_shrinks_under_its_reader_ends_early() {
    run(async || {
        let folder = Folder::new();
        let path = folder.file("file", content(2, 0, 100_000));
        let file = File::open(&path).await.unwrap();
        let other = std::fs::File::options().write(true).open(&path).unwrap();
        let (count, _) = file.read_at(vec![0; 1000], 50_000).await.unwrap();
        assert_eq!(count, 1000);
        other.set_len(60_000).unwrap();
        let failed = file.read_exact_at(vec![0; 20_000], 50_000).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(failed.transferred, 10_000);
        assert_content(2, 50_000, &failed.buf[..10_000]);
        let (count, _) = file.read_at(vec![0; 10], 70_000).await.unwrap();
        assert_eq!(count, 0);
        // It grows again, and what is new is there.
        other.write_all_at(b"new", 70_000).unwrap();
        let (count, buf) = file.read_at(vec![0; 10], 70_000).await.unwrap();
        assert_eq!(&buf[..count], b"new");
    });
}

#[test]
fn without_a_descriptor_an_open_fails_and_nothing_else() {
    let output = in_child!(|| {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: the limit is read during the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        run(async || {
            let folder = Folder::new();
            let path = folder.file("file", "content");
            let file = File::open(&path).await.unwrap();
            let mut fillers: Vec<std::fs::File> =
                std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            for _ in 0..3 {
                let none = File::open(&path).await.unwrap_err();
                assert_eq!(none.raw_os_error(), Some(libc::EMFILE));
                let none = fs::read(&path).await.unwrap_err();
                assert_eq!(none.raw_os_error(), Some(libc::EMFILE));
                assert_eq!(file.try_clone().unwrap_err().raw_os_error(), Some(libc::EMFILE));
                assert_eq!(fs::metadata(&path).await.unwrap().len(), 7, "it needs none");
                file.read_exact_at(vec![0; 7], 0).await.unwrap();
            }
            fillers.pop();
            assert_eq!(fs::read(&path).await.unwrap(), b"content");
        });
    });
    if let Some(output) = output {
        assert_passed(&output);
    }
}

/// The kernel's workers of this thread's rings.
fn workers() -> usize {
    let own = std::fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let own = own.file_name().expect("pid/task/tid").to_string_lossy().into_owned();
    let name = format!("iou-wrk-{own}");
    let threads = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let names =
        threads.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

#[test]
fn a_flood_of_operations_that_wait_makes_no_more_kernel_threads_than_allowed() {
    run_with(Builder::new().kernel_workers(3, 2), async || {
        let folder = Folder::new();
        let opens: Vec<_> = (0..60)
            .map(|number| {
                let path = folder.join(format!("pipe-{number}"));
                make_fifo(&path);
                // The kernel's thread waits for a reader that never comes.
                annulus::spawn(async move {
                    OpenOptions::new().write(true).create(true).open(path).await.map(drop)
                })
            })
            .collect();
        until(|| workers() > 0).await;
        for _ in 0..50 {
            turn().await;
            assert!(workers() <= 5, "{}", workers());
        }
        for open in &opens {
            open.abort();
        }
        for open in opens {
            assert!(open.await.expect_err("it waited").is_cancelled());
        }
    });
}

#[test]
fn thousands_of_operations_share_a_few_kernel_threads() {
    run_with(Builder::new().kernel_workers(2, 2), async || {
        let folder = Folder::new();
        let tasks = (0..400)
            .map(|number| {
                let path = folder.join(number.to_string());
                annulus::spawn(async move {
                    let file = File::create_new(&path).await.unwrap();
                    file.write_all_at(content(number, 0, 5000), 0).await.unwrap();
                    assert_eq!(file.metadata().await.unwrap().len(), 5000);
                    fs::rename(&path, path.with_extension("moved")).await.unwrap();
                    assert!(workers() <= 4, "{}", workers());
                })
            })
            .collect();
        joined(tasks).await;
        let mut entries = fs::read_dir(folder.path()).await.unwrap();
        let mut count = 0;
        while let Some(entry) = entries.next_entry().await.unwrap() {
            assert!(entry.name().to_string_lossy().ends_with(".moved"));
            count += 1;
        }
        assert_eq!(count, 400);
    });
}

/// Whether a byte of a file is in the page cache: a read that may not wait finds it.
fn is_cached(file: &std::fs::File, offset: usize) -> bool {
    let mut byte = 0_u8;
    let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let (fd, offset) = (file.as_raw_fd(), offset as libc::off_t);
    // SAFETY: rule 2.
    unsafe { libc::preadv2(fd, &raw const part, 1, offset, libc::RWF_NOWAIT) == 1 }
}

#[test]
fn a_flood_of_reads_of_a_cold_file_makes_no_more_kernel_threads_than_allowed() {
    const READS: usize = 10_000;
    const PAGE: usize = 4096;
    const PAGES: usize = 2048;
    run_with(Builder::new().kernel_workers(2, 2), async || {
        let folder = Folder::new();
        let path = folder.file("file", content(4, 0, PAGE * PAGES));
        let plain = std::fs::File::open(&path).unwrap();
        plain.sync_all().unwrap();
        let file = Rc::new(File::open(&path).await.unwrap());
        file.advise(0..u64::MAX, Advice::Random).await.unwrap();
        file.advise(0..u64::MAX, Advice::DontNeed).await.unwrap();
        if is_cached(&plain, 0) && is_cached(&plain, PAGE * (PAGES - 1)) {
            skip!("the temporary directory is always in memory");
        }
        let tasks = (0..READS)
            .map(|nth| {
                let file = Rc::clone(&file);
                annulus::spawn(async move {
                    let at = nth * 1021 % PAGES * PAGE;
                    let bytes = file.read_exact_at(vec![0; 512], at as u64).await.unwrap();
                    assert_content(4, at, &bytes);
                    if nth % 200 == 0 {
                        assert!(workers() <= 4, "{}", workers());
                    }
                })
            })
            .collect();
        joined(tasks).await;
    });
}

#[test]
fn a_direct_read_that_is_not_aligned_is_what_it_is_with_std() {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = Folder::new();
    let path = folder.file("file", vec![7; 8192]);
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    if let Err(error) = options.open(&path) {
        skip!("this file system knows no direct reads: {error}");
    }
    run(async || {
        let plain = options.open(&path).unwrap();
        let file = File::from_std(options.open(&path).unwrap());
        for (offset, len) in [(1, 512), (0, 13), (512, 100)] {
            let expected = plain.read_at(&mut vec![0; len], offset).map_err(|error| error.kind());
            let read = file.read_at(vec![0; len], offset).await;
            let found = read.map(|(count, _)| count).map_err(|failed| failed.error.kind());
            assert_eq!(found, expected, "{len} bytes at {offset}");
        }
    });
}
