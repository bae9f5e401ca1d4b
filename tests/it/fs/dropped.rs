//! What a dropped future leaves to its file, row by row of the table in `annulus::fs`.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annulus::fs::{Allocation, File};
use annulus::time::{Duration, timeout};
use annulus::{Builder, spawn, spawn_blocking};
use socket2::SockRef;

use crate::support::files::nameless_file;
use crate::support::settled::{Drops, poll_once, run, run_with, turn, until};

/// A file in which every write fails for want of space.
fn full() -> File {
    let full = std::fs::OpenOptions::new().read(true).write(true).open("/dev/full");
    File::from_std(full.unwrap())
}

/// A pipe that takes no more.
fn stuffed() -> (std::io::PipeReader, File) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[0; 65536]).unwrap();
    (reader, File::from_std(OwnedFd::from(writer).into()))
}

async fn drop_in_kernel(future: impl Future) {
    let mut future = Box::pin(future);
    assert!(poll_once(&mut future).await.is_pending());
    turn().await;
    drop(future);
}

#[track_caller]
fn assert_full<T>(result: Result<T, impl Into<std::io::Error>>) {
    let error = result.map_err(Into::into).err().expect("an error to be told");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
}

#[test]
fn the_error_of_a_dropped_write_is_told_once_by_whatever_changes_the_file_next() {
    run(async || {
        let file = full();
        let lose = async || {
            let drops = Drops::default();
            drop_in_kernel(file.write_at(drops.buffer(b"lost".to_vec()), 0)).await;
            until(|| drops.count() == 1).await;
        };
        lose().await;
        assert_full(file.sync_all().await);
        lose().await;
        assert_full(file.sync_data().await);
        lose().await;
        assert_full(file.sync_range(0..10).await);
        lose().await;
        assert_full(file.set_len(10).await);
        lose().await;
        assert_full(file.flush().await);
        file.flush().await.unwrap();
        lose().await;
        assert_full(file.allocate(0..4096, Allocation::Extend).await);
        lose().await;
        // A read does not take the error away.
        file.read_at(vec![0; 4], 0).await.unwrap();
        let failed = file.write_at("kept".to_owned(), 0).await.unwrap_err();
        assert_eq!((failed.error.kind(), failed.buf.as_str()), (ErrorKind::StorageFull, "kept"));
        let drops = Drops::default();
        drop_in_kernel(file.write_vectored_at(vec![drops.buffer(b"lost".to_vec())], 0)).await;
        until(|| drops.count() == 1).await;
        assert_full(file.write_all_at("kept", 0).await);
        drop_in_kernel(file.write(b"lost")).await;
        assert_full(file.close().await);
    });
}

#[test]
fn giving_the_file_away_tells_the_error_too() {
    run(async || {
        let file = full();
        drop_in_kernel(file.write_at("lost", 0)).await;
        assert_full(file.into_std().await);
    });
}

#[test]
fn a_write_taken_back_before_the_loop_turned_is_no_error() {
    run(async || {
        let file = full();
        let mut write = Box::pin(file.write_at("never", 0));
        assert!(poll_once(&mut write).await.is_pending());
        drop(write);
        drop(file.write_at("never polled", 0));
        file.flush().await.unwrap();
        file.close().await.unwrap();
    });
}

#[test]
fn a_sync_waits_for_dropped_writes() {
    run(async || {
        let (mut reader, file) = stuffed();
        let drops = Drops::default();
        drop_in_kernel(file.write_at(drops.buffer(b"late".to_vec()), 0)).await;
        assert!(timeout(Duration::from_millis(5), file.flush()).await.is_err(), "it is under way");
        assert_eq!(drops.count(), 0);
        reader.read_exact(&mut [0; 65536]).unwrap();
        file.flush().await.unwrap();
        assert_eq!(drops.count(), 1);
        let mut late = [0; 4];
        reader.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"late");
    });
}

#[test]
fn each_of_several_waits_is_woken() {
    run(async || {
        let (reader, file) = stuffed();
        drop_in_kernel(file.write_at("late", 0)).await;
        drop_in_kernel(file.write_at("later", 0)).await;
        let file = std::rc::Rc::new(file);
        let waits = [(); 3].map(|()| {
            let file = std::rc::Rc::clone(&file);
            spawn(async move { file.flush().await })
        });
        turn().await;
        drop(reader);
        let mut told = 0;
        for wait in waits {
            if let Err(error) = wait.await.unwrap() {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                told += 1;
            }
        }
        assert_eq!(told, 1, "two were lost, the first is told, once");
    });
}

#[test]
fn a_close_waits_for_dropped_operations_and_tells() {
    run(async || {
        let (reader, file) = stuffed();
        let fd = file.as_raw_fd();
        drop_in_kernel(file.write_at("late", 0)).await;
        let mut close = Box::pin(file.close());
        assert!(poll_once(&mut close).await.is_pending());
        turn().await;
        assert!(std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).is_ok());
        drop(reader);
        assert_eq!(close.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).is_err());
    });
}

