//! The files of the runtimes that give them to threads which may wait: tokio and smol.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::Page;
use crate::files::direct;
use crate::rival::{Direct, Files, Runtime};

pub(crate) trait Threads: Runtime {
    /// Runs this on such a thread.
    fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> impl Future<Output = io::Result<T>>;
}

impl<R: Threads> Files for R {
    type File = Arc<File>;

    fn file(file: File) -> io::Result<Self::File> {
        Ok(Arc::new(file))
    }

    async fn read(file: &Self::File, mut buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        R::blocking(move || file.read_at(&mut buf, offset).map(|_| buf)).await
    }

    async fn write(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        R::blocking(move || file.write_all_at(&buf, offset).map(|()| buf)).await
    }

    async fn write_durable(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        R::blocking(move || {
            file.write_all_at(&buf, offset)?;
            file.sync_data()?;
            Ok(buf)
        })
        .await
    }

    async fn read_small(path: &Path, mut buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let path = path.to_owned();
        R::blocking(move || {
            let count = File::open(path)?.read_at(&mut buf, 0)?;
            Ok((count, buf))
        })
        .await
    }
}

impl<R: Threads> Direct for R {
    type Disk = Arc<File>;
    type Block = Box<Page>;

    async fn disk(_: &Path, _: usize) -> io::Result<Self::Disk> {
        Ok(Arc::new(direct(libc::O_DIRECT)))
    }

    fn block(_: &Self::Disk) -> Box<Page> {
        Box::new(Page::ZERO)
    }

    async fn read_block(
        disk: &Self::Disk,
        mut block: Box<Page>,
        offset: u64,
    ) -> io::Result<Box<Page>> {
        let disk = Arc::clone(disk);
        R::blocking(move || disk.read_exact_at(&mut block.0, offset).map(|()| block)).await
    }

    async fn write_block(
        disk: &Self::Disk,
        block: Box<Page>,
        offset: u64,
    ) -> io::Result<Box<Page>> {
        let disk = Arc::clone(disk);
        R::blocking(move || disk.write_all_at(&block.0, offset).map(|()| block)).await
    }
}
