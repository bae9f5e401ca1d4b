//! The cells on annulus.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use annulus::fs::{self, File};
use annulus::spawn;

use super::{
    BLOCK, LARGE_MIB, MIB, Places, Run, SMALL_SIZE, STREAM_DEPTH, Sample, Stopwatch, large, small,
};
use super::{annulus_direct, annulus_log};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("read_d1", |operations| block_on(|| read(operations, 1))),
    ("read_d32", |operations| block_on(|| read(operations, 32))),
    ("read_d128", |operations| block_on(|| read(operations, 128))),
    ("direct_d128", |operations| block_on(|| annulus_direct::read(operations, 128, true))),
    ("direct_plain_d128", |operations| block_on(|| annulus_direct::read(operations, 128, false))),
    ("durable_append", |operations| block_on(|| annulus_direct::append(operations))),
    ("durable_ring", |operations| block_on(|| annulus_direct::append(operations))),
    ("durable_append_c32", |operations| block_on(|| annulus_log::append(operations, 32))),
    ("open_read_close_d32", |operations| block_on(|| open_read_close(operations, 32))),
    ("metadata_d32", |operations| block_on(|| metadata(operations, 32))),
    ("read_1m", |operations| block_on(|| stream(operations, false))),
    ("write_1m", |operations| block_on(|| stream(operations, true))),
];

fn block_on<F: Future<Output = io::Result<Sample>>>(cell: impl FnOnce() -> F) -> Sample {
    let sample =
        annulus::Runtime::new().and_then(|runtime| runtime.block_on(async { cell().await }));
    match sample {
        Ok(sample) => sample,
        Err(error) => panic!("annulus failed: {error}"),
    }
}

/// Runs `depth` tasks and waits for them all.
pub(super) async fn together<F>(
    operations: u64,
    depth: usize,
    task: impl Fn(usize) -> F,
) -> io::Result<Sample>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..depth).map(|slot| spawn(task(slot))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(watch.stop(operations))
}

/// How many operations this task does.
pub(super) fn share(operations: u64, depth: usize, slot: usize) -> u64 {
    (operations + (depth - 1 - slot) as u64) / depth as u64
}

async fn read(operations: u64, depth: usize) -> io::Result<Sample> {
    let file = Rc::new(File::from_std(large()));
    together(operations, depth, |slot| {
        let file = Rc::clone(&file);
        async move {
            let (mut buf, mut places) = (vec![0_u8; BLOCK], Places::new(slot));
            for _ in 0..share(operations, depth, slot) {
                let (count, back) = file.read_at(buf, places.next()).await?;
                assert_eq!(count, BLOCK);
                buf = back;
            }
            Ok(())
        }
    })
    .await
}

async fn stream(operations: u64, writes: bool) -> io::Result<Sample> {
    let file = Rc::new(File::from_std(large()));
    let next = Rc::new(Cell::new(0));
    together(operations, STREAM_DEPTH, |_| {
        let (file, next) = (Rc::clone(&file), Rc::clone(&next));
        async move {
            let mut buf = vec![0_u8; MIB];
            loop {
                let nth = next.replace(next.get() + 1);
                if nth >= operations {
                    return Ok(());
                }
                let offset = nth % LARGE_MIB * MIB as u64;
                let (count, back) = match writes {
                    true => file.write_at(buf, offset).await?,
                    false => file.read_at(buf, offset).await?,
                };
                assert_eq!(count, MIB);
                buf = back;
            }
        }
    })
    .await
}

async fn open_read_close(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = Rc::new(small());
    let next = Rc::new(Cell::new(0));
    together(operations, depth, |_| {
        let (paths, next) = (Rc::clone(&paths), Rc::clone(&next));
        async move {
            let mut buf = vec![0_u8; BLOCK];
            loop {
                let nth = next.replace(next.get() + 1);
                if nth >= operations as usize {
                    return Ok(());
                }
                let file = File::open(&paths[nth % paths.len()]).await?;
                let (count, back) = file.read_at(buf, 0).await?;
                assert_eq!(count, SMALL_SIZE);
                buf = back;
            }
        }
    })
    .await
}

async fn metadata(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = Rc::new(small());
    let next = Rc::new(Cell::new(0));
    together(operations, depth, |_| {
        let (paths, next) = (Rc::clone(&paths), Rc::clone(&next));
        async move {
            loop {
                let nth = next.replace(next.get() + 1);
                if nth >= operations as usize {
                    return Ok(());
                }
                let metadata = fs::metadata(&paths[nth % paths.len()]).await?;
                assert_eq!(metadata.len(), SMALL_SIZE as u64);
            }
        }
    })
    .await
}
