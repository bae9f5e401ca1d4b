//! Three things fetched at once over TCP, each with a time limit and retries; the first that is given up ends the rest.
//!
//! `cargo run --example gather` starts the three servers itself, on loopback. One answers, one stalls at first, one
//! hangs up at first; `--help` says how to make them worse.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use annulus::net::{TcpListener, TcpStream};
use annulus::task::{GroupError, TaskGroup, task_group, try_gather};
use annulus::time::{Duration, Instant, sleep, timeout};

const HELP: &str = "\
Fetches three things at once, with a time limit for each attempt and retries.

Usage: gather [OPTIONS]

  --attempts N    attempts for each thing (3)
  --timeout MS    milliseconds that an attempt may take (100)
  --faults N      requests that the bad servers spoil before they behave (1)
  --help          this text";

#[derive(Clone, Copy)]
struct Options {
    attempts: u32,
    timeout: Duration,
    faults: u32,
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
    let start = Instant::now();
    match annulus::run(gather(options)) {
        Ok(answers) => {
            answers.iter().for_each(|answer| println!("{answer}"));
            println!("all three in {} ms", start.elapsed().as_millis());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for the help, an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { attempts: 3, timeout: Duration::from_millis(100), faults: 1 };
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u32, String> {
            let text = arguments.next().ok_or(format!("{argument} needs a value"))?;
            text.parse().map_err(|_| format!("{argument}: {text:?} is not a number"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--attempts" => options.attempts = number()?,
            "--timeout" => options.timeout = Duration::from_millis(number()?.into()),
            "--faults" => options.faults = number()?,
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Some(options))
}

/// Serves and fetches in one group: when the answers are there the servers are ended, and nothing outlives the group.
async fn gather(options: Options) -> io::Result<Vec<String>> {
    let answers = task_group(async |group| {
        let mut fetches = Vec::new();
        for (name, answer, fault) in [
            ("weather", "sunny", None),
            ("news", "nothing new", Some(Fault::Stall)),
            ("stocks", "up two", Some(Fault::HangUp)),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            group.spawn(serve(group.clone(), listener, answer, fault, options.faults));
            fetches.push(fetch(name, address, options));
        }
        let answers = try_gather(fetches).await.map_err(GroupError::into_error)?;
        group.abort_all();
        Ok(answers)
    });
    answers.await.map_err(GroupError::into_error)
}

#[derive(Clone, Copy)]
enum Fault {
    /// Holds the connection open and says nothing.
    Stall,
    HangUp,
}

/// Answers each connection, in a child of its own, after the first few were spoilt.
async fn serve(
    group: TaskGroup<io::Error>,
    listener: TcpListener,
    answer: &'static str,
    fault: Option<Fault>,
    faults: u32,
) -> io::Result<()> {
    for connection in 0.. {
        let (stream, _peer) = listener.accept().await?;
        let fault = fault.filter(|_| connection < faults);
        group.spawn(async move {
            match fault {
                None => stream.write_all(format!("{answer}\n").as_bytes()).await,
                Some(Fault::Stall) => stream.recv().await.map(drop),
                Some(Fault::HangUp) => stream.shutdown().await,
            }
        });
    }
    Ok(())
}

/// Tries a few times, each time for so long, and waits between: twice as long after each failure.
async fn fetch(name: &str, address: SocketAddr, options: Options) -> io::Result<String> {
    let mut pause = Duration::from_millis(10);
    let mut attempt = 1;
    loop {
        let outcome = timeout(options.timeout, request(address)).await;
        match outcome.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(answer) => return Ok(format!("{name}: {answer} (attempt {attempt})")),
            Err(error) if attempt >= options.attempts => {
                let text = format!("{name}: given up after {attempt} attempts: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            Err(error) => println!("{name}: attempt {attempt} failed: {error}"),
        }
        sleep(pause).await;
        pause *= 2;
        attempt += 1;
    }
}

/// A line from the server.
async fn request(address: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let mut line = Vec::new();
    while let Some(chunk) = stream.recv().await? {
        line.extend_from_slice(&chunk);
    }
    let line = String::from_utf8(line).map_err(io::Error::other)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
    }
}
