//! Echo over UDP: a server that answers whole batches at once, and clients that lose patience, and nothing else.
//!
//! `cargo run --example udp_echo` starts the server and asks it from many tasks; `-- --serve 127.0.0.1:7000` serves
//! until it is interrupted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use annulus::net::UdpSocket;
use annulus::net::udp::Datagram;
use annulus::signal::termination;
use annulus::spawn;
use annulus::task::JoinSet;
use annulus::time::timeout;

const HELP: &str = "\
Echoes datagrams, and asks for the echo from many tasks at once.

Usage: udp_echo [OPTIONS]

  --clients N        tasks that ask (50)
  --datagrams N      datagrams of each (100)
  --serve ADDRESS    serve there until interrupted, and do not ask
  --help             this text";

/// After which a client takes its datagram, or the answer, for lost.
const PATIENCE: Duration = Duration::from_millis(500);

struct Options {
    clients: u32,
    datagrams: u32,
    serve: Option<SocketAddr>,
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
    let result = match options.serve {
        Some(address) => annulus::run(serve_at(address)),
        None => annulus::run(ask_all(options.clients, options.datagrams)),
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
    let mut options = Options { clients: 50, datagrams: 100, serve: None };
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        let wrong = || format!("{argument}: {value:?} cannot be read");
        match argument.as_str() {
            "--clients" => options.clients = value.parse().map_err(|_| wrong())?,
            "--datagrams" => options.datagrams = value.parse().map_err(|_| wrong())?,
            "--serve" => options.serve = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(Some(options))
}

/// Sends back what comes: all that has arrived, in one system call.
async fn serve(socket: &UdpSocket) -> io::Result<()> {
    loop {
        answer(socket, socket.recv_batch(64).await?).await;
    }
}

async fn answer(socket: &UdpSocket, batch: Vec<Datagram>) {
    let answers = batch.into_iter().map(Datagram::into_parts).collect();
    for sent in socket.send_batch_to(answers).await {
        // A peer that cannot be reached is no reason to stop for the others.
        if let Err(error) = sent {
            eprintln!("not sent: {}", error.error);
        }
    }
}

async fn serve_at(address: SocketAddr) -> io::Result<()> {
    // Before the socket: no signal finds the process without its handler once it can be reached.
    let mut termination = termination()?;
    let socket = UdpSocket::bind(address).await?;
    println!("serving {}", socket.local_addr()?);
    annulus::select! {
        failed = serve(&socket) => return failed,
        _ = termination.recv() => {}
    }
    // What had arrived by then is answered still, as far as the time allows.
    let drained = async {
        while let Ok(batch) = timeout(Duration::ZERO, socket.recv_batch(64)).await {
            answer(&socket, batch?).await;
        }
        io::Result::Ok(())
    };
    timeout(PATIENCE, drained).await.unwrap_or(Ok(()))
}

/// Asks for `count` echoes, one after the other; how many came.
async fn ask(server: SocketAddr, count: u32) -> io::Result<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    let mut answered = 0;
    let mut answer = [0; 16];
    for number in 0..count {
        let question = number.to_be_bytes();
        socket.send(&question).await?;
        // An answer that comes too late lies there until the next is waited for.
        let answers = async {
            while socket.recv(&mut answer).await? != 4 || answer[..4] != question {}
            io::Result::Ok(())
        };
        match timeout(PATIENCE, answers).await {
            Ok(answer) => answered += u32::from(answer.map(|()| true)?),
            Err(_late) => {}
        }
    }
    Ok(answered)
}

async fn ask_all(clients: u32, datagrams: u32) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let server = socket.local_addr()?;
    let serving = spawn(async move { serve(&socket).await });
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(ask(server, datagrams));
    }
    let mut answered = 0;
    while let Some(client) = asking.join_next().await {
        answered += client??;
    }
    serving.abort();
    println!("{answered} of {} datagrams came back", u64::from(clients) * u64::from(datagrams));
    Ok(())
}
