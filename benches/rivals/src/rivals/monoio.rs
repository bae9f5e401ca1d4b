//! monoio on its io_uring driver, with the ring's flags that annulus sets; `local-sync` and `flume` beside it.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use local_sync::mpsc::bounded;
use local_sync::semaphore::Semaphore;
use monoio::IoUringDriver;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use super::aligned_within;
use crate::fan;
use crate::files::{BLOCK, direct};
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Paths, Rival, Runtime, Server, Streams, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "monoio",
    about: "io_uring driver with DEFER_TASKRUN; local-sync and flume as its documentation says",
    package: Some("monoio"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan::serve::<Monoio>(listener))),
    ],
    jobs: &[
        Jobs::<Monoio>::TASKS,
        Jobs::<Monoio>::TIMERS,
        Jobs::<Monoio>::WAKES,
        Jobs::<Monoio>::TOOLS,
        Jobs::<Monoio>::CROSS,
        Jobs::<Monoio>::FILES,
        Jobs::<Monoio>::PATHS,
        Jobs::<Monoio>::DIRECT,
    ],
    lacks: &[],
};

struct Monoio;

impl Runtime for Monoio {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let mut ring = io_uring_of_monoio::IoUring::builder();
        ring.setup_single_issuer().setup_defer_taskrun();
        let builder = monoio::RuntimeBuilder::<IoUringDriver>::new();
        let mut runtime = builder.uring_builder(ring).enable_timer().build()?;
        Ok(runtime.block_on(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        monoio::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(duration)
    }
}

/// It has no lock; a semaphore of one permit is the nearest thing.
impl Tools for Monoio {
    type Mutex = Semaphore;
    type Sender<T: 'static> = bounded::Tx<T>;
    type Receiver<T: 'static> = bounded::Rx<T>;

    fn mutex() -> Self::Mutex {
        Semaphore::new(1)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.acquire().await);
    }

    fn channel<T: 'static>(capacity: usize) -> (bounded::Tx<T>, bounded::Rx<T>) {
        bounded::channel(capacity)
    }

    async fn send<T: 'static>(sender: &bounded::Tx<T>, value: T) {
        sender.send(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut bounded::Rx<T>) -> Option<T> {
        receiver.recv().await
    }
}

cross!(Monoio: flume::bounded, send_async, recv_async Ok);

impl Files for Monoio {
    type File = File;

    fn file(file: std::fs::File) -> io::Result<File> {
        File::from_std(file)
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (count, buf) = file.read_at(buf, offset).await;
        count.map(|_| buf)
    }

    async fn write(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (written, buf) = file.write_all_at(buf, offset).await;
        written.map(|()| buf)
    }

    async fn write_durable(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let buf = <Self as Files>::write(file, buf, offset).await?;
        file.sync_data().await?;
        Ok(buf)
    }

    async fn read_small(path: &Path, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let file = File::open(path).await?;
        let (count, buf) = file.read_at(buf, 0).await;
        file.close().await?;
        Ok((count?, buf))
    }
}

impl Paths for Monoio {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(monoio::fs::metadata(path).await?.len())
    }
}

impl Direct for Monoio {
    type Disk = File;
    type Block = Vec<u8>;

    async fn disk(_: &Path, _: usize) -> io::Result<File> {
        File::from_std(direct(libc::O_DIRECT))
    }

    fn block(_: &File) -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    async fn read_block(disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (read, block) = disk.read_exact_at(block.slice_mut(at..at + BLOCK), offset).await;
        read.map(|_| block.into_inner())
    }

    async fn write_block(disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (written, block) = disk.write_all_at(block.slice(at..at + BLOCK), offset).await;
        written.map(|()| block.into_inner())
    }
}

impl Streams for Monoio {
    type Listener = monoio::net::TcpListener;
    type Stream = TcpStream;
    type Message = Rc<Vec<u8>>;

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        monoio::net::TcpListener::from_std(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn read(stream: &mut TcpStream, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let (count, buf) = stream.read(buf).await;
        Ok((count?, buf))
    }

    async fn write(stream: &mut TcpStream, message: Rc<Vec<u8>>) -> io::Result<()> {
        stream.write_all(message).await.0.map(drop)
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Monoio::block_on(async move {
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream, buffer));
        }
    })?
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buf = Vec::with_capacity(buffer);
    loop {
        let (count, read) = stream.read(buf).await;
        if count? == 0 {
            return Ok(());
        }
        let (written, back) = stream.write_all(read).await;
        written?;
        buf = back;
        buf.clear();
    }
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    Monoio::block_on(async move {
        let socket = monoio::net::udp::UdpSocket::from_std(socket)?;
        let mut buf = vec![0; 2048];
        loop {
            let (received, read) = socket.recv_from(buf).await;
            let (count, peer) = received?;
            let (sent, back) = socket.send_to(read.slice(..count), peer).await;
            sent?;
            buf = back.into_inner();
        }
    })?
}
