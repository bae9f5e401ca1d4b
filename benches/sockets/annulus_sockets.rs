//! The servers on annulus.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::time::Duration;

use annulus::io::{BufReader, copy_bidirectional};
use annulus::net::udp::Datagram;
use annulus::net::{Limits, TcpListener, TcpStream, UdpSocket, serve};
use annulus::task::CancellationToken;

use super::load::{Load, MESSAGE};
use crate::contest::{Run, Sample, Stopwatch};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("udp_echo", |operations| block_on(udp_echo(operations, true))),
    ("udp_echo_apart", |operations| block_on(udp_echo(operations, false))),
    ("udp_echo_single", |operations| block_on(udp_echo_single(operations))),
    ("udp_echo_calls", |operations| block_on(udp_echo_single(operations))),
    ("connections", |operations| block_on(each("tcp", operations, echo_once))),
    ("served", |operations| block_on(served(operations))),
    ("churn", |operations| block_on(each("churn", operations, echo_to_the_reset))),
    ("proxy_16K", |operations| block_on(proxy("messages", operations))),
    ("proxy_bulk", |operations| block_on(proxy("bulk", operations))),
    ("sink", |operations| block_on(sink(operations))),
    ("sink_owned", |operations| block_on(sink_owned(operations))),
    ("lines", |operations| block_on(lines(operations))),
    ("lines_string", |operations| block_on(lines_string(operations))),
];

/// The longest datagram that is expected, so that small buffers do.
const DATAGRAM_MAX: usize = 2048;

fn block_on(cell: impl Future<Output = io::Result<Sample>>) -> Sample {
    let result = annulus::Runtime::new().and_then(|runtime| runtime.block_on(cell));
    result.unwrap_or_else(|error| panic!("annulus: {error}"))
}

async fn udp(operations: u64) -> io::Result<(UdpSocket, Load)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.set_datagram_max(Some(DATAGRAM_MAX));
    let load = Load::start("udp", socket.local_addr()?, operations)?;
    Ok((socket, load))
}

async fn udp_echo(operations: u64, joined: bool) -> io::Result<Sample> {
    let (socket, mut load) = udp(operations).await?;
    socket.set_gso(joined);
    let watch = Stopwatch::start();
    load.begin()?;
    let mut echoed = 0;
    while echoed < operations {
        let batch = socket.recv_batch(64).await?;
        let batch = batch.into_iter().map(Datagram::into_parts).collect();
        for sent in socket.send_batch_to(batch).await {
            sent?;
            echoed += 1;
        }
    }
    Ok(watch.stop(operations))
}

async fn udp_echo_single(operations: u64) -> io::Result<Sample> {
    let (socket, mut load) = udp(operations).await?;
    let watch = Stopwatch::start();
    load.begin()?;
    for _ in 0..operations {
        let (chunk, peer) = socket.recv_datagram().await?.into_parts();
        socket.send_owned_to(chunk, peer).await?;
    }
    Ok(watch.stop(operations))
}

/// Accepts so many connections, each for a task of its own.
async fn each<F: Future<Output = io::Result<()>> + 'static>(
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
        last = Some(annulus::spawn(task(listener.accept_stream().await?)));
    }
    if let Some(last) = last {
        last.await??;
    }
    Ok(watch.stop(operations))
}

async fn echo_once(stream: TcpStream) -> io::Result<()> {
    if let Some(chunk) = stream.recv().await? {
        stream.send_all(chunk).await?;
    }
    Ok(())
}

async fn echo_to_the_reset(stream: TcpStream) -> io::Result<()> {
    while let Ok(Some(chunk)) = stream.recv().await {
        stream.send_all(chunk).await?;
    }
    Ok(())
}

/// Echoes once to each, by `serve`.
async fn served(operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start("tcp", listener.local_addr()?, operations)?;
    let (left, all) = (Cell::new(operations), CancellationToken::new());
    let ended = all.clone();
    let limits = Limits::new().idle(Duration::from_secs(60));
    let server = serve(listener, limits, async move |stream: TcpStream| {
        echo_once(stream).await?;
        left.set(left.get() - 1);
        if left.get() == 0 {
            ended.cancel();
        }
        io::Result::Ok(())
    });
    let watch = Stopwatch::start();
    load.begin()?;
    assert_eq!(server.until(async move { all.cancelled().await }).await?.ended, operations);
    Ok(watch.stop(operations))
}

/// Passes one connection on to the port that its first two bytes name.
async fn proxy(kind: &str, operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start(kind, listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    let mut near = listener.accept_stream().await?;
    let mut port = [0; 2];
    near.read_exact(&mut port).await?;
    let mut far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port))).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(watch.stop(operations))
}

async fn poured(operations: u64) -> io::Result<(TcpStream, Stopwatch, Load)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start("sink", listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    Ok((listener.accept_stream().await?, watch, load))
}

async fn sink(operations: u64) -> io::Result<Sample> {
    let (stream, watch, _load) = poured(operations).await?;
    let mut len = 0;
    while let Some(chunk) = stream.recv().await? {
        len += chunk.len() as u64;
    }
    assert_eq!(len, MESSAGE as u64 * operations);
    Ok(watch.stop(operations))
}

async fn sink_owned(operations: u64) -> io::Result<Sample> {
    let (stream, watch, _load) = poured(operations).await?;
    let (mut buf, mut len) = (Vec::with_capacity(64 * 1024), 0);
    loop {
        let count;
        (count, buf) = stream.read_owned(buf).await?;
        if count == 0 {
            break;
        }
        len += count as u64;
    }
    assert_eq!(len, MESSAGE as u64 * operations);
    Ok(watch.stop(operations))
}

async fn line_server(operations: u64) -> io::Result<(BufReader<TcpStream>, Stopwatch, Load)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load::start("lines", listener.local_addr()?, operations)?;
    let watch = Stopwatch::start();
    load.begin()?;
    Ok((BufReader::new(listener.accept_stream().await?), watch, load))
}

async fn lines(operations: u64) -> io::Result<Sample> {
    let (mut reader, watch, _load) = line_server(operations).await?;
    let (mut count, mut len) = (0, 0);
    while let Some(line) = reader.until(b'\n').await? {
        len += line.len();
        count += 1;
    }
    assert_eq!((count, len), (operations, 64 * operations as usize));
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
