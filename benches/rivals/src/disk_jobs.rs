//! The workloads on files, the same code for every runtime.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::contest::{Sample, Stopwatch};
use crate::files::{BLOCK, LARGE_MIB, Places, SMALL_SIZE, direct, direct_path, large, small};
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Job, Paths, Runtime};

/// How many are under way of small files, writes, and reads of a cold file.
const DEPTH: usize = 32;
/// The size of the large file.
const LARGE: u64 = LARGE_MIB << 20;

impl<R: Files> Jobs<R> {
    pub(crate) const FILES: &'static [(&'static str, Job)] = &[
        ("read-d1", |operations| R::block_on(read::<R>(operations, 1, false))?),
        ("read-d32", |operations| R::block_on(read::<R>(operations, 32, false))?),
        ("read-d128", |operations| R::block_on(read::<R>(operations, 128, false))?),
        ("read-cold", |operations| R::block_on(read::<R>(operations, DEPTH, true))?),
        ("write-d32", |operations| R::block_on(write::<R>(operations))?),
        ("append-1", |operations| R::block_on(append::<R>(operations, 1))?),
        ("append-32", |operations| R::block_on(append::<R>(operations, 32))?),
        ("small-files", |operations| R::block_on(read_small::<R>(operations))?),
    ];
}

impl<R: Paths> Jobs<R> {
    pub(crate) const PATHS: &'static [(&'static str, Job)] =
        &[("metadata", |operations| R::block_on(size::<R>(operations))?)];
}

impl<R: Direct> Jobs<R> {
    pub(crate) const DIRECT: &'static [(&'static str, Job)] = &[
        ("direct-d1", |operations| R::block_on(read_direct::<R>(operations, 1))?),
        ("direct-d32", |operations| R::block_on(read_direct::<R>(operations, 32))?),
        ("direct-d128", |operations| R::block_on(read_direct::<R>(operations, 128))?),
        ("direct-write", |operations| R::block_on(write_direct::<R>(operations))?),
    ];
}

/// Runs `depth` tasks, each with its share of the operations, and waits for them all.
async fn together<R: Runtime, F>(
    operations: u64,
    depth: usize,
    task: impl Fn(usize, u64) -> F,
) -> io::Result<Sample>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let share = operations.div_ceil(depth as u64);
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..depth).map(|slot| R::spawn(task(slot, share))).collect();
    for task in tasks {
        task.await?;
    }
    Ok(watch.stop(share * depth as u64))
}

/// Reads blocks at random places of a file that is cached, or of one that is not.
async fn read<R: Files>(operations: u64, depth: usize, cold: bool) -> io::Result<Sample> {
    let file = large();
    if cold {
        drop_from_cache(&file)?;
    }
    let file = Rc::new(R::file(file)?);
    together::<R, _>(operations, depth, |slot, share| {
        let file = Rc::clone(&file);
        async move {
            let (mut buf, mut places) = (vec![0_u8; BLOCK], Places::new(slot));
            for _ in 0..share {
                buf = R::read(&file, buf, places.next()).await?;
                assert_eq!(buf.len(), BLOCK);
            }
            Ok(())
        }
    })
    .await
}

