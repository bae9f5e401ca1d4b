//! Pages fetched from several hosts at once, each within a time: asyncio's classic, with local hosts.
//!
//! `cargo run --example fetch` starts four servers on loopback itself: one answers at once, one slowly, one never, and
//! one is not there. `-- HOST:PORT/PATH ...` fetches from elsewhere; `-- --help` says all.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::io;
use std::process::ExitCode;

use annulus::io::BufReader;
use annulus::net::{Limits, ServeHandle, TcpListener, TcpStream, serve};
use annulus::task::as_completed;
use annulus::time::{Duration, Instant, sleep, timeout};

const HELP: &str = "\
Fetches pages by HTTP from several hosts at once, and tells of each when it is there.

Usage: fetch [OPTIONS] [HOST:PORT[/PATH] ...]

  --timeout MS    milliseconds that each may take (500)
  --help          this text

Without hosts it starts some of its own: a prompt one, a slow one, one that never answers, and one that is not there.";

/// The most bytes of a page that are read.
const PAGE_MAX: usize = 1 << 20;

struct Options {
    patience: Duration,
    pages: Vec<String>,
}

/// What there is to say of a page.
#[derive(Debug, PartialEq)]
struct Page {
    status: String,
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
    let result = match options.pages.is_empty() {
        true => annulus::run(fetch_from_own(options.patience)),
        false => annulus::run(async {
            fetch_all(&options.pages, options.patience).await?;
            Ok(())
        }),
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
    let mut options = Options { patience: Duration::from_millis(500), pages: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--timeout" => {
                let value = arguments.next().ok_or("--timeout needs a value")?;
                let value = value.parse().map_err(|_| format!("{value:?} is no number"))?;
                options.patience = Duration::from_millis(value);
            }
            other if other.starts_with('-') => return Err(format!("unknown argument: {other}")),
            _ => options.pages.push(argument),
        }
    }
    Ok(Some(options))
}

/// Fetches all pages at once; what came of each, in their order.
async fn fetch_all(
    pages: &[String],
    patience: Duration,
) -> io::Result<Vec<Result<Page, io::ErrorKind>>> {
    let start = Instant::now();
    let fetches = pages.iter().cloned().map(|page| async move {
        // Too late is an error like the others, of the kind `TimedOut`.
        timeout(patience, fetch(&page)).await?
    });
    let mut fetches = as_completed(fetches);
    let mut outcomes: Vec<_> = pages.iter().map(|_| Err(io::ErrorKind::Other)).collect();
    while let Some((index, outcome)) = fetches.next().await {
        let (page, after) = (&pages[index], start.elapsed().as_millis());
        let outcome = outcome?;
        match &outcome {
            Ok(Page { status, bytes }) => {
                println!("{after:>5} ms  {page}: {status}, {bytes} bytes")
            }
            Err(error) => println!("{after:>5} ms  {page}: {error}"),
        }
        outcomes[index] = outcome.map_err(|error| error.kind());
    }
    Ok(outcomes)
}

/// Fetches one page: a name is looked up, and all its addresses are tried.
async fn fetch(page: &str) -> io::Result<Page> {
    let (host, path) = page.split_once('/').unwrap_or((page, ""));
    let stream = TcpStream::connect(host).await?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.send_all(request).await?;
    let mut reader = BufReader::new(&stream);
    let mut status = String::new();
    reader.read_line(&mut status).await?;
    let mut bytes = 0;
    while let header = reader.line().await?.unwrap_or_default()
        && !header.is_empty()
    {}
    loop {
        let count = reader.fill_buf().await?.len();
        if count == 0 {
            return Ok(Page { status: status.trim_end().to_owned(), bytes });
        }
        bytes += count;
        if bytes > PAGE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the page is too long"));
        }
        reader.consume(count);
    }
}

/// Starts a server that answers each request after a while; its address, and its end.
async fn host(after: Option<Duration>) -> io::Result<(String, ServeHandle)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let server = serve(listener, Limits::new(), async move |stream| {
        let mut request = BufReader::new(&stream);
        while request.line().await?.is_some_and(|line| !line.is_empty()) {}
        let Some(after) = after else { return std::future::pending().await };
        stream.send_all("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n").await?;
        for word in ["all ", "in ", "good ", "time\n"] {
            sleep(after / 4).await;
            stream.send_all(word).await?;
        }
        io::Result::Ok(())
    });
    let handle = server.handle();
    annulus::spawn(server);
    Ok((address, handle))
}

/// Fetches from servers of its own, and looks that each outcome is the right one.
async fn fetch_from_own(patience: Duration) -> io::Result<()> {
    let (prompt, first) = host(Some(Duration::ZERO)).await?;
    let (slow, second) = host(Some(patience / 5)).await?;
    let (silent, third) = host(None).await?;
    // A port that was just ours, and is nobody's now.
    let absent = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let pages = [prompt + "/prompt", slow + "/slow", silent + "/silent", absent + "/absent"];
    let outcomes = fetch_all(&pages, patience).await?;
    for handle in [first, second, third] {
        handle.abort();
        handle.ended().await;
    }
    let page = || Ok(Page { status: "HTTP/1.0 200 OK".to_owned(), bytes: 17 });
    let right =
        [page(), page(), Err(io::ErrorKind::TimedOut), Err(io::ErrorKind::ConnectionRefused)];
    match outcomes == right {
        true => Ok(()),
        false => Err(io::Error::other(format!("{outcomes:?} instead of {right:?}"))),
    }
}
