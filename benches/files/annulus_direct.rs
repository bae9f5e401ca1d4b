//! The cells past the page cache on annulus.

use std::io;
use std::rc::Rc;

use annulus::buf::AlignedBuf;
use annulus::fs::{DirectFile, RegisteredPool};

use super::annulus_files::{share, together};
use super::{BLOCK, LARGE_MIB, Places, Sample, Stopwatch, direct};

pub(super) async fn read(operations: u64, depth: usize, registered: bool) -> io::Result<Sample> {
    let file = Rc::new(DirectFile::from_std(direct(libc::O_DIRECT)).await?);
    let pool = RegisteredPool::new(BLOCK, depth as u32)?;
    together(operations, depth, |slot| {
        let buf = if registered { pool.get() } else { None };
        let mut buf = buf.unwrap_or_else(|| file.buffer(BLOCK));
        let file = Rc::clone(&file);
        async move {
            let mut places = Places::new(slot);
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

pub(super) async fn append(operations: u64) -> io::Result<Sample> {
    let file = DirectFile::from_std(direct(libc::O_DIRECT)).await?;
    let mut block = AlignedBuf::zeroed(BLOCK, BLOCK);
    let watch = Stopwatch::start();
    for nth in 0..operations {
        let offset = nth % (LARGE_MIB * 256) * BLOCK as u64;
        block = file.write_all_durable_at(block, offset).await?;
    }
    Ok(watch.stop(operations))
}