#[test]
fn into_std_waits_for_a_dropped_read_to_be_cancelled() {
    run(async || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = File::from_std(OwnedFd::from(reader).into());
        let drops = Drops::default();
        drop_in_kernel(file.read_at(drops.buffer(vec![0; 16]), 0)).await;
        let mut plain = file.into_std().await.unwrap();
        assert_eq!(drops.count(), 1);
        writer.write_all(b"for std").unwrap();
        let mut bytes = [0; 7];
        plain.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"for std");
    });
}

#[test]
fn a_leaked_operation_is_not_waited_for() {
    run(async || {
        let file = File::from_std(nameless_file());
        let mut write = Box::pin(file.write_at(b"leaked".to_vec(), 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        // It completed; nobody takes it as long as it is leaked.
        let leaked = std::mem::ManuallyDrop::new(write);
        file.sync_all().await.unwrap();
        file.flush().await.unwrap();
        drop(std::mem::ManuallyDrop::into_inner(leaked));
        file.close().await.unwrap();
    });
}

#[test]
fn a_dropped_whole_write_that_ended_half_way_is_an_error() {
    run(async || {
        let (mut reader, file) = stuffed();
        let mut write = Box::pin(file.write_all_at(vec![1; 100_000], 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        // Room for a part of it, and then nobody reads any more.
        reader.read_exact(&mut [0; 65536]).unwrap();
        SockRef::from(&reader).set_nonblocking(true).unwrap();
        until(|| matches!(reader.read(&mut [0; 4096]), Ok(1..))).await;
        drop(reader);
        let lost = file.flush().await.unwrap_err();
        assert!(matches!(lost.kind(), ErrorKind::WriteZero | ErrorKind::BrokenPipe), "{lost}");
    });
}

/// One thread, which is kept busy until the sender goes, and room for so many jobs behind.
fn busy_pool(queue: usize, body: impl AsyncFnOnce(File, std::sync::mpsc::Sender<()>)) {
    run_with(Builder::new().blocking_threads(1).blocking_queue(queue), async || {
        let (busy, until_gone) = std::sync::mpsc::channel::<()>();
        let has_begun = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&has_begun);
        let keep_busy = spawn_blocking(move || {
            begun.store(true, Ordering::Release);
            until_gone.recv().unwrap_err();
        });
        until(|| has_begun.load(Ordering::Acquire)).await;
        body(File::from_std(nameless_file()), busy).await;
        keep_busy.await.unwrap();
    });
}

#[test]
fn a_sync_waits_for_a_dropped_change_of_a_thread() {
    busy_pool(8, async |file, busy| {
        drop_in_kernel(file.set_len(100)).await;
        drop_in_kernel(file.set_xattr("no class", "")).await;
        let file = std::rc::Rc::new(file);
        let waits = [(); 3].map(|()| {
            let file = std::rc::Rc::clone(&file);
            spawn(async move { file.sync_all().await })
        });
        assert!(timeout(Duration::from_millis(5), file.flush()).await.is_err(), "it is under way");
        drop(busy);
        let mut told = 0;
        for wait in waits {
            told += usize::from(wait.await.unwrap().is_err());
        }
        assert_eq!(told, 1, "the error is told, once");
        assert_eq!(file.metadata().await.unwrap().len(), 100);
    });
}

#[test]
fn the_error_of_a_dropped_change_of_a_thread_is_told_by_whatever_changes_the_file_next() {
    busy_pool(8, async |file, busy| {
        drop(busy);
        let lose = async || {
            let (hold, until_gone) = std::sync::mpsc::channel::<()>();
            drop(spawn_blocking(move || until_gone.recv()));
            drop_in_kernel(file.set_xattr("no class", "")).await;
            drop(hold);
            // The only thread is done with the one when it has begun with the other.
            spawn_blocking(|| ()).await.unwrap();
        };
        lose().await;
        let failed = file.write_at("kept".to_owned(), 0).await.unwrap_err();
        assert_eq!(failed.buf, "kept");
        assert!(failed.error.raw_os_error().is_some_and(|code| code != libc::EIO), "{failed}");
        file.write_all_at("now", 0).await.unwrap();
        lose().await;
        assert!(file.sync_data().await.is_err());
        lose().await;
        assert!(file.set_len(1).await.is_err());
        file.set_len(1).await.unwrap();
        lose().await;
        assert!(file.close().await.is_err());
    });
}

#[test]
fn a_change_that_is_dropped_before_it_has_a_place_with_a_thread_is_taken_back() {
    busy_pool(1, async |file, busy| {
        let queued = spawn_blocking(|| ());
        turn().await;
        drop_in_kernel(file.set_len(100)).await;
        drop(busy);
        queued.await.unwrap();
        spawn_blocking(|| ()).await.unwrap();
        file.sync_all().await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 0);
    });
}
