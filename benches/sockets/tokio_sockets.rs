//! The servers on tokio's current-thread runtime.

use std::future::Future;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::load::{Load, MESSAGE};
use crate::contest::{Run, Sample, Stopwatch};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("udp_echo", |operations| block_on(udp_echo(operations))),
    ("udp_echo_apart", |operations| block_on(udp_echo(operations))),
    ("udp_echo_single", |operations| block_on(udp_echo(operations))),
    ("udp_echo_calls", |operations| block_on(udp_echo(operations))),
    ("connections", |operations| block_on(each("tcp", operations, echo_once))),
    ("served", |operations| block_on(each("tcp", operations, echo_once))),
    ("churn", |operations| block_on(each("churn", operations, echo_to_the_reset))),
    ("proxy_16K", |operations| block_on(proxy("messages", operations))),
    ("proxy_bulk", |operations| block_on(proxy("bulk", operations))),
    ("sink", |operations| block_on(sink(operations))),
    ("sink_owned", |operations| block_on(sink(operations))),
    ("lines", |operations| block_on(lines(operations))),
    ("lines_string", |operations| block_on(lines_string(operations))),
];

fn block_on(cell: impl Future<Output = io::Result<Sample>>) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let result = runtime.and_then(|runtime| runtime.block_on(cell));
    result.unwrap_or_else(|error| panic!("tokio: {error}"))
}

async fn udp_echo(operations: u64) -> io::Result<Sample> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let mut load = Load::start("udp", socket.local_addr()?, operations)?;
    let mut buf = [0; 2048];
    let watch = Stopwatch::start();
    load.begin()?;
    for _ in 0..operations {
        let (count, peer) = socket.recv_from(&mut buf).await?;
        socket.send_to(&buf[..count], peer).await?;
    }
    Ok(watch.stop(operations))
}

/// Accepts so many connections, each for a task of its own.
async fn each<F: Future<Output = io::Result<()>> + Send + 'static>(
    kind: &str,
    operations: u64,
    task: impl Fn(TcpStream) -> F,
) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start(kind, listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    let mut last = None;
    for _ in 0..operations {
        last = Some(tokio::spawn(task(listener.accept().await?.0)));
    }
    if let Some(last) = last {
        last.await??;
    }
    Ok(watch.stop(operations))
}

async fn echo_once(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    let count = stream.read(&mut buf).await?;
    stream.write_all(&buf[..count]).await
}

async fn echo_to_the_reset(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buf).await {
        stream.write_all(&buf[..count]).await?;
    }
    Ok(())
}

async fn proxy(kind: &str, operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start(kind, listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    let (mut near, _) = listener.accept().await?;
    let mut port = [0; 2];
    near.read_exact(&mut port).await?;
    let mut far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port))).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(watch.stop(operations))
}

async fn sink(operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start("sink", listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    let (mut stream, _) = listener.accept().await?;
    let (mut buf, mut len) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            count => len += count as u64,
        }
    }
    assert_eq!(len, MESSAGE as u64 * operations);
    Ok(watch.stop(operations))
}

async fn line_server(operations: u64) -> io::Result<(BufReader<TcpStream>, Stopwatch, Load)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start("lines", listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    let (stream, _) = listener.accept().await?;
    Ok((BufReader::new(stream), watch, load))
}

async fn lines(operations: u64) -> io::Result<Sample> {
    let (mut reader, watch, _load) = line_server(operations).await?;
    let (mut line, mut count) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line).await? > 0 {
        assert_eq!(line.len(), 64);
        line.clear();
        count += 1;
    }
    assert_eq!(count, operations);
    Ok(watch.stop(operations))
}

async fn lines_string(operations: u64) -> io::Result<Sample> {
    let (mut reader, watch, _load) = line_server(operations).await?;
    let (mut line, mut count) = (String::new(), 0);
    while reader.read_line(&mut line).await? > 0 {
        assert_eq!(line.len(), 64);
        line.clear();
        count += 1;
    }
    assert_eq!(count, operations);
    Ok(watch.stop(operations))
}
