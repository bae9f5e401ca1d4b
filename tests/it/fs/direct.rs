//! Direct I/O: what is aligned goes past the page cache, and what is not is refused with its numbers.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;

use annulus::Builder;
use annulus::buf::{AlignedBuf, Slice};
use annulus::fs::{Allocation, DirectFile, OpenOptions};

use crate::support::files::{Folder, direct_file, nameless_file, packet_pipe, reopened};
use crate::support::settled::{
    assert_content, content, poll_and_drop, poll_once, run, run_with, turn,
};
use crate::support::skip::skip;

/// Runs the body on a runtime, with an empty file for direct I/O; ends the test where there is none.
macro_rules! on_direct {
    ($body:expr) => {
        let ran = run(async || {
            $body(direct_file()?).await;
            std::io::Result::Ok(())
        });
        if let Err(error) = ran {
            skip!("no direct I/O in the temporary directory: {error}");
        }
    };
}

/// A buffer for the file with what lies at the offset of a stream.
fn filled(file: &DirectFile, offset: usize, len: usize) -> AlignedBuf {
    let mut buf = file.buffer(len);
    buf.extend_from_slice(&content(0, offset, len));
    buf
}

/// A multiple of every alignment.
const UNIT: usize = 65536;

#[test]
fn what_is_written_is_there_for_everybody() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        for offset in [0, 3 * UNIT, UNIT] {
            let (count, buf) =
                file.write_at(filled(&file, offset, UNIT), offset as u64).await.unwrap();
            assert_eq!((count, buf.len()), (UNIT, UNIT));
        }
        let back = file
            .write_all_durable_at(filled(&file, 2 * UNIT, UNIT), 2 * UNIT as u64)
            .await
            .unwrap();
        let (count, back) = file.write_durable_at(back, 2 * UNIT as u64).await.unwrap();
        assert_eq!((count, back.len()), (UNIT, UNIT));
        assert_eq!(file.size().await.unwrap(), 4 * UNIT as u64);
        let all = file.read_exact_at(file.buffer(4 * UNIT), 0).await.unwrap();
        assert_content(0, 0, &all);
        let (count, buf) = file.read_at(back, UNIT as u64).await.unwrap();
        assert_eq!(count, UNIT);
        assert_content(0, UNIT, &buf);
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
        file.close().await.unwrap();
    });
}

#[test]
fn a_slice_of_an_aligned_buffer_is_one_where_its_begin_is_aligned() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain).await.unwrap();
        let buf = file.write_all_at(filled(&file, 0, 2 * UNIT), 0).await.unwrap();
        let second = Slice::for_read(buf, UNIT..);
        let second = file.read_exact_at(second, 0).await.unwrap();
        let buf = second.into_inner();
        assert_content(0, 0, &buf[..UNIT]);
        assert_content(0, 0, &buf[UNIT..]);
        let wrong = Slice::for_read(buf, 1..UNIT + 1);
        let refused = file.read_at(wrong, 0).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput, "{}", refused.error);
    });
}

#[test]
fn what_is_not_aligned_is_refused_with_its_numbers_and_its_buffer() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        let unit = file.alignment().offset;
        let refusals = [
            (unit, 1, format!("at a multiple of {unit} bytes in the file, not at 1")),
            (
                unit,
                u64::MAX,
                format!("at a multiple of {unit} bytes in the file, not at {}", u64::MAX),
            ),
            (unit - 1, 0, format!("of a multiple of {unit} bytes, not of {}", unit - 1)),
            (1, 0, format!("of a multiple of {unit} bytes, not of 1")),
        ];
        for (len, offset, text) in refusals {
            let buf = AlignedBuf::zeroed(len, UNIT);
            let refused = file.read_at(buf, offset).await.unwrap_err();
            assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
            assert!(refused.error.to_string().ends_with(&text), "{}", refused.error);
            let refused = file.read_exact_at(refused.buf, offset).await.unwrap_err();
            assert_eq!((refused.error.kind(), refused.transferred), (ErrorKind::InvalidInput, 0));
            for durable in [false, true] {
                let refused = match durable {
                    false => {
                        file.write_at(AlignedBuf::zeroed(len, UNIT), offset).await.unwrap_err()
                    }
                    true => file
                        .write_durable_at(AlignedBuf::zeroed(len, UNIT), offset)
                        .await
                        .unwrap_err(),
                };
                assert!(refused.error.to_string().ends_with(&text), "{}", refused.error);
                assert_eq!(refused.buf.len(), len, "it comes back");
            }
            let refused = file.write_all_at(refused.buf, offset).await.unwrap_err();
            assert_eq!((refused.error.kind(), refused.transferred), (ErrorKind::InvalidInput, 0));
        }
        assert_eq!(plain.metadata().unwrap().len(), 0, "nothing was written");
    });
}

