//! tokio-uring: its sockets and files on the ring, tokio for the rest.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::File;
use tokio_uring::net::TcpStream;

use super::aligned_within;
use crate::fan::{BUFFER, GREETING, QUEUE};
use crate::files::{BLOCK, direct};
use crate::jobs::Jobs;
use crate::rival::{Direct, Files, Paths, Rival, Runtime, Server};

pub(super) static RIVAL: Rival = Rival {
    name: "tokio-uring",
    about: "a ring as deep as the others'; a tokio runtime of one thread that waits for it by epoll",
    package: Some("tokio-uring"),
    servers: &[
        ("echo", Server::Tcp(tcp)),
        ("udp", Server::Udp(udp)),
        ("fan", Server::Tcp(|listener, _| fan(listener))),
    ],
    jobs: &[Jobs::<TokioUring>::FILES, Jobs::<TokioUring>::PATHS, Jobs::<TokioUring>::DIRECT],
    lacks: &[("", "its tasks, timers and channels are tokio's")],
};

struct TokioUring;

impl Runtime for TokioUring {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        Ok(tokio_uring::builder().entries(1024).start(future))
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

impl Paths for TokioUring {
    async fn size(path: &Path) -> io::Result<u64> {
        Ok(tokio_uring::fs::statx(path).await?.stx_size)
    }
}

impl Direct for TokioUring {
    type Disk = File;
    type Block = Vec<u8>;

    async fn disk(_: &Path, _: usize) -> io::Result<File> {
        Ok(File::from_std(direct(libc::O_DIRECT)))
    }

    fn block(_: &File) -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    async fn read_block(disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (read, block) = disk.read_exact_at(block.slice(at..at + BLOCK), offset).await;
        read.map(|()| block.into_inner())
    }

    async fn write_block(disk: &File, block: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let at = aligned_within(&block);
        let (written, block) = disk.write_all_at(block.slice(at..at + BLOCK), offset).await;
        written.map(|()| block.into_inner())
    }
}

/// By tokio's broadcast channel; its buffers are not shared, so each subscriber's send has its own.
fn fan(listener: TcpListener) -> io::Result<()> {
    TokioUring::block_on(async move {
        let listener = tokio_uring::net::TcpListener::from_std(listener);
        let (publisher, _) = listener.accept().await?;
        let (messages, _) = broadcast::channel::<Rc<[u8]>>(QUEUE);
        let sender = messages.clone();
        tokio_uring::spawn(async move {
            let mut buf = vec![0; BUFFER];
            loop {
                let (count, read) = publisher.read(buf).await;
                let count = count?;
                if count == 0 {
                    return io::Result::Ok(());
                }
                sender.send(Rc::from(&read[..count])).ok();
                buf = read;
            }
        });
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(deliver(stream, messages.subscribe()));
        }
    })?
}

async fn deliver(stream: TcpStream, mut messages: broadcast::Receiver<Rc<[u8]>>) -> io::Result<()> {
    stream.write_all(GREETING.to_vec()).await.0?;
    while let Ok(message) = messages.recv().await {
        stream.write_all(message.to_vec()).await.0?;
    }
    Ok(())
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
