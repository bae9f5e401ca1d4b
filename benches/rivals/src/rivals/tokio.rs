//! tokio: a runtime of one thread with a `LocalSet`, its closest thing to a thread per core, and the one of many.
//!
//! The second has as many workers as it finds processors, which is its default: one where the process is tied to one.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::never;
use crate::jobs::Jobs;
use crate::rival::{Cross, Files, Rival, Runtime, Server, Tools};
use crate::servers::tokio_echo;

pub(super) static CURRENT_THREAD: Rival = Rival {
    name: "tokio",
    about: "current_thread; tasks of one thread in a LocalSet; files by spawn_blocking",
    package: Some("tokio"),
    servers: &[
        ("echo", Server::Tcp(|listener, buffer| tokio_echo::serve(listener, never()?, buffer))),
        ("udp", Server::Udp(|socket| current_thread()?.block_on(udp(socket)))),
    ],
    jobs: &[
        Jobs::<CurrentThread>::TASKS,
        Jobs::<CurrentThread>::WAKES,
        Jobs::<CurrentThread>::TOOLS,
        Jobs::<CurrentThread>::CROSS,
        Jobs::<CurrentThread>::FILES,
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
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn mutex() -> Self::Mutex {
        Mutex::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await);
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    async fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).await.ok();
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Cross for CurrentThread {
    type CrossSender = mpsc::Sender<u64>;
    type CrossReceiver = mpsc::Receiver<u64>;

    fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver) {
        mpsc::channel(capacity)
    }

    async fn send_all(sender: Self::CrossSender, count: u64) {
        for number in 0..count {
            sender.send(number).await.expect("it receives");
        }
    }

    async fn sum_all(mut receiver: Self::CrossReceiver) -> u64 {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    }
}

impl Files for CurrentThread {
    type File = Arc<std::fs::File>;

    fn file(file: std::fs::File) -> io::Result<Self::File> {
        Ok(Arc::new(file))
    }

    async fn read(file: &Self::File, mut buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let file = Arc::clone(file);
        spawn_blocking(move || file.read_at(&mut buf, offset).map(|_| buf)).await?
    }
}
