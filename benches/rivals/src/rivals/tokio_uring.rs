//! tokio-uring: its sockets and files on the ring, tokio for the rest.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::File;
use tokio_uring::net::TcpStream;

use crate::jobs::Jobs;
use crate::rival::{Files, Rival, Runtime, Server};

pub(super) static RIVAL: Rival = Rival {
    name: "tokio-uring",
    about: "its defaults; a tokio runtime of one thread that waits for the ring by epoll",
    package: Some("tokio-uring"),
    servers: &[("echo", Server::Tcp(tcp)), ("udp", Server::Udp(udp))],
    jobs: &[Jobs::<TokioUring>::FILES],
    lacks: &[("", "its tasks, timers and channels are tokio's")],
};

struct TokioUring;

impl Runtime for TokioUring {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        Ok(tokio_uring::start(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = tokio_uring::spawn(future);
        async { task.await.expect("no task panics") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }
}

impl Files for TokioUring {
    type File = File;

    fn file(file: std::fs::File) -> io::Result<File> {
        Ok(File::from_std(file))
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (count, buf) = file.read_at(buf, offset).await;
        count.map(|_| buf)
    }
}

fn tcp(listener: TcpListener, buffer: usize) -> io::Result<()> {
    TokioUring::block_on(async move {
        let listener = tokio_uring::net::TcpListener::from_std(listener);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(echo(stream, buffer));
        }
    })?
}

async fn echo(stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer];
    loop {
        let (count, read) = stream.read(buf).await;
        let count = count?;
        if count == 0 {
            return Ok(());
        }
        let (written, back) = stream.write_all(read.slice(..count)).await;
        written?;
        buf = back.into_inner();
    }
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    TokioUring::block_on(async move {
        let socket = tokio_uring::net::UdpSocket::from_std(socket);
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
