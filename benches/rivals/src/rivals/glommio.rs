//! glommio: a local executor, its sockets, its buffered file, its channels.

#![allow(unsafe_code, reason = "glommio takes sockets and files by their raw descriptors alone")]

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::channels::shared_channel::{self, SharedReceiver, SharedSender};
use glommio::io::{BufferedFile, DmaFile, OpenOptions};
use glommio::net::TcpStream;
use glommio::sync::RwLock;
use glommio::{LocalExecutorBuilder, Placement};

use crate::fan;
use crate::files::BLOCK;
use crate::jobs::Jobs;
use crate::rival::{Cross, Direct, Files, Rival, Runtime, Server, Streams, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "glommio",
    about: "a LocalExecutor with a ring as deep as the others'; its RwLock for want of a mutex",
    package: Some("glommio"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan::serve::<Glommio>(listener))),
    ],
    jobs: &[
        Jobs::<Glommio>::TASKS,
        Jobs::<Glommio>::TIMERS,
        Jobs::<Glommio>::WAKES,
        Jobs::<Glommio>::TOOLS,
        Jobs::<Glommio>::CROSS,
        Jobs::<Glommio>::FILES,
        Jobs::<Glommio>::DIRECT,
    ],
    lacks: &[("metadata", "none of a path, only of an open file")],
};

struct Glommio;

impl Runtime for Glommio {
    /// Unbound, because the thread is tied to its processor already.
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let executor = LocalExecutorBuilder::new(Placement::Unbound);
        let executor = executor.ring_depth(1024).make()?;
        Ok(executor.run(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        glommio::spawn_local(future)
    }

    async fn sleep(duration: Duration) {
        glommio::timer::sleep(duration).await;
    }
}

impl Tools for Glommio {
    type Mutex = RwLock<u64>;
    type Sender<T: 'static> = LocalSender<T>;
    type Receiver<T: 'static> = LocalReceiver<T>;

    fn mutex() -> Self::Mutex {
        RwLock::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.write().await.expect("it is open"));
    }

    fn channel<T: 'static>(capacity: usize) -> (LocalSender<T>, LocalReceiver<T>) {
        local_channel::new_bounded(capacity)
    }

    async fn send<T: 'static>(sender: &LocalSender<T>, value: T) {
        sender.send(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut LocalReceiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

impl Cross for Glommio {
    type CrossSender = SharedSender<u64>;
    type CrossReceiver = SharedReceiver<u64>;

    fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver) {
        shared_channel::new_bounded(capacity)
    }

    async fn send_all(sender: Self::CrossSender, count: u64) {
        let sender = sender.connect().await;
        for number in 0..count {
            sender.send(number).await.expect("it receives");
        }
    }

    async fn sum_all(receiver: Self::CrossReceiver) -> u64 {
        let receiver = receiver.connect().await;
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    }
}

impl Files for Glommio {
    type File = BufferedFile;

    fn file(file: std::fs::File) -> io::Result<BufferedFile> {
        // SAFETY: the descriptor is open and given away.
        Ok(unsafe { BufferedFile::from_raw_fd(file.into_raw_fd()) })
    }

    /// Its reads bring buffers of their own: what they hold is looked at where it lies.
    async fn read(file: &BufferedFile, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let read = file.read_at(offset, buf.len()).await?;
        if read.len() == buf.len() { Ok(buf) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Its writes keep the buffer.
    async fn write(file: &BufferedFile, buf: Vec<u8>, at: u64) -> io::Result<Vec<u8>> {
        let len = buf.len();
        let written = file.write_at(buf, at).await?;
        if written == len { Ok(vec![1; len]) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    async fn write_durable(file: &BufferedFile, buf: Vec<u8>, at: u64) -> io::Result<Vec<u8>> {
        let len = buf.len();
        let written = file.write_at(buf, at).await?;
        file.fdatasync().await?;
        if written == len { Ok(Vec::new()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    async fn read_small(path: &Path, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let file = BufferedFile::open(path).await?;
        let count = file.read_at(0, buf.len()).await?.len();
        file.close().await?;
        Ok((count, buf))
    }
}

/// Its file for direct I/O, whose buffers are its own.
impl Direct for Glommio {
    type Disk = DmaFile;
    type Block = ();

    async fn disk(path: &Path, _: usize) -> io::Result<DmaFile> {
        Ok(OpenOptions::new().read(true).write(true).dma_open(path).await?)
    }

    fn block(_: &DmaFile) {}

    async fn read_block(disk: &DmaFile, (): (), offset: u64) -> io::Result<()> {
        let read = disk.read_at_aligned(offset, BLOCK).await?;
        if read.len() == BLOCK { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Its writes take buffers of its own, too.
    async fn write_block(disk: &DmaFile, (): (), offset: u64) -> io::Result<()> {
        let mut block = disk.alloc_dma_buffer(BLOCK);
        block.as_bytes_mut().fill(1);
        let written = disk.write_at(block, offset).await?;
        if written == BLOCK { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl Streams for Glommio {
    type Listener = glommio::net::TcpListener;
    type Stream = TcpStream;
    type Message = Rc<[u8]>;

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        // SAFETY: the descriptor is open and given away.
        Ok(unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) })
    }

    async fn accept(listener: &Self::Listener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?)
    }

    async fn read(stream: &mut TcpStream, mut buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let count = stream.read(&mut buf).await?;
        Ok((count, buf))
    }

    async fn write(stream: &mut TcpStream, message: Rc<[u8]>) -> io::Result<()> {
        stream.write_all(&message).await
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Glommio::block_on(async move {
        let listener = Glommio::listener(listener)?;
        loop {
            let stream = listener.accept().await?;
            glommio::spawn_local(echo(stream, buffer)).detach();
        }
    })?
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer];
    loop {
        let count = stream.read(&mut buf).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..count]).await?;
    }
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    Glommio::block_on(async move {
        // SAFETY: the descriptor is open and given away.
        let socket = unsafe { glommio::net::UdpSocket::from_raw_fd(socket.into_raw_fd()) };
        let mut buf = [0; 2048];
        loop {
            let (count, peer) = socket.recv_from(&mut buf).await?;
            socket.send_to(&buf[..count], peer).await?;
        }
    })?
}
