//! A store in memory, sharded over all cores: each key is owned by one core, and any core takes any request.
//!
//! `cargo run --release --example kv` serves and loads itself; `-- --listen ADDR` only serves, until it is interrupted;
//! `-- --help` says all. The protocol is lines of text: `SET key value`, `GET key`, `DEL key`, answered by `OK`,
//! `VALUE value` or `NONE`; try it with `nc`.
//!
//! A connection stays on the core that accepted it. A key's owner does what is asked on a plain `HashMap` behind a
//! `RefCell`: no lock, no atomic. A core that is asked for another's key calls it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

mod load;
mod server;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use annulus::mesh::{Cores, Mesh, MeshError};
use annulus::net::TcpListener;

const HELP: &str = "\
A store in memory, sharded over all cores.

Usage: kv [OPTIONS]

  --listen ADDR       only serve, on this address, e.g. 127.0.0.1:7001
  --cores N           shards (one for each processor)
  --connections N     connections that the load keeps busy (32)
  --seconds S         time of the load (2)
  --help              this text";

struct Options {
    listen: Option<String>,
    cores: Cores,
    connections: usize,
    time: Duration,
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
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves on every core, under the load of a thread or until the user has had enough.
fn run(options: &Options) -> Result<(), MeshError<io::Error>> {
    let start = |error| MeshError::Failed { shard: 0, error };
    let address = options.listen.as_deref().unwrap_or("127.0.0.1:0");
    let port = TcpListener::bind_sharded(address).map_err(start)?;
    let mesh = Mesh::builder().cores(options.cores.clone());
    let load = options.listen.is_none().then(|| {
        let (address, connections, time) = (port.local_addr(), options.connections, options.time);
        load::Load { address, connections, time }
    });
    let served = mesh.run(async |shard| server::serve(shard, &port, load).await)?;
    for (shard, served) in served.iter().enumerate() {
        println!(
            "shard {shard}: {} connections, {} requests, {} of them for keys of other shards",
            served.connections, served.requests, served.remote
        );
    }
    Ok(())
}

/// `None` to print the help; an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let time = Duration::from_secs(2);
    let mut options = Options { listen: None, cores: Cores::All, connections: 32, time };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let bad = |text: &str| format!("{argument}: {text:?} is no number above zero");
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--listen" => options.listen = Some(value()?),
            "--cores" => {
                let text = value()?;
                options.cores = Cores::Count(text.parse().map_err(|_| bad(&text))?);
            }
            "--connections" => {
                let text = value()?;
                let count = text.parse().ok().filter(|count| *count > 0);
                options.connections = count.ok_or_else(|| bad(&text))?;
            }
            "--seconds" => {
                let text = value()?;
                let seconds = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                options.time = seconds.ok_or_else(|| bad(&text))?;
            }
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Some(options))
}