#[test]
fn several_buffers_are_written_and_read_in_order() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        let bufs = vec![filled(&file, 0, UNIT), filled(&file, UNIT, 2 * UNIT), file.buffer(UNIT)];
        let (count, back) = file.write_vectored_at(bufs, UNIT as u64).await.unwrap();
        assert_eq!((count, back.len()), (3 * UNIT, 3));
        // More room than there is: the last is filled in part, and then none.
        let room = vec![file.buffer(2 * UNIT), file.buffer(2 * UNIT), file.buffer(UNIT)];
        let (count, back) = file.read_vectored_at(room, UNIT as u64).await.unwrap();
        assert_eq!(count, 3 * UNIT);
        assert_eq!([back[0].len(), back[1].len(), back[2].len()], [2 * UNIT, UNIT, 0]);
        assert_content(0, 0, &back[0]);
        assert_content(0, 2 * UNIT, &back[1]);
        let (count, none) = file.read_vectored_at(Vec::<AlignedBuf>::new(), 0).await.unwrap();
        assert_eq!((count, none.len()), (0, 0));
        assert_eq!(plain.metadata().unwrap().len(), 4 * UNIT as u64);
    });
}

#[test]
fn operations_on_several_buffers_are_bounded_in_number_like_the_others() {
    run_with(Builder::new().direct_depth(1), async || {
        let ((slow, slow_end), (fast, fast_end)) = (packet_pipe(), packet_pipe());
        let slow = DirectFile::from_std(slow).await.unwrap();
        let fast = DirectFile::from_std(fast).await.unwrap();
        (&fast_end).write_all(&[2; 4096]).unwrap();
        let room = || vec![AlignedBuf::new(4096, 4096)];
        let mut first = Box::pin(slow.read_vectored_at(room(), 0));
        assert!(poll_once(&mut first).await.is_pending());
        let mut second = Box::pin(fast.read_vectored_at(room(), 0));
        for _ in 0..5 {
            assert!(poll_once(&mut second).await.is_pending(), "it waits for the first");
            turn().await;
        }
        (&slow_end).write_all(&[1; 4096]).unwrap();
        assert_eq!(first.await.unwrap().1[0][..], [1; 4096]);
        assert_eq!(second.await.unwrap().1[0][..], [2; 4096]);
        // A dropped one makes room, too.
        let mut third = Box::pin(slow.read_vectored_at(room(), 0));
        assert!(poll_once(&mut third).await.is_pending());
        turn().await;
        drop(third);
        (&fast_end).write_all(&[3; 4096]).unwrap();
        assert_eq!(fast.read_vectored_at(room(), 0).await.unwrap().1[0][..], [3; 4096]);
    });
}

#[test]
fn one_of_several_buffers_that_is_not_aligned_is_refused_with_all_of_them() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        let (memory, unit) = (file.alignment().memory, file.alignment().offset);
        let bufs = |len| {
            let whole = Slice::new(AlignedBuf::zeroed(unit, UNIT), ..);
            vec![whole, Slice::new(AlignedBuf::zeroed(2 * unit, UNIT), len)]
        };
        let mut refusals = vec![
            (1, 0..unit, format!("at a multiple of {unit} bytes in the file, not at 1")),
            (0, 0..unit - 1, format!("of a multiple of {unit} bytes, not of {}", unit - 1)),
        ];
        if memory > 1 {
            let text =
                format!("with a buffer at a multiple of {memory} bytes in memory, not at 0x");
            refusals.push((0, 1..unit + 1, text));
        }
        for (offset, len, text) in refusals {
            let read = file.read_vectored_at(bufs(len.clone()), offset).await.unwrap_err();
            let write = file.write_vectored_at(bufs(len), offset).await.unwrap_err();
            for refused in [read, write] {
                assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
                assert!(refused.error.to_string().contains(&text), "{}", refused.error);
                assert_eq!(refused.buf.len(), 2, "they come back");
            }
        }
        let failed = file.read_vectored_at(Vec::<AlignedBuf>::new(), 1).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::InvalidInput, "also without a buffer");
        assert_eq!(plain.metadata().unwrap().len(), 0, "nothing was written");
    });
}

