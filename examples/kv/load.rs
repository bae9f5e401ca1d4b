//! The load: connections that set keys and get them back, from a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use annulus::net::TcpStream;

/// Where to, how many connections, how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

/// Keys that a connection uses.
const KEYS: u64 = 1000;

/// Runs the load and prints what it saw.
pub(crate) async fn run(load: Load) {
    let start = Instant::now();
    // A thread, because a core that serves should do nothing else.
    let ran = annulus::spawn_blocking(move || {
        annulus::run(async {
            let end = Instant::now() + load.time;
            let connection = |number| annulus::spawn(connection(load.address, number, end));
            let connections: Vec<_> = (0..load.connections as u64).map(connection).collect();
            let mut requests = 0;
            for connection in connections {
                requests += connection.await??;
            }
            io::Result::Ok(requests)
        })
    });
    match ran.await {
        Ok(Ok(requests)) => {
            let rate = requests as f64 / start.elapsed().as_secs_f64();
            println!("{requests} requests, {rate:.0} a second, every answer as expected");
        }
        Ok(Err(error)) => eprintln!("the load failed: {error}"),
        Err(error) => eprintln!("the load failed: {error}"),
    }
}

/// Sets and gets keys of its own until `end`, and checks every answer.
async fn connection(address: SocketAddr, number: u64, end: Instant) -> io::Result<u64> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut requests = 0;
    while Instant::now() < end {
        let key = format!("key-{number}-{}", requests % KEYS);
        let value = format!("{requests}");
        expect(&stream, &format!("SET {key} {value}\n"), "OK").await?;
        expect(&stream, &format!("GET {key}\n"), &format!("VALUE {value}")).await?;
        requests += 2;
    }
    Ok(requests)
}

async fn expect(stream: &TcpStream, request: &str, answer: &str) -> io::Result<()> {
    stream.write_all(request.as_bytes()).await?;
    let mut line = vec![0; answer.len() + 1];
    stream.read_exact(&mut line).await?;
    if line.strip_suffix(b"\n") == Some(answer.as_bytes()) {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&line);
    Err(io::Error::other(format!("{request:?} was answered by {line:?}, not {answer:?}")))
}
