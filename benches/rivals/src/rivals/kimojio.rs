//! kimojio: its operations on plain descriptors, its lock, its channel of one place.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use kimojio::configuration::Configuration;
use kimojio::operations;
use kimojio::{AsyncLock, Receiver, Sender, async_channel};

use crate::jobs::Jobs;
use crate::rival::{Files, Rival, Runtime, Server, Tools};

pub(super) static RIVAL: Rival = Rival {
    name: "kimojio",
    about: "with SINGLE_ISSUER; its bounded channel holds one message",
    package: Some("kimojio"),
    servers: &[("echo", Server::Tcp(tcp))],
    jobs: &[
        Jobs::<Kimojio>::TASKS,
        Jobs::<Kimojio>::WAKES,
        Jobs::<Kimojio>::TOOLS,
        Jobs::<Kimojio>::FILES,
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
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn mutex() -> Self::Mutex {
        AsyncLock::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await.expect("not canceled"));
    }

    fn channel(_: usize) -> (Self::Sender, Self::Receiver) {
        async_channel()
    }

    async fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).await.ok();
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
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
        let mut rest = &buf[..count];
        while !rest.is_empty() {
            let written = operations::write(&stream, rest).await?;
            rest = &rest[written..];
        }
    }
}