/// Takes the file out of the page cache, and turns read-ahead off, which would bring back what nobody asked for.
#[allow(unsafe_code, reason = "posix_fadvise")]
pub(crate) fn drop_from_cache(file: &std::fs::File) -> io::Result<()> {
    file.sync_all()?;
    for advice in [libc::POSIX_FADV_DONTNEED, libc::POSIX_FADV_RANDOM] {
        // SAFETY: the call takes numbers alone.
        match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
    Ok(())
}

/// Writes blocks at random places of a file that is cached.
async fn write<R: Files>(operations: u64) -> io::Result<Sample> {
    let file = Rc::new(R::file(large())?);
    together::<R, _>(operations, DEPTH, |slot, share| {
        let file = Rc::clone(&file);
        async move {
            let (mut buf, mut places) = (vec![1_u8; BLOCK], Places::new(slot));
            for _ in 0..share {
                buf = R::write(&file, buf, places.next()).await?;
                assert_eq!(buf.len(), BLOCK);
            }
            Ok(())
        }
    })
    .await
}

async fn read_direct<R: Direct>(operations: u64, depth: usize) -> io::Result<Sample> {
    // Makes it where it is not there.
    drop(direct(0));
    let disk = Rc::new(R::disk(&direct_path(), depth).await?);
    together::<R, _>(operations, depth, |slot, share| {
        let disk = Rc::clone(&disk);
        async move {
            let (mut block, mut places) = (R::block(&disk), Places::new(slot));
            for _ in 0..share {
                block = R::read_block(&disk, block, places.next()).await?;
            }
            Ok(())
        }
    })
    .await
}

async fn write_direct<R: Direct>(operations: u64) -> io::Result<Sample> {
    drop(direct(0));
    let disk = Rc::new(R::disk(&direct_path(), DEPTH).await?);
    together::<R, _>(operations, DEPTH, |slot, share| {
        let disk = Rc::clone(&disk);
        async move {
            let (block, mut places) = (R::block(&disk), Places::new(slot));
            // A buffer of a pool is empty until something was read into it.
            let mut block = R::read_block(&disk, block, places.next()).await?;
            for _ in 0..share {
                block = R::write_block(&disk, block, places.next()).await?;
            }
            Ok(())
        }
    })
    .await
}

async fn read_small<R: Files>(operations: u64) -> io::Result<Sample> {
    let (paths, next) = (Rc::new(small()), Rc::new(Cell::new(0)));
    together::<R, _>(operations, DEPTH, |_, share| {
        let (paths, next) = (Rc::clone(&paths), Rc::clone(&next));
        async move {
            let mut buf = vec![0_u8; BLOCK];
            for _ in 0..share {
                let nth = next.replace(next.get() + 1);
                let (count, back) = R::read_small(&paths[nth % paths.len()], buf).await?;
                assert_eq!(count, SMALL_SIZE);
                buf = back;
                buf.resize(BLOCK, 0);
            }
            Ok(())
        }
    })
    .await
}

async fn size<R: Paths>(operations: u64) -> io::Result<Sample> {
    let (paths, next) = (Rc::new(small()), Rc::new(Cell::new(0)));
    together::<R, _>(operations, DEPTH, |_, share| {
        let (paths, next) = (Rc::clone(&paths), Rc::clone(&next));
        async move {
            for _ in 0..share {
                let nth = next.replace(next.get() + 1);
                assert_eq!(R::size(&paths[nth % paths.len()]).await?, SMALL_SIZE as u64);
            }
            Ok(())
        }
    })
    .await
}

/// What appenders share: whoever finds no write under way writes all that waits.
#[derive(Default)]
struct Group {
    waiting: Vec<u8>,
    /// How much was appended, written or being written, and on the disk.
    appended: u64,
    written: u64,
    durable: u64,
    writing: bool,
    wakers: Vec<Waker>,
}

/// Appends blocks to a file whose length stays, each on the disk before its appender goes on.
async fn append<R: Files>(operations: u64, appenders: usize) -> io::Result<Sample> {
    let file = Rc::new(R::file(large())?);
    let group = Rc::new(RefCell::new(Group::default()));
    together::<R, _>(operations, appenders, |_, share| {
        let (file, group) = (Rc::clone(&file), Rc::clone(&group));
        async move {
            let record = vec![1; BLOCK];
            for _ in 0..share {
                // An error here must end the process: others wait for this write.
                append_one::<R>(&file, &group, &record).await.expect("a disk that keeps");
            }
            Ok(())
        }
    })
    .await
}

async fn append_one<R: Files>(
    file: &R::File,
    group: &RefCell<Group>,
    record: &[u8],
) -> io::Result<()> {
    let end = {
        let mut group = group.borrow_mut();
        group.waiting.extend_from_slice(record);
        group.appended += record.len() as u64;
        group.appended
    };
    while let Some((batch, start)) = turn(group, end).await {
        let (len, offset) = (batch.len() as u64, start % LARGE);
        // The batch that would go beyond the end begins again at the start.
        let offset = if offset + len > LARGE { 0 } else { offset };
        let mut batch = R::write_durable(file, batch, offset).await?;
        batch.clear();
        let wakers = {
            let mut group = group.borrow_mut();
            group.durable = start + len;
            group.writing = false;
            if group.waiting.is_empty() {
                group.waiting = batch;
            }
            mem::take(&mut group.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
    Ok(())
}

/// Waits until all up to `end` is on the disk, or until it is this appender's turn to write what waits.
async fn turn(group: &RefCell<Group>, end: u64) -> Option<(Vec<u8>, u64)> {
    poll_fn(|context| {
        let group = &mut *group.borrow_mut();
        if group.durable >= end {
            return Poll::Ready(None);
        }
        if group.writing {
            group.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        group.writing = true;
        let start = mem::replace(&mut group.written, group.appended);
        Poll::Ready(Some((mem::take(&mut group.waiting), start)))
    })
    .await
}
