//! A room in which everybody hears everybody: a broadcast over TCP, a line a message.
//!
//! `cargo run --example chat` opens a room and fills it with clients that talk; `-- --listen ADDR` only serves, until
//! it is interrupted (try it with `nc`); `-- --help` says all.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

mod clients;
mod room;

use std::io;
use std::process::ExitCode;

use annulus::net::{Limits, TcpSocket, serve};
use annulus::signal::termination;
use annulus::task::CancellationToken;
use room::Room;

const HELP: &str = "\
A room in which everybody hears everybody. The first line that a client sends is its name, each further one a message.

Usage: chat [OPTIONS]

  --listen ADDR     only serve, on this address, e.g. 127.0.0.1:7002
  --clients N       clients that talk (8)
  --messages N      messages of each (200)
  --help            this text";

struct Options {
    listen: Option<String>,
    clients: usize,
    messages: usize,
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
    match annulus::run(open(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for the help, an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { listen: None, clients: 8, messages: 200 };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or(format!("{text:?} is no number above zero"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--listen" => options.listen = Some(value()?),
            "--clients" => options.clients = number(value()?)?,
            "--messages" => options.messages = number(value()?)?,
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Some(options))
}

/// Opens the room, until the clients have had their say or the user has had enough.
async fn open(options: &Options) -> io::Result<()> {
    // Before the listener: no signal finds the process without its handler once it can be reached.
    let mut termination = termination()?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    if options.listen.is_none() {
        // Accepted connections inherit it: a client that reads nothing is noticed soon.
        socket.set_send_buffer_size(4096)?;
    }
    let address = options.listen.as_deref().unwrap_or("127.0.0.1:0");
    socket.bind(address.parse().map_err(io::Error::other)?)?;
    let listener = socket.listen(1024)?;
    let address = listener.local_addr()?;
    println!("chat on {address}");

    let stopping = CancellationToken::new();
    let room = Room::new(stopping.clone());
    let server = serve(listener, Limits::new(), async move |stream| room.visit(stream).await);
    let server = server.on_failure(|failure| println!("a client was dropped: {failure:?}"));
    let handle = server.handle();
    let serving = annulus::spawn(server);
    let talked = match options.listen {
        Some(_) => {
            termination.recv().await;
            Ok(())
        }
        None => clients::talk(address, options.clients, options.messages).await,
    };
    // Whoever is there hears of it, and has some seconds to read that.
    stopping.cancel();
    handle.stop();
    let served = serving.await??;
    println!("{} came and went, {} were dropped", served.total(), served.failed + served.aborted);
    talked
}
