//! WRITE and WRITE_FIXED past the page cache.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;

use annulus::Builder;
use annulus::buf::{AlignedBuf, Slice};
use annulus::fs::{DirectFile, RegisteredPool};

use crate::support::files::{direct_file, packet_pipe, reopened};
use crate::support::settled::{
    Drops, assert_content, content, poll_flagged, poll_once, run, run_with, turn, until,
};
use crate::support::skip::skip;

/// A unit of every file here, and a packet of a pipe.
const UNIT: usize = 4096;
/// Packets that a pipe holds.
const PACKETS: usize = 16;

/// A buffer with what lies at the offset of a stream.
fn filled(mut buf: AlignedBuf, offset: usize) -> AlignedBuf {
    buf.extend_from_slice(&content(0, offset, UNIT));
    buf
}

/// The writing end of a pipe that takes no more, and the other one.
async fn stuffed() -> (std::fs::File, DirectFile) {
    let (reader, writer) = packet_pipe();
    let file = DirectFile::from_std(writer).await.unwrap();
    for _ in 0..PACKETS {
        file.write_all_at(AlignedBuf::zeroed(UNIT, UNIT), 0).await.unwrap();
    }
    (reader, file)
}

#[test]
fn a_registered_buffer_is_written_like_any_other() {
    let ran = run(async || {
        let plain = direct_file()?;
        let file = DirectFile::from_std(plain.try_clone()?).await?;
        let pool = RegisteredPool::new(UNIT, 2)?;
        for (nth, durable) in [false, true, false, true].into_iter().enumerate() {
            let offset = nth * UNIT;
            let buf = filled(pool.get().expect("one is not in use"), offset);
            let (count, buf) = match durable {
                false => file.write_at(buf, offset as u64).await?,
                true => file.write_durable_at(buf, offset as u64).await?,
            };
            assert_eq!((count, buf.len(), buf.is_registered()), (UNIT, UNIT, true));
        }
        let whole = filled(AlignedBuf::new(UNIT, UNIT), 4 * UNIT);
        file.write_all_durable_at(Slice::new(whole, ..), 4 * UNIT as u64).await?;
        let mut bytes = vec![0; 5 * UNIT];
        let cached = reopened(&plain, std::fs::OpenOptions::new().read(true));
        cached.read_exact_at(&mut bytes, 0)?;
        assert_content(0, 0, &bytes);
        assert_eq!(pool.available(), 2);
        std::io::Result::Ok(())
    });
    if let Err(error) = ran {
        skip!("no direct I/O in the temporary directory: {error}");
    }
}

#[test]
fn an_error_gives_the_buffer_back() {
    run(async || {
        let (reader, _writer) = packet_pipe();
        let file = DirectFile::from_std(reader).await.unwrap();
        let pool = RegisteredPool::new(UNIT, 1).unwrap();
        for buf in [AlignedBuf::new(UNIT, UNIT), pool.get().unwrap()] {
            let is_registered = buf.is_registered();
            let failed = file.write_durable_at(filled(buf, 0), 0).await.unwrap_err();
            assert_eq!(failed.error.raw_os_error(), Some(libc::EBADF));
            assert_content(0, 0, &failed.buf);
            assert_eq!(failed.buf.is_registered(), is_registered);
        }
    });
}

#[test]
fn a_dropped_write_that_the_kernel_has_is_finished() {
    run(async || {
        let (mut reader, file) = stuffed().await;
        let pool = RegisteredPool::new(UNIT, 1).unwrap();
        for (nth, buf) in [AlignedBuf::new(UNIT, UNIT), pool.get().unwrap()].into_iter().enumerate()
        {
            let drops = Drops::default();
            let buf = drops.counted(filled(buf, nth * UNIT));
            let mut write = Box::pin(file.write_at(buf, 0));
            assert!(poll_once(&mut write).await.is_pending());
            turn().await;
            drop(write);
            assert_eq!(drops.count(), 0, "the kernel has it");
            let mut packet = [1; UNIT];
            reader.read_exact(&mut packet).unwrap();
            until(|| drops.count() == 1).await;
        }
        let mut packet = [0; UNIT];
        (0..PACKETS - 2).for_each(|_| reader.read_exact(&mut packet).unwrap());
        for nth in 0..2 {
            reader.read_exact(&mut packet).unwrap();
            assert_content(0, nth * UNIT, &packet);
        }
        assert_eq!(pool.available(), 1);
    });
}

#[test]
fn the_error_of_a_dropped_write_is_told_by_the_next_one() {
    run(async || {
        let (reader, file) = stuffed().await;
        let drops = Drops::default();
        let buf = drops.counted(filled(AlignedBuf::new(UNIT, UNIT), 0));
        let mut write = Box::pin(file.write_durable_at(buf, 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop((write, reader));
        until(|| drops.count() == 1).await;
        let refused = file.write_at(AlignedBuf::zeroed(1, 1), 0).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput, "it takes no error away");
        let told = file.write_at(AlignedBuf::zeroed(UNIT, UNIT), 0).await.unwrap_err();
        assert_eq!((told.error.kind(), told.buf.len()), (ErrorKind::BrokenPipe, UNIT));
    });
}

#[test]
fn a_write_that_is_dropped_while_it_waits_never_happens() {
    run_with(Builder::new().direct_depth(1), async || {
        let (_full, stuffed) = stuffed().await;
        let (mut reader, writer) = packet_pipe();
        let file = DirectFile::from_std(writer).await.unwrap();
        let drops = Drops::default();
        let mut first = Box::pin(stuffed.write_at(AlignedBuf::zeroed(UNIT, UNIT), 0));
        let buf = drops.counted(filled(AlignedBuf::new(UNIT, UNIT), 0));
        let mut waits = Box::pin(file.write_at(buf, 0));
        let mut last = Box::pin(file.write_at(filled(AlignedBuf::new(UNIT, UNIT), UNIT), 0));
        assert!(poll_flagged(&mut first).0.is_pending());
        assert!(poll_flagged(&mut waits).0.is_pending());
        assert!(poll_flagged(&mut last).0.is_pending());
        turn().await;
        drop(waits);
        assert_eq!(drops.count(), 1);
        drop((first, _full));
        last.await.unwrap();
        let mut packet = [0; UNIT];
        reader.read_exact(&mut packet).unwrap();
        assert_content(0, UNIT, &packet);
    });
}
