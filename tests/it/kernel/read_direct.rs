//! READ and READ_FIXED past the page cache.

use std::io::Write;
use std::mem::ManuallyDrop;

use annulus::buf::{AlignedBuf, Slice};
use annulus::fs::{DirectFile, RegisteredPool};
use annulus::{Builder, Runtime};

use crate::support::files::{direct_file, packet_pipe};
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    Drops, PATIENCE, assert_content, content, poll_flagged, poll_once, run, run_with, turn, until,
};
use crate::support::skip::skip;

/// A unit of every file here, and a packet of a pipe.
const UNIT: usize = 4096;

/// The reading end of a pipe, and the other one.
async fn pipe() -> (DirectFile, std::fs::File) {
    let (reader, writer) = packet_pipe();
    (DirectFile::from_std(reader).await.unwrap(), writer)
}

#[test]
fn a_registered_buffer_is_read_into_like_any_other() {
    let ran = run(async || {
        let file = DirectFile::from_std(direct_file()?).await?;
        let mut buf = AlignedBuf::new(8 * UNIT, UNIT);
        buf.extend_from_slice(&content(1, 0, 8 * UNIT));
        file.write_all_at(buf, 0).await?;
        let pool = RegisteredPool::new(2 * UNIT, 3)?;
        for offset in [0, 3 * UNIT, 6 * UNIT] {
            let buf = pool.get().expect("none is in use");
            let (count, buf) = file.read_at(buf, offset as u64).await?;
            assert_eq!((count, buf.len(), buf.is_registered()), (2 * UNIT, 2 * UNIT, true));
            assert_content(1, offset, &buf);
        }
        let mut buf = pool.get().expect("none is in use");
        buf.resize(UNIT, 9);
        let part = Slice::for_read(buf, UNIT..);
        let (count, part) = file.read_at(part, 5 * UNIT as u64).await?;
        let buf = part.into_inner();
        assert_eq!((count, buf.len(), &buf[..UNIT]), (UNIT, 2 * UNIT, [9; UNIT].as_slice()));
        assert_content(1, 5 * UNIT, &buf[UNIT..]);
        drop(buf);
        assert_eq!(pool.available(), 3, "each went back");
        std::io::Result::Ok(())
    });
    if let Err(error) = ran {
        skip!("no direct I/O in the temporary directory: {error}");
    }
}

#[test]
fn a_dropped_read_is_cancelled_and_its_buffer_goes_when_the_kernel_is_done() {
    run(async || {
        let (file, _writer) = pipe().await;
        let pool = RegisteredPool::new(UNIT, 1).unwrap();
        for buf in [AlignedBuf::new(UNIT, UNIT), pool.get().unwrap()] {
            let drops = Drops::default();
            let mut read = Box::pin(file.read_at(drops.counted(buf), 0));
            assert!(poll_once(&mut read).await.is_pending());
            turn().await;
            drop(read);
            assert_eq!(drops.count(), 0, "the kernel has it");
            until(|| drops.count() == 1).await;
        }
        assert_eq!(pool.available(), 1);
    });
}

#[test]
fn only_so_many_are_in_the_kernel_and_the_next_begins_when_one_ends() {
    run_with(Builder::new().direct_depth(2), async || {
        let mut pipes = Vec::new();
        for _ in 0..4 {
            pipes.push(pipe().await);
        }
        let mut reads: Vec<_> = pipes
            .iter()
            .map(|(file, _)| Box::pin(file.read_at(AlignedBuf::new(UNIT, UNIT), 0)))
            .collect();
        let flags: Vec<_> = reads
            .iter_mut()
            .map(|read| {
                let (poll, flag) = poll_flagged(read);
                assert!(poll.is_pending());
                flag
            })
            .collect();
        for (_, writer) in &pipes[2..] {
            (&*writer).write_all(&[7; UNIT]).unwrap();
        }
        for _ in 0..5 {
            turn().await;
        }
        assert!(flags.iter().all(|flag| !flag.is_set()), "the last two wait for their turn");
        // One end lets the third begin, whose end lets the fourth; nobody is polled meanwhile.
        (&pipes[1].1).write_all(&[7; UNIT]).unwrap();
        until(|| flags[1..].iter().all(|flag| flag.is_set())).await;
        assert!(!flags[0].is_set());
        for read in reads.split_off(1) {
            let (count, buf) = read.await.unwrap();
            assert_eq!((count, &*buf), (UNIT, [7; UNIT].as_slice()));
        }
    });
}

#[test]
fn what_is_dropped_while_it_waits_frees_its_buffer_at_once_and_holds_nobody_up() {
    run_with(Builder::new().direct_depth(1), async || {
        let (silent, _silent) = pipe().await;
        let (file, writer) = pipe().await;
        (&writer).write_all(&[7; UNIT]).unwrap();
        let drops = Drops::default();
        let buffer = || drops.counted(AlignedBuf::new(UNIT, UNIT));
        let mut first = Box::pin(silent.read_at(buffer(), 0));
        let mut waits = Box::pin(file.read_at(buffer(), 0));
        let mut last = Box::pin(file.read_at(buffer(), 0));
        for read in [&mut first, &mut waits, &mut last] {
            assert!(poll_flagged(read).0.is_pending());
        }
        turn().await;
        drop(waits);
        assert_eq!(drops.count(), 1, "the kernel never saw it");
        drop(first);
        let (count, buf) = last.await.unwrap();
        assert_eq!(count, UNIT, "nobody took the packet");
        drop(buf);
        // One that was taken back before the loop turned makes room, too.
        (&writer).write_all(&[8; UNIT]).unwrap();
        let mut staged = Box::pin(silent.read_at(buffer(), 0));
        let mut waits = Box::pin(file.read_at(buffer(), 0));
        assert!(
            poll_flagged(&mut staged).0.is_pending() && poll_flagged(&mut waits).0.is_pending()
        );
        drop(staged);
        assert_eq!(waits.await.unwrap().0, UNIT);
        assert_eq!(drops.count(), 5);
    });
}

#[test]
fn a_leaked_read_that_waits_ends_with_the_runtime() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::builder().direct_depth(1).build().unwrap();
    let drops = Drops::default();
    let leaked = runtime.block_on(async {
        let mut leaked = Vec::new();
        for _ in 0..2 {
            let (file, writer) = pipe().await;
            let buf = drops.counted(AlignedBuf::new(UNIT, UNIT));
            let mut read = Box::pin(async move {
                let _writer = writer;
                drop(file.read_at(buf, 0).await);
            });
            assert!(poll_once(&mut read).await.is_pending());
            leaked.push(ManuallyDrop::new(read));
        }
        turn().await;
        leaked
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    leaked.into_iter().for_each(|read| drop(ManuallyDrop::into_inner(read)));
    assert_eq!(drops.count(), 2);
}
