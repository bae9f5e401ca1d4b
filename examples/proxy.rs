//! A TCP proxy: passes each connection on, both ways, each end of a direction on its own, and counts.
//!
//! `cargo run --example proxy` starts an echo, the proxy before it, and clients that ask through it;
//! `-- --listen 127.0.0.1:7000 --to example.org:80` serves until it is interrupted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use annulus::io::{Timeout, copy, copy_bidirectional};
use annulus::net::{Limits, Serve, TcpListener, TcpStream, serve};
use annulus::signal::termination;
use annulus::spawn;
use annulus::task::JoinSet;

const HELP: &str = "\
Passes TCP connections on, and counts what goes each way.

Usage: proxy [OPTIONS]

  --listen ADDRESS   serve there until interrupted; else an echo is asked through the proxy
  --to HOST:PORT     where connections go
  --clients N        that ask the echo (20)
  --bytes N          that each sends and gets back (200000)
  --help             this text";

/// A connection on which nothing moves for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// What open connections get to end after an interrupt.
const DRAIN: Duration = Duration::from_secs(10);

struct Options {
    listen: Option<SocketAddr>,
    to: String,
    clients: u32,
    bytes: usize,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("{text}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let result = match options.listen {
        Some(address) => annulus::run(listen(address, options.to)),
        None => annulus::run(ask_all(options.clients, options.bytes)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for the help, an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { listen: None, to: String::new(), clients: 20, bytes: 200_000 };
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        let wrong = || format!("{argument}: {value:?} cannot be read");
        match argument.as_str() {
            "--listen" => options.listen = Some(value.parse().map_err(|_| wrong())?),
            "--to" => options.to = value,
            "--clients" => options.clients = value.parse().map_err(|_| wrong())?,
            "--bytes" => options.bytes = value.parse().map_err(|_| wrong())?,
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    match options.listen.is_some() && options.to.is_empty() {
        true => Err("--listen needs --to".to_owned()),
        false => Ok(Some(options)),
    }
}

/// What went through, to the server and back.
#[derive(Default)]
struct Counts {
    connections: Cell<u64>,
    there: Cell<u64>,
    back: Cell<u64>,
}

/// Passes one connection on until both directions have ended.
async fn pass(client: TcpStream, to: &str, counts: &Counts) -> io::Result<()> {
    counts.connections.set(counts.connections.get() + 1);
    let server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // The time is for both: what moves one way keeps the other from being idle.
    let mut client = Timeout::new(client).idle(IDLE);
    let mut server = server;
    let (result, (there, back)) = match copy_bidirectional(&mut client, &mut server).await {
        Ok(copied) => (Ok(()), copied),
        Err(failed) => (Err(failed.error), failed.copied),
    };
    counts.there.set(counts.there.get() + there);
    counts.back.set(counts.back.get() + back);
    result
}

/// The proxy, which gives what is open time to end when it is told to end itself.
fn proxy(
    listener: TcpListener,
    to: String,
    counts: Rc<Counts>,
) -> Serve<TcpListener, impl AsyncFn(TcpStream) -> io::Result<()> + 'static, io::Error> {
    let limits = Limits::new().drain(DRAIN);
    serve(listener, limits, async move |client| pass(client, &to, &counts).await)
        .on_failure(|failure| eprintln!("a connection ended: {failure}"))
}

async fn listen(address: SocketAddr, to: String) -> io::Result<()> {
    // Before the listener: no signal finds the process without its handler once it can be reached.
    let mut termination = termination()?;
    let listener = TcpListener::bind(address).await?;
    println!("{} goes to {to}", listener.local_addr()?);
    let counts = Rc::new(Counts::default());
    let server = proxy(listener, to, Rc::clone(&counts));
    let handle = server.handle();
    drop(spawn(async move {
        termination.recv().await;
        handle.stop();
        // The second signal does not wait for those who are still there.
        termination.recv().await;
        handle.abort();
    }));
    server.await?;
    report(&counts);
    Ok(())
}

fn report(counts: &Counts) {
    let Counts { connections, there, back } = counts;
    println!("{} connections, {} bytes there, {} back", connections.get(), there.get(), back.get());
}

/// Sends back what comes, until the end of it.
async fn echo(stream: TcpStream) -> io::Result<()> {
    copy(&mut &stream, &mut &stream).await?;
    stream.shutdown().await
}

/// Sends so many bytes, ends its direction, and reads what comes back; whether it was the same.
async fn ask(proxy: SocketAddr, len: usize) -> io::Result<bool> {
    let stream = Rc::new(TcpStream::connect(proxy).await?);
    let bytes: Rc<[u8]> = (0..len).map(|at| (at % 251) as u8).collect();
    let writing = spawn({
        let (stream, bytes) = (Rc::clone(&stream), Rc::clone(&bytes));
        async move {
            stream.send_all(bytes).await?;
            stream.shutdown().await
        }
    });
    let mut at = 0;
    let mut is_same = true;
    while let Some(chunk) = stream.recv().await? {
        is_same &= bytes.get(at..at + chunk.len()) == Some(&*chunk);
        at += chunk.len();
    }
    writing.await??;
    Ok(is_same && at == len)
}

async fn ask_all(clients: u32, len: usize) -> io::Result<()> {
    let behind = TcpListener::bind("127.0.0.1:0").await?;
    let to = behind.local_addr()?.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let echoing = spawn(serve(behind, Limits::new(), echo));
    let counts = Rc::new(Counts::default());
    let server = proxy(listener, to, Rc::clone(&counts));
    let handle = server.handle();
    let serving = spawn(server);
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(ask(address, len));
    }
    let mut same = 0;
    while let Some(client) = asking.join_next().await {
        same += u32::from(client??);
    }
    handle.stop();
    serving.await??;
    echoing.abort();
    report(&counts);
    println!("{same} of {clients} clients got back what they sent");
    match same == clients {
        true => Ok(()),
        false => Err(io::Error::other("bytes were lost on the way")),
    }
}
