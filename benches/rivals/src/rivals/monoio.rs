//! monoio on its io_uring driver, with the ring's flags that annulus sets; `local-sync` and `flume` beside it.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use local_sync::mpsc::bounded;
use local_sync::semaphore::Semaphore;
use monoio::IoUringDriver;
use monoio::buf::IoBuf;
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use crate::jobs::Jobs;
use crate::rival::{Cross, Files, Rival, Runtime, Server, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "monoio",
    about: "io_uring driver with DEFER_TASKRUN; local-sync and flume as its documentation says",
    package: Some("monoio"),
    servers: &[("echo", Server::Tcp(tcp)), ("udp", Server::Udp(udp))],
    jobs: &[
        Jobs::<Monoio>::TASKS,
        Jobs::<Monoio>::WAKES,
        Jobs::<Monoio>::TOOLS,
        Jobs::<Monoio>::CROSS,
        Jobs::<Monoio>::FILES,
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
    type Sender = bounded::Tx<u64>;
    type Receiver = bounded::Rx<u64>;

    fn mutex() -> Self::Mutex {
        Semaphore::new(1)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.acquire().await);
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        bounded::channel(capacity)
    }

    async fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).await.ok();
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Cross for Monoio {
    type CrossSender = flume::Sender<u64>;
    type CrossReceiver = flume::Receiver<u64>;

    fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver) {
        flume::bounded(capacity)
    }

    async fn send_all(sender: Self::CrossSender, count: u64) {
        for number in 0..count {
            sender.send_async(number).await.expect("it receives");
        }
    }

    async fn sum_all(receiver: Self::CrossReceiver) -> u64 {
        let mut sum = 0;
        while let Ok(number) = receiver.recv_async().await {
            sum += number;
        }
        sum
    }
}

impl Files for Monoio {
    type File = File;

    fn file(file: std::fs::File) -> io::Result<File> {
        File::from_std(file)
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (count, buf) = file.read_at(buf, offset).await;
        count.map(|_| buf)
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
