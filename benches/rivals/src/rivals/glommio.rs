//! glommio: a local executor, its sockets, its buffered file, its channels.

#![allow(unsafe_code, reason = "glommio takes sockets and files by their raw descriptors alone")]

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::channels::shared_channel::{self, SharedReceiver, SharedSender};
use glommio::io::BufferedFile;
use glommio::net::TcpStream;
use glommio::sync::RwLock;
use glommio::{LocalExecutorBuilder, Placement};

use crate::jobs::Jobs;
use crate::rival::{Cross, Files, Rival, Runtime, Server, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "glommio",
    about: "a LocalExecutor with its defaults; its RwLock for want of a mutex",
    package: Some("glommio"),
    servers: &[("echo", Server::Tcp(tcp)), ("udp", Server::Udp(udp))],
    jobs: &[
        Jobs::<Glommio>::TASKS,
        Jobs::<Glommio>::WAKES,
        Jobs::<Glommio>::TOOLS,
        Jobs::<Glommio>::CROSS,
        Jobs::<Glommio>::FILES,
    ],
    lacks: &[],
};

struct Glommio;

impl Runtime for Glommio {
    /// Unbound, because the thread is tied to its processor already.
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make()?;
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
    type Sender = LocalSender<u64>;
    type Receiver = LocalReceiver<u64>;

    fn mutex() -> Self::Mutex {
        RwLock::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.write().await.expect("it is open"));
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_channel::new_bounded(capacity)
    }

    async fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).await.ok();
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
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
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Glommio::block_on(async move {
        // SAFETY: the descriptor is open and given away.
        let listener = unsafe { glommio::net::TcpListener::from_raw_fd(listener.into_raw_fd()) };
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
