//! compio on io_uring, with the ring's flags that annulus sets, and `async-lock` and `flume` beside it, since it has no
//! locks or channels and works with those of others.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use async_lock::Mutex;
use compio::buf::{IntoInner, IoBuf};
use compio::driver::ProactorBuilder;
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncRead, AsyncReadAt, AsyncReadAtExt, AsyncWriteAtExt, AsyncWriteExt};
use compio::net::TcpStream;
use compio::runtime::RuntimeBuilder;

use super::aligned_within;
use crate::fan;
use crate::files::BLOCK;
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Paths, Rival, Runtime, Server, Streams, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "compio",
    about: "io_uring with DEFER_TASKRUN; async-lock and flume beside it",
    package: Some("compio"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan::serve::<Compio>(listener))),
    ],
    jobs: &[
        Jobs::<Compio>::TASKS,
        Jobs::<Compio>::TIMERS,
        Jobs::<Compio>::WAKES,
        Jobs::<Compio>::TOOLS,
        Jobs::<Compio>::CROSS,
        Jobs::<Compio>::FILES,
        Jobs::<Compio>::PATHS,
        Jobs::<Compio>::DIRECT,
    ],
    lacks: &[],
};

struct Compio;

impl Runtime for Compio {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let mut proactor = ProactorBuilder::new();
        proactor.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
        Ok(RuntimeBuilder::new().with_proactor(proactor).build()?.block_on(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = compio::runtime::spawn(future);
        async { task.await.expect("no task panics") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        compio::time::sleep(duration)
    }
}

impl Tools for Compio {
    type Mutex = Mutex<u64>;
    type Sender<T: 'static> = flume::Sender<T>;
    type Receiver<T: 'static> = flume::Receiver<T>;

    fn mutex() -> Self::Mutex {
        Mutex::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await);
    }

    fn channel<T: 'static>(capacity: usize) -> (flume::Sender<T>, flume::Receiver<T>) {
        flume::bounded(capacity)
    }

    async fn send<T: 'static>(sender: &flume::Sender<T>, value: T) {
        sender.send_async(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut flume::Receiver<T>) -> Option<T> {
        receiver.recv_async().await.ok()
    }
}

cross!(Compio: flume::bounded, send_async, recv_async Ok);

impl Files for Compio {
    type File = File;

    #[allow(unsafe_code, reason = "compio takes an open file by its raw descriptor alone")]
    fn file(file: std::fs::File) -> io::Result<File> {
        // SAFETY: the descriptor is open and given away.
        Ok(unsafe { File::from_raw_fd(file.into_raw_fd()) })
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (count, buf) = file.read_at(buf, offset).await.into();
        count.map(|_| buf)
    }

    async fn write(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let mut file = file;
        let (written, buf) = file.write_all_at(buf, offset).await.into();
        written.map(|()| buf)
    }

    async fn write_durable(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let buf = <Self as Files>::write(file, buf, offset).await?;
        file.sync_data().await?;
        Ok(buf)
    }

    async fn read_small(path: &Path, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let file = File::open(path).await?;
        let (count, buf) = file.read_at(buf, 0).await.into();
        file.close().await?;
        Ok((count?, buf))
    }
}

impl Paths for Compio {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(compio::fs::metadata(path).await?.len())
    }
}

impl Direct for Compio {
    type Disk = File;
    type Block = Vec<u8>;

    async fn disk(path: &Path, _: usize) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT).open(path).await
    }

    fn block(_: &File) -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    async fn read_block(disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (read, block) = disk.read_exact_at(block.slice(at..at + BLOCK), offset).await.into();
        read.map(|_| block.into_inner())
    }

    async fn write_block(mut disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (written, block) = disk.write_all_at(block.slice(at..at + BLOCK), offset).await.into();
        written.map(|()| block.into_inner())
    }
}

impl Streams for Compio {
    type Listener = compio::net::TcpListener;
    type Stream = TcpStream;
    type Message = Rc<Vec<u8>>;

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        compio::net::TcpListener::from_std(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn read(stream: &mut TcpStream, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let (count, buf) = stream.read(buf).await.into();
        Ok((count?, buf))
    }

    async fn write(stream: &mut TcpStream, message: Rc<Vec<u8>>) -> io::Result<()> {
        stream.write_all(message).await.0.map(drop)
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Compio::block_on(async move {
        let listener = compio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(echo(stream, buffer)).detach();
        }
    })?
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buf = Vec::with_capacity(buffer);
    loop {
        let (count, read) = stream.read(buf).await.into();
        if count? == 0 {
            return Ok(());
        }
        let (written, back) = stream.write_all(read).await.into();
        written?;
        buf = back;
        buf.clear();
    }
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    Compio::block_on(async move {
        let socket = compio::net::UdpSocket::from_std(socket)?;
        let mut buf = Vec::with_capacity(2048);
        loop {
            let (received, read) = socket.recv_from(buf).await.into();
            let (count, peer) = received?;
            let (sent, back) = socket.send_to(read.slice(..count), peer).await.into();
            sent?;
            buf = back.into_inner();
        }
    })?
}
