//! smol: a `LocalExecutor`, its sockets on epoll, its locks and channels; files by `unblock`.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::lock::Mutex;
use smol::{Async, LocalExecutor, channel};

use super::threads::Threads;
use crate::fan;
use crate::jobs::Jobs;
use crate::rival::{Paths, Rival, Runtime, Server, Streams, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "smol",
    about: "a LocalExecutor in its block_on",
    package: Some("smol"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan::serve::<Smol>(listener))),
    ],
    jobs: &[
        Jobs::<Smol>::TASKS,
        Jobs::<Smol>::TIMERS,
        Jobs::<Smol>::WAKES,
        Jobs::<Smol>::TOOLS,
        Jobs::<Smol>::CROSS,
        Jobs::<Smol>::FILES,
        Jobs::<Smol>::PATHS,
        Jobs::<Smol>::DIRECT,
    ],
    lacks: &[],
};

thread_local! {
    /// The executor of the thread: smol leaves it to the program where it lies.
    static EXECUTOR: Rc<LocalExecutor<'static>> = Rc::new(LocalExecutor::new());
}

struct Smol;

impl Runtime for Smol {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        let executor = EXECUTOR.with(Rc::clone);
        Ok(smol::block_on(executor.run(future)))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
    }
}

impl Tools for Smol {
    type Mutex = Mutex<u64>;
    type Sender<T: 'static> = channel::Sender<T>;
    type Receiver<T: 'static> = channel::Receiver<T>;

    fn mutex() -> Self::Mutex {
        Mutex::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await);
    }

    fn channel<T: 'static>(capacity: usize) -> (channel::Sender<T>, channel::Receiver<T>) {
        channel::bounded(capacity)
    }

    async fn send<T: 'static>(sender: &channel::Sender<T>, value: T) {
        sender.send(value).await.ok();
    }

    async fn receive<T: 'static>(receiver: &mut channel::Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
}

cross!(Smol: channel::bounded, send, recv Ok);

impl Threads for Smol {
    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        smol::unblock(work).await
    }
}

impl Paths for Smol {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(smol::fs::metadata(path).await?.len())
    }
}

impl Streams for Smol {
    type Listener = Async<TcpListener>;
    type Stream = Async<TcpStream>;
    type Message = Rc<[u8]>;

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        Async::new(listener)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        Ok(listener.accept().await?.0)
    }

    async fn read(stream: &mut Self::Stream, mut buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let count = stream.read(&mut buf).await?;
        Ok((count, buf))
    }

    async fn write(stream: &mut Self::Stream, message: Rc<[u8]>) -> io::Result<()> {
        stream.write_all(&message).await
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    Smol::block_on(async move {
        let listener = Async::new(listener)?;
        let executor = EXECUTOR.with(Rc::clone);
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(echo(stream, buffer)).detach();
        }
    })?
}

async fn echo(mut stream: Async<TcpStream>, buffer: usize) -> io::Result<()> {
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
    Smol::block_on(async move {
        let socket = Async::new(socket)?;
        let mut buf = [0; 2048];
        loop {
            let (count, peer) = socket.recv_from(&mut buf).await?;
            socket.send_to(&buf[..count], peer).await?;
        }
    })?
}
