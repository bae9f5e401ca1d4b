//! kimojio: its operations on plain descriptors, its lock, its channel of one place.

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use kimojio::configuration::Configuration;
use kimojio::operations::{self, OFlags};
use kimojio::{AsyncLock, Receiver, Sender, async_channel};

use super::Page;
use crate::fan;
use crate::files::{BLOCK, direct};
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Paths, Rival, Runtime, Server, Streams, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "kimojio",
    about: "with SINGLE_ISSUER; its bounded channel holds one message",
    package: Some("kimojio"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("fan", Server::Tcp(|listener, _| fan::serve::<Kimojio>(listener))),
    ],
    jobs: &[
        Jobs::<Kimojio>::TASKS,
        Jobs::<Kimojio>::TIMERS,
        Jobs::<Kimojio>::WAKES,
        Jobs::<Kimojio>::TOOLS,
        Jobs::<Kimojio>::FILES,
        Jobs::<Kimojio>::PATHS,
        Jobs::<Kimojio>::DIRECT,
    ],
    lacks: &[
        ("udp", "no sockets of datagrams, only recvmsg with a raw header"),
        ("cross-channel", "no channel between threads, only a pipe that asks and waits"),
    ],
};

struct Kimojio;

impl Runtime for Kimojio {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        match kimojio::run_with_configuration(0, future, Configuration::new()) {
            Some(Ok(output)) => Ok(output),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(io::Error::other("its loop was shut down")),
        }
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = operations::spawn_task(future);
        async { task.await.unwrap_or_else(|_| panic!("no task panics")) }
    }

    async fn sleep(duration: Duration) {
        operations::sleep(duration).await.expect("not canceled");
    }
}

impl Tools for Kimojio {
    type Mutex = AsyncLock<u64>;
    type Sender<T: 'static> = Sender<T>;
    type Receiver<T: 'static> = Receiver<T>;

    fn mutex() -> Self::Mutex {
        AsyncLock::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await.expect("not canceled"));
    }

    fn channel<T: 'static>(_: usize) -> (Sender<T>, Receiver<T>) {
        async_channel()
    }

    async fn send<T: 'static>(sender: &Sender<T>, value: T) {
        sender.send(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
}

impl Files for Kimojio {
    type File = Rc<std::fs::File>;

    fn file(file: std::fs::File) -> io::Result<Self::File> {
        Ok(Rc::new(file))
    }

    async fn read(file: &Self::File, mut buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        operations::pread(&**file, &mut buf, offset).await?;
        Ok(buf)
    }

    async fn write(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let written = operations::pwrite(&**file, &buf, offset).await?;
        if written == buf.len() { Ok(buf) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    async fn write_durable(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let buf = <Self as Files>::write(file, buf, offset).await?;
        operations::fsync(&**file).await?;
        Ok(buf)
    }

    async fn read_small(path: &Path, mut buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let file = operations::open(&c_path(path), OFlags::RDONLY, 0.into()).await?;
        let count = operations::pread(&file, &mut buf, 0).await?;
        operations::close(file).await?;
        Ok((count, buf))
    }
}

impl Paths for Kimojio {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(operations::stat(&c_path(path)).await?.stx_size)
    }
}

impl Direct for Kimojio {
    type Disk = std::fs::File;
    type Block = Box<Page>;

    async fn disk(_: &Path, _: usize) -> io::Result<Self::Disk> {
        Ok(direct(libc::O_DIRECT))
    }

    fn block(_: &Self::Disk) -> Box<Page> {
        Box::new(Page::ZERO)
    }

    async fn read_block(
        disk: &Self::Disk,
        mut block: Box<Page>,
        offset: u64,
    ) -> io::Result<Box<Page>> {
        match operations::pread(disk, &mut block.0, offset).await? {
            BLOCK => Ok(block),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    async fn write_block(
        disk: &Self::Disk,
        block: Box<Page>,
        offset: u64,
    ) -> io::Result<Box<Page>> {
        match operations::pwrite(disk, &block.0, offset).await? {
            BLOCK => Ok(block),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// It takes the kernel's paths.
fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero in it")
}

impl Streams for Kimojio {
    type Listener = TcpListener;
    type Stream = OwnedFd;
    type Message = Rc<[u8]>;

    fn listener(listener: TcpListener) -> io::Result<TcpListener> {
        Ok(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<OwnedFd> {
        Ok(operations::accept(listener).await?)
    }

    async fn read(stream: &mut OwnedFd, mut buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let count = operations::read(stream, &mut buf).await?;
        Ok((count, buf))
    }

    async fn write(stream: &mut OwnedFd, message: Rc<[u8]>) -> io::Result<()> {
        write_all(stream, &message).await
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Kimojio::block_on(async move {
        loop {
            let stream = operations::accept(&listener).await?;
            operations::spawn_task(echo(stream, buffer));
        }
    })?
}

async fn echo(stream: OwnedFd, buffer: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer];
    loop {
        let count = operations::read(&stream, &mut buf).await?;
        if count == 0 {
            return Ok(());
        }
        write_all(&stream, &buf[..count]).await?;
    }
}

async fn write_all(stream: &OwnedFd, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = operations::write(stream, rest).await?;
        rest = &rest[written..];
    }
    Ok(())
}
