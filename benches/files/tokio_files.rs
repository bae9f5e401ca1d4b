//! The cells on tokio's current-thread runtime and its blocking threads.

use std::cell::Cell;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::{
    BLOCK, LARGE_MIB, MIB, Places, Run, SMALL_SIZE, STREAM_DEPTH, Sample, Stopwatch, large, small,
};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("read_d1", |operations| block_on(read(operations, 1))),
    ("read_d32", |operations| block_on(read(operations, 32))),
    ("read_d128", |operations| block_on(read(operations, 128))),
    ("open_read_close_d32", |operations| block_on(open_read_close(operations, 32))),
    ("metadata_d32", |operations| block_on(metadata(operations, 32))),
    ("read_1m", |operations| block_on(stream(operations, false))),
    ("write_1m", |operations| block_on(stream(operations, true))),
];

fn block_on(cell: impl Future<Output = io::Result<Sample>>) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let sample = runtime.and_then(|runtime| runtime.block_on(LocalSet::new().run_until(cell)));
    match sample {
        Ok(sample) => sample,
        Err(error) => panic!("tokio failed: {error}"),
    }
}

/// Runs `depth` tasks, each of which takes the next number until there is none left.
async fn numbered<F>(
    operations: u64,
    depth: usize,
    task: impl Fn(usize, Rc<dyn Fn() -> Option<u64>>) -> F,
) -> io::Result<Sample>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let next = Cell::new(0);
    let take = move || {
        let nth = next.replace(next.get() + 1);
        (nth < operations).then_some(nth)
    };
    let take: Rc<dyn Fn() -> Option<u64>> = Rc::new(take);
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..depth).map(|slot| spawn_local(task(slot, Rc::clone(&take)))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(watch.stop(operations))
}

async fn read(operations: u64, depth: usize) -> io::Result<Sample> {
    let file = Arc::new(large());
    numbered(operations, depth, |slot, take| {
        let file = Arc::clone(&file);
        async move {
            let (mut buf, mut places) = (vec![0_u8; BLOCK], Places::new(slot));
            while take().is_some() {
                let (file, offset) = (Arc::clone(&file), places.next());
                let read = move || file.read_at(&mut buf, offset).map(|count| (count, buf));
                let (count, back) = spawn_blocking(read).await??;
                assert_eq!(count, BLOCK);
                buf = back;
            }
            Ok(())
        }
    })
    .await
}

async fn stream(operations: u64, writes: bool) -> io::Result<Sample> {
    let file = Arc::new(large());
    numbered(operations, STREAM_DEPTH, |_, take| {
        let file = Arc::clone(&file);
        async move {
            let mut buf = vec![0_u8; MIB];
            while let Some(nth) = take() {
                let (file, offset) = (Arc::clone(&file), nth % LARGE_MIB * MIB as u64);
                let transfer = move || {
                    let count = match writes {
                        true => file.write_at(&buf, offset)?,
                        false => file.read_at(&mut buf, offset)?,
                    };
                    io::Result::Ok((count, buf))
                };
                let (count, back) = spawn_blocking(transfer).await??;
                assert_eq!(count, MIB);
                buf = back;
            }
            Ok(())
        }
    })
    .await
}

async fn open_read_close(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = Rc::new(small());
    numbered(operations, depth, |_, take| {
        let paths = Rc::clone(&paths);
        async move {
            while let Some(nth) = take() {
                let bytes = tokio::fs::read(&paths[nth as usize % paths.len()]).await?;
                assert_eq!(bytes.len(), SMALL_SIZE);
            }
            Ok(())
        }
    })
    .await
}

async fn metadata(operations: u64, depth: usize) -> io::Result<Sample> {
    let paths = Rc::new(small());
    numbered(operations, depth, |_, take| {
        let paths = Rc::clone(&paths);
        async move {
            while let Some(nth) = take() {
                let metadata = tokio::fs::metadata(&paths[nth as usize % paths.len()]).await?;
                assert_eq!(metadata.len(), SMALL_SIZE as u64);
            }
            Ok(())
        }
    })
    .await
}
