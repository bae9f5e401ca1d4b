//! A line protocol over TCP: a little Redis, with its inline commands and its answers, and a client of it.
//!
//! `cargo run --example lines` starts the server and asks it from several clients; `-- --serve 127.0.0.1:6379` serves
//! until it is interrupted, for `nc` or `redis-cli`'s inline commands: PING, ECHO, SET, GET, INCR, DEL, QUIT.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use annulus::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, TooLong};
use annulus::net::{Limits, Serve, TcpListener, TcpStream, open_connection, serve};
use annulus::signal::termination;
use annulus::spawn;
use annulus::task::{CancellationToken, JoinSet};

const HELP: &str = "\
Serves a little of Redis's line protocol, and asks it from several clients.

Usage: lines [OPTIONS]

  --clients N        that ask (20)
  --commands N       of each (200)
  --serve ADDRESS    serve there until interrupted, and do not ask
  --help             this text";

/// The longest command, in bytes; a client that sends a longer one is told so and closed.
const LINE_MAX: usize = 4096;
/// A client that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// A client gets so long to end its side of the connection.
const LINGER: Duration = Duration::from_secs(1);
/// What open connections get to end after an interrupt.
const DRAIN: Duration = Duration::from_secs(10);

struct Options {
    clients: u32,
    commands: u32,
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
        None => annulus::run(ask_all(options.clients, options.commands)),
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
    let mut options = Options { clients: 20, commands: 200, serve: None };
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        let wrong = || format!("{argument}: {value:?} cannot be read");
        match argument.as_str() {
            "--clients" => options.clients = value.parse().map_err(|_| wrong())?,
            "--commands" => options.commands = value.parse().map_err(|_| wrong())?,
            "--serve" => options.serve = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(Some(options))
}

/// What is stored; shared by the connections of this core.
type Store = Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>>;

/// Whether the client goes on.
#[derive(PartialEq)]
enum Then {
    GoOn,
    Close,
}

/// Writes the answer to one command.
async fn answer<W: AsyncWrite>(
    line: &[u8],
    store: &Store,
    out: &mut BufWriter<W>,
) -> io::Result<Then> {
    let words: Vec<&[u8]> =
        line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let [command, arguments @ ..] = words.as_slice() else {
        return Ok(Then::GoOn);
    };
    match (command.to_ascii_uppercase().as_slice(), arguments) {
        (b"PING", []) => out.write_all(b"+PONG\r\n").await?,
        (b"ECHO", [text]) => bulk(out, Some(text)).await?,
        (b"SET", [key, value]) => {
            store.borrow_mut().insert(key.to_vec(), value.to_vec());
            out.write_all(b"+OK\r\n").await?;
        }
        (b"GET", [key]) => {
            let value = store.borrow().get(*key).cloned();
            bulk(out, value.as_deref()).await?;
        }
        (b"INCR", [key]) => match increment(store, key) {
            Some(number) => out.write_all(format!(":{number}\r\n").as_bytes()).await?,
            None => out.write_all(b"-ERR value is not an integer\r\n").await?,
        },
        (b"DEL", keys) => {
            let remove = |key: &&&[u8]| store.borrow_mut().remove(**key).is_some();
            let count = keys.iter().filter(remove).count();
            out.write_all(format!(":{count}\r\n").as_bytes()).await?;
        }
        (b"QUIT", []) => {
            out.write_all(b"+OK\r\n").await?;
            return Ok(Then::Close);
        }
        _ => out.write_all(b"-ERR unknown command, or not its arguments\r\n").await?,
    }
    Ok(Then::GoOn)
}

fn increment(store: &Store, key: &[u8]) -> Option<i64> {
    let mut store = store.borrow_mut();
    let value = store.entry(key.to_vec()).or_insert_with(|| b"0".to_vec());
    let number = std::str::from_utf8(value).ok()?.parse::<i64>().ok()?.checked_add(1)?;
    *value = number.to_string().into_bytes();
    Some(number)
}

/// A value with its length before it, or that there is none.
async fn bulk<W: AsyncWrite>(out: &mut BufWriter<W>, value: Option<&[u8]>) -> io::Result<()> {
    let Some(value) = value else {
        return out.write_all(b"$-1\r\n").await;
    };
    out.write_all(format!("${}\r\n", value.len()).as_bytes()).await?;
    out.write_all(value).await?;
    out.write_all(b"\r\n").await
}

/// Answers one client until it is done, or, between two commands, until the service is to end.
async fn converse(
    stream: TcpStream,
    store: &Store,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_limit(LINE_MAX, &stream);
    let mut writer = BufWriter::new(&stream);
    loop {
        // The answers to all that came at once leave together.
        if reader.buffer().is_empty() {
            writer.flush().await?;
        }
        let line = match shutdown.run_until_cancelled(reader.line()).await {
            Some(Ok(Some(line))) => line,
            Some(Err(error)) if TooLong::is(&error) => {
                writer.write_all(b"-ERR Protocol error: too big inline request\r\n").await?;
                break;
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(None)) | None => break,
        };
        if answer(line, store, &mut writer).await? == Then::Close {
            break;
        }
    }
    writer.flush().await?;
    drop((reader, writer));
    // So that the client reads all its answers, though commands of its own lie unread. It may be gone, or not end.
    let _ = stream.close_gracefully(LINGER).await;
    Ok(())
}

/// The server, which ends when it is told to and gives what is open time to end as well.
fn server(
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Serve<TcpListener, impl AsyncFn(TcpStream) -> io::Result<()> + 'static, io::Error> {
    let store = Store::default();
    let stopping = shutdown.clone();
    let limits = Limits::new().idle(IDLE).drain(DRAIN);
    let handler = async move |stream| converse(stream, &store, &stopping).await;
    serve(listener, limits, handler).until(async move { shutdown.cancelled().await })
}

async fn serve_at(address: SocketAddr) -> io::Result<()> {
    // Before the listener: no signal finds the process without its handler once it can be reached.
    let mut termination = termination()?;
    let listener = TcpListener::bind(address).await?;
    println!("serving {}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let server = server(listener, shutdown.clone());
    let handle = server.handle();
    drop(spawn(async move {
        termination.recv().await;
        shutdown.cancel();
        // The second signal does not wait for those who are still there.
        termination.recv().await;
        handle.abort();
    }));
    server.await.map(drop)
}

/// An answer of the server.
#[derive(Debug, PartialEq)]
enum Answer {
    Text(String),
    Number(i64),
    Value(Option<Vec<u8>>),
    Error(String),
}

/// Reads an answer: a line, and a value of the length that it says.
async fn read_answer<R: AsyncRead>(reader: &mut BufReader<R>) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of Redis");
    let line = reader.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let text = std::str::from_utf8(line).map_err(|_| broken())?;
    let (kind, rest) = text.split_at_checked(1).ok_or_else(broken)?;
    let number = rest.parse::<i64>();
    match kind {
        "+" => Ok(Answer::Text(rest.to_owned())),
        "-" => Ok(Answer::Error(rest.to_owned())),
        ":" => Ok(Answer::Number(number.map_err(|_| broken())?)),
        "$" => match usize::try_from(number.map_err(|_| broken())?) {
            Err(_) => Ok(Answer::Value(None)),
            Ok(len) if len > LINE_MAX => Err(broken()),
            Ok(len) => match reader.exact(len + 2).await? {
                [value @ .., b'\r', b'\n'] => Ok(Answer::Value(Some(value.to_vec()))),
                _ => Err(broken()),
            },
        },
        _ => Err(broken()),
    }
}

/// Sends commands, many at once, and then reads the answers; how many were right.
async fn ask(server: SocketAddr, client: u32, commands: u32) -> io::Result<u32> {
    let (mut reader, mut writer) = open_connection(server).await?;
    for number in 0..commands {
        let command = match number % 4 {
            0 => format!("SET key:{client} value-{number}\r\n"),
            1 => format!("GET key:{client}\r\n"),
            2 => format!("INCR count:{client}\r\n"),
            _ => format!("NONSENSE {number}\n"),
        };
        writer.write_all(command.as_bytes()).await?;
    }
    writer.write_all(b"QUIT\r\n").await?;
    writer.flush().await?;
    let mut right = 0;
    for number in 0..commands {
        let answer = read_answer(&mut reader).await?;
        right += u32::from(match number % 4 {
            0 => answer == Answer::Text("OK".to_owned()),
            1 => answer == Answer::Value(Some(format!("value-{}", number - 1).into_bytes())),
            2 => answer == Answer::Number(i64::from(number / 4 + 1)),
            _ => matches!(answer, Answer::Error(_)),
        });
    }
    read_answer(&mut reader).await?;
    match reader.line().await? {
        None => Ok(right),
        Some(_) => Err(io::Error::other("more answers than commands")),
    }
}

async fn ask_all(clients: u32, commands: u32) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let serving = spawn(server(listener, shutdown.clone()));
    let mut asking = JoinSet::new();
    for client in 0..clients {
        asking.spawn(ask(address, client, commands));
    }
    let mut right = 0;
    while let Some(client) = asking.join_next().await {
        right += u64::from(client??);
    }
    shutdown.cancel();
    serving.await??;
    let all = u64::from(clients) * u64::from(commands);
    println!("{right} of {all} answers were right");
    match right == all {
        true => Ok(()),
        false => Err(io::Error::other("wrong answers")),
    }
}
