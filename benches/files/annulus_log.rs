//! The durable log of the example, under appenders.

#[path = "../../examples/wal/log/mod.rs"]
mod log;

use std::io;
use std::rc::Rc;

use super::annulus_files::{share, together};
use super::{BLOCK, Sample, folder};
use log::record::HEAD;
use log::{Log, Settings};

/// Records that take a block with their head, into segments of 4 MiB: what a segment costs is in it.
pub(super) async fn append(operations: u64, depth: usize) -> io::Result<Sample> {
    let dir = folder().join("log");
    let settings = Settings { segment_size: 4 << 20, direct: true };
    let (log, _) = Log::open(&dir, settings, |_, _| {}).await?;
    let log = Rc::new(log);
    let sample = together(operations, depth, |slot| {
        let log = Rc::clone(&log);
        async move {
            for _ in 0..share(operations, depth, slot) {
                log.append(vec![1; BLOCK - HEAD]).await?;
            }
            Ok(())
        }
    })
    .await;
    Rc::into_inner(log).expect("the appenders have ended").close().await?;
    std::fs::remove_dir_all(dir)?;
    sample
}
