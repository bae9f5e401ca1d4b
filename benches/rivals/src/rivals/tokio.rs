//! tokio: a runtime of one thread with a `LocalSet`, its closest thing to a thread per core, and the one of many.
//!
//! The second has as many workers as it finds processors, which is its default: one where the process is tied to one.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::never;
use super::threads::Threads;
use crate::fan::{BUFFER, GREETING, QUEUE};
use crate::jobs::Jobs;
use crate::rival::{Paths, Rival, Runtime, Server, Tools};
use crate::servers::tokio_echo;

pub(super) static CURRENT_THREAD: Rival = Rival {
    name: "tokio",
    about: "current_thread; tasks of one thread in a LocalSet; files by spawn_blocking",
    package: Some("tokio"),
    servers: &[
        ("echo", Server::Tcp(|listener, buffer| tokio_echo::serve(listener, never()?, buffer))),
        ("udp", Server::Udp(|socket| current_thread()?.block_on(udp(socket)))),
        ("fan", Server::Tcp(|listener, _| current_thread()?.block_on(fan(listener)))),
    ],
    jobs: &[
        Jobs::<CurrentThread>::TASKS,
        Jobs::<CurrentThread>::TIMERS,
        Jobs::<CurrentThread>::WAKES,
        Jobs::<CurrentThread>::TOOLS,
        Jobs::<CurrentThread>::CROSS,
        Jobs::<CurrentThread>::FILES,
        Jobs::<CurrentThread>::PATHS,
        Jobs::<CurrentThread>::DIRECT,
    ],
    lacks: &[],
};

pub(super) static MULTI_THREAD: Rival = Rival {
    name: "tokio multi",
    about: "multi_thread with as many workers as processors it may use",
    package: None,
    servers: &[
        (
            "echo",
            Server::Tcp(|listener, buffer| multi_thread()?.block_on(accept(listener, buffer))),
        ),
        ("udp", Server::Udp(|socket| multi_thread()?.block_on(udp(socket)))),
        ("fan", Server::Tcp(|listener, _| multi_thread()?.block_on(fan(listener)))),
    ],
    jobs: &[],
    lacks: &[("", "tasks of one thread and files are measured on the other one")],
};

fn current_thread() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn multi_thread() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

async fn accept(listener: std::net::TcpListener, buffer: usize) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    // A task of its own, as an accept loop is: the future of `block_on` does not run on a worker.
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream, buffer));
        }
        #[expect(unreachable_code, reason = "it names the type of the task's result")]
        io::Result::Ok(())
    });
    accepting.await?
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

/// By its broadcast channel, with a buffer of messages that several threads may share.
async fn fan(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (mut publisher, _) = listener.accept().await?;
    let (messages, _) = broadcast::channel::<Arc<[u8]>>(QUEUE);
    let sender = messages.clone();
    tokio::spawn(async move {
        let mut buf = vec![0; BUFFER];
        loop {
            let count = publisher.read(&mut buf).await?;
            if count == 0 {
                return io::Result::Ok(());
            }
            sender.send(Arc::from(&buf[..count])).ok();
        }
    });
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(deliver(stream, messages.subscribe()));
        }
        #[expect(unreachable_code, reason = "it names the type of the task's result")]
        io::Result::Ok(())
    });
    accepting.await?
}

async fn deliver(
    mut stream: TcpStream,
    mut messages: broadcast::Receiver<Arc<[u8]>>,
) -> io::Result<()> {
    stream.write_all(&GREETING).await?;
    while let Ok(message) = messages.recv().await {
        stream.write_all(&message).await?;
    }
    Ok(())
}

async fn udp(socket: UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let serving = tokio::spawn(async move {
        let mut buf = [0; 2048];
        loop {
            let (count, peer) = socket.recv_from(&mut buf).await?;
            socket.send_to(&buf[..count], peer).await?;
        }
        #[expect(unreachable_code, reason = "it names the type of the task's result")]
        io::Result::Ok(())
    });
    serving.await?
}

struct CurrentThread;

impl Runtime for CurrentThread {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        Ok(LocalSet::new().block_on(&current_thread()?, future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = spawn_local(future);
        async { task.await.expect("no task panics") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }

    fn unconstrained<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
        tokio::task::unconstrained(future)
    }
}

impl Tools for CurrentThread {
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

cross!(CurrentThread: mpsc::channel, send, recv Some);

impl Threads for CurrentThread {
    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        spawn_blocking(work).await?
    }
}

impl Paths for CurrentThread {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(tokio::fs::metadata(path).await?.len())
    }
}
