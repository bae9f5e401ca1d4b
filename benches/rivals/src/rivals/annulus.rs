//! annulus with its defaults, as its documentation shows it.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use annulus::buf::AlignedBuf;
use annulus::channel::spsc;
use annulus::fs::{self, DirectFile, File, OpenOptions, RegisteredPool};
use annulus::net::udp::Datagram;
use annulus::net::{TcpListener, TcpStream};
use annulus::sync::{Mutex, broadcast, mpsc};

use super::{CONTROL, OWN, never};
use crate::fan::{GREETING, QUEUE};
use crate::files::BLOCK;
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Paths, Rival, Runtime, Server, Tools};
use crate::servers::annulus_echo;

const SERVERS: &[(&str, Server)] = &[
    ("echo", Server::Tcp(|listener, _| annulus_echo::serve(listener, never()?))),
    ("udp", Server::Udp(udp)),
    ("fan", Server::Tcp(|listener, _| fan(listener))),
];

pub(super) static RIVAL: Rival = Rival {
    name: OWN,
    about: "this crate, with its defaults",
    package: Some("annulus"),
    servers: SERVERS,
    jobs: &[
        Jobs::<Annulus>::TASKS,
        Jobs::<Annulus>::TIMERS,
        Jobs::<Annulus>::WAKES,
        Jobs::<Annulus>::TOOLS,
        Jobs::<Annulus>::CROSS,
        Jobs::<Annulus>::FILES,
        Jobs::<Annulus>::PATHS,
        Jobs::<Annulus>::DIRECT,
    ],
    lacks: &[],
};

pub(super) static AGAIN: Rival = Rival {
    name: CONTROL,
    about: "the same once more, to see the noise",
    package: None,
    servers: SERVERS,
    jobs: RIVAL.jobs,
    lacks: &[],
};

pub(super) static COARSE: Rival = Rival {
    name: super::COARSE,
    about: "with a timer slack of 1 ms, about what the wheels of others have",
    package: None,
    servers: &[],
    jobs: &[Jobs::<Coarse>::TIMERS],
    lacks: &[("", "differs in timers alone")],
};

/// The longest datagram that is expected, so that small buffers do.
const DATAGRAM_MAX: usize = 2048;

struct Annulus;

impl Runtime for Annulus {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        Ok(annulus::Runtime::new()?.block_on(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = annulus::spawn(future);
        async { task.await.expect("no task panics") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        annulus::time::sleep(duration)
    }

    fn unconstrained<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
        annulus::task::unconstrained(future)
    }
}

/// Of a program that would rather wake seldom than soon.
struct Coarse;

impl Runtime for Coarse {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let builder = annulus::Runtime::builder().timer_slack(Duration::from_millis(1));
        Ok(builder.build()?.block_on(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        Annulus::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        Annulus::sleep(duration)
    }

    fn unconstrained<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
        Annulus::unconstrained(future)
    }
}

impl Tools for Annulus {
    type Mutex = Mutex<u64>;
    type Sender<T: 'static> = mpsc::Sender<T>;
    type Receiver<T: 'static> = mpsc::Receiver<T>;

    fn mutex() -> Self::Mutex {
        Mutex::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await);
    }

    fn channel<T: 'static>(capacity: usize) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
        mpsc::channel(capacity)
    }

    async fn send<T: 'static>(sender: &mpsc::Sender<T>, value: T) {
        sender.send(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut mpsc::Receiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

cross!(Annulus: spsc::channel, send, recv Some);

impl Files for Annulus {
    type File = File;

    fn file(file: std::fs::File) -> io::Result<File> {
        Ok(File::from_std(file))
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (_, buf) = file.read_at(buf, offset).await?;
        Ok(buf)
    }

    async fn write(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        Ok(file.write_all_at(buf, offset).await?)
    }

    async fn write_durable(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        Ok(file.write_all_durable_at(buf, offset).await?)
    }

    async fn read_small(path: &Path, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let file = File::open(path).await?;
        let read = file.read_at(buf, 0).await?;
        file.close().await?;
        Ok(read)
    }
}

impl Paths for Annulus {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path).await?.len())
    }
}

/// Its pool of registered buffers, which its documentation names for many reads of one size.
impl Direct for Annulus {
    type Disk = (DirectFile, RegisteredPool);
    type Block = AlignedBuf;

    async fn disk(path: &Path, depth: usize) -> io::Result<Self::Disk> {
        let file = OpenOptions::new().read(true).write(true).open_direct(path).await?;
        Ok((file, RegisteredPool::new(BLOCK, depth as u32)?))
    }

    fn block((_, pool): &Self::Disk) -> AlignedBuf {
        pool.get().expect("as many as are under way")
    }

    async fn read_block(
        (file, _): &Self::Disk,
        block: AlignedBuf,
        offset: u64,
    ) -> io::Result<AlignedBuf> {
        Ok(file.read_exact_at(block, offset).await?)
    }

    async fn write_block(
        (file, _): &Self::Disk,
        block: AlignedBuf,
        offset: u64,
    ) -> io::Result<AlignedBuf> {
        Ok(file.write_all_at(block, offset).await?)
    }
}

/// By its broadcast channel.
fn fan(listener: std::net::TcpListener) -> io::Result<()> {
    annulus::run(async {
        let listener = TcpListener::from_std(listener)?;
        let (publisher, _) = listener.accept().await?;
        let messages = broadcast::Sender::new(QUEUE);
        let sender = messages.clone();
        annulus::spawn(async move {
            while let Some(chunk) = publisher.recv().await? {
                sender.send(Rc::from(&*chunk)).ok();
            }
            io::Result::Ok(())
        });
        loop {
            let (stream, _) = listener.accept().await?;
            annulus::spawn(deliver(stream, messages.subscribe()));
        }
    })
}

async fn deliver(stream: TcpStream, mut messages: broadcast::Receiver<Rc<[u8]>>) -> io::Result<()> {
    stream.write_all(&GREETING).await?;
    while let Ok(message) = messages.recv().await {
        stream.send_all(message).await?;
    }
    Ok(())
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    annulus::run(async {
        let socket = annulus::net::UdpSocket::from_std(socket)?;
        socket.set_datagram_max(Some(DATAGRAM_MAX));
        loop {
            let batch = socket.recv_batch(64).await?;
            let batch = batch.into_iter().map(Datagram::into_parts).collect();
            for sent in socket.send_batch_to(batch).await {
                sent?;
            }
        }
    })
}