#[test]
fn a_buffer_at_a_wrong_address_is_refused_before_the_kernel_sees_it() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain).await.unwrap();
        let (memory, unit) = (file.alignment().memory, file.alignment().offset);
        if memory == 1 {
            return;
        }
        let buf = Slice::new(AlignedBuf::zeroed(2 * unit, memory), 1..=unit);
        let refused = file.write_at(buf, 0).await.unwrap_err();
        let text = format!("with a buffer at a multiple of {memory} bytes in memory, not at 0x");
        assert!(refused.error.to_string().contains(&text), "{}", refused.error);
        assert_eq!(refused.buf.as_ref().len(), unit);
    });
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        file.write_all_at(filled(&file, 0, UNIT), 0).await.unwrap();
        file.set_len(UNIT as u64 - 100).await.unwrap();
        let (count, buf) = file.read_at(file.buffer(2 * UNIT), 0).await.unwrap();
        assert_eq!((count, buf.len()), (UNIT - 100, UNIT - 100));
        assert_content(0, 0, &buf);
        let ended = file.read_exact_at(buf, 0).await.unwrap_err();
        assert_eq!((ended.error.kind(), ended.transferred), (ErrorKind::UnexpectedEof, UNIT - 100));
        let (count, buf) = file.read_at(ended.buf, UNIT as u64).await.unwrap();
        assert_eq!((count, buf.len()), (0, 0));
        let (count, _) = file.read_at(AlignedBuf::new(0, 1 << 12), 0).await.unwrap();
        assert_eq!(count, 0, "a buffer without room");
        let (count, _) = file.write_at(AlignedBuf::new(0, 1 << 12), 0).await.unwrap();
        assert_eq!(count, 0);
    });
}

#[test]
fn space_is_given_in_advance() {
    let mut supported = true;
    on_direct!(async |plain: std::fs::File| {
        let file = DirectFile::from_std(plain.try_clone().unwrap()).await.unwrap();
        match file.allocate(0..1 << 20, Allocation::Extend).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return supported = false,
            result => result.unwrap(),
        }
        assert_eq!(file.metadata().await.unwrap().len(), 1 << 20);
        file.write_all_durable_at(filled(&file, UNIT, UNIT), UNIT as u64).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 1 << 20);
        let mut bytes = vec![0; UNIT];
        let reader = reopened(&plain, std::fs::OpenOptions::new().read(true));
        reader.read_exact_at(&mut bytes, UNIT as u64).unwrap();
        assert_content(0, UNIT, &bytes);
    });
    if !supported {
        skip!("the file system of the temporary directory gives no space in advance");
    }
}

#[test]
fn files_are_made_opened_and_given_away() {
    on_direct!(async |_: std::fs::File| {
        let folder = Folder::new();
        let path = folder.join("file");
        let file = DirectFile::create(&path).await.unwrap();
        file.write_all_at(filled(&file, 0, UNIT), 0).await.unwrap();
        file.close().await.unwrap();
        let file = DirectFile::open(&path).await.unwrap();
        let alignment = file.alignment();
        assert!(alignment.memory.is_power_of_two() && alignment.offset.is_power_of_two());
        let refused = file.write_at(filled(&file, 0, UNIT), 0).await.unwrap_err();
        assert_eq!(refused.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(refused.buf.len(), UNIT);
        let file = DirectFile::from_std(file.into_std().await.unwrap()).await.unwrap();
        assert_eq!(file.alignment(), alignment);
        let buf = file.read_exact_at(file.buffer(1), 0).await.unwrap();
        assert_eq!(buf.len(), alignment.offset.max(1), "whole units");
        assert_content(0, 0, &buf);
        let missing = DirectFile::open(folder.join("none")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_that_is_not_for_direct_io_is_refused() {
    run(async || {
        let refused = DirectFile::from_std(nameless_file()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("O_DIRECT"), "{refused}");
        let folder = Folder::new();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let refused = options.open_direct(folder.join("file")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(!folder.join("file").exists(), "it was not made");
        // A file system that has no such thing.
        let refused = DirectFile::open("/proc/self/status").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    });
}

#[test]
fn a_dropped_open_or_take_over_leaks_nothing() {
    on_direct!(async |plain: std::fs::File| {
        let folder = Folder::new();
        for path in [folder.join("file"), folder.join("missing/file")] {
            assert!(poll_and_drop(DirectFile::create(&path)).await.is_none());
            let mut open = Box::pin(DirectFile::create(&path));
            assert!(poll_once(&mut open).await.is_pending());
            turn().await;
            drop(open);
        }
        assert!(poll_and_drop(DirectFile::from_std(plain.try_clone().unwrap())).await.is_none());
    });
}
