//! Echo servers side by side: requests per second, processor time per request, tails, instructions.
//!
//! `cargo bench --bench echo` runs a few cells for a minute; `-- --help` lists the rest. A server gets a
//! fresh thread for every sample, tied to one processor; the client is tied to another. What may be claimed from a
//! run: nothing under 10 % with fewer than 10 rounds, and nothing at all where the interval spans 1.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod load;
mod servers;
mod support;
mod trial;
mod uring;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::{Cell, Length};
use servers::Server;
use support::options::{Known, Options};
use support::report::{self, Line, Sink};
use trial::rounds::Plan;
use trial::{Placement, counted, rounds, scripted};

const ABOUT: &str =
    "Echo servers side by side. A cell is cCONNECTIONS_SIZE[_dDEPTH], as in c512_1K_d16.";

const KNOWN: &[Known] = &[
    ("--servers", Some("A,B"), "which servers; --list names them"),
    ("--baselines", Some("A,B"), "whom to compare with (raw-ring,tokio-64k)"),
    ("--cells", Some("C,D"), "which cells (c64_64B,c512_64B,c64_16K,c64_64B_d16)"),
    ("--full", None, "all 32 cells, 10 rounds: about 25 minutes"),
    ("--rounds", Some("N"), "samples of each server in each cell (5)"),
    ("--window-ms", Some("N"), "length of a sample after a warm-up of half that (300)"),
    ("--max-s", Some("N"), "begin no further cell after so many seconds (3600)"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "retake samples of which others took more percent of the time (12)"),
    ("--out", Some("FILE"), "append samples and summaries as JSON lines"),
    ("--quick", None, "a smoke test: one round of 30 ms; so is a start without any argument"),
    ("--instructions", None, "count user-space instructions per request under callgrind instead"),
    (
        "--scripted",
        None,
        "with --instructions: in an order that is laid down, so that counts repeat",
    ),
    ("--syscalls", None, "count the server's system calls per request instead (needs tracefs)"),
    ("--serve", Some("SERVER"), "be the counted server (used by --instructions)"),
    ("--list", None, "name the servers"),
    ("--help", None, "this text"),
    ("--bench", None, "ignored; cargo passes it"),
];

const SERVERS: &str = "raw-ring,raw-epoll,tokio-64k,tokio-16k,annulus";
const CELLS: &str = "c64_64B,c512_64B,c64_16K,c64_64B_d16";

fn main() -> ExitCode {
    Options::run(ABOUT, KNOWN, run)
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(name) = options.text("--serve") {
        return counted::serve(servers::named(name)?).map_err(|error| error.to_string());
    }
    if options.has("--list") {
        servers::SERVERS.iter().for_each(|server| println!("{:<14}{}", server.name, server.about));
        return Ok(());
    }
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("echo")).map_err(|error| error.to_string())?;
    if options.has("--instructions") {
        let scripted = options.has("--scripted");
        let of = if scripted { scripted::per_request } else { counted::per_request };
        return count(options, &mut sink, "instructions", "user-space instructions", of);
    }
    if options.has("--syscalls") {
        let placement = Placement::choose()?;
        let of = |server, cell| trial::syscalls_per_request(server, cell, placement);
        return count(options, &mut sink, "syscalls", "system calls", of);
    }
    let plan = plan(options)?;
    let start = Instant::now();
    let limit = Duration::from_secs(options.number("--max-s", 3600)?);
    let full = full_matrix();
    let cells = options.words("--cells", if options.has("--full") { &full } else { CELLS });
    for name in cells {
        if start.elapsed() > limit {
            println!("\n{name}\nSKIP --max-s is over");
            continue;
        }
        rounds::cell(&plan, name, cell(name)?, &mut sink).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn plan(options: &Options) -> Result<Plan, String> {
    let quick = options.has("--quick") || options.is_empty();
    let rounds = if quick { 1 } else { 5 };
    let rounds = if options.has("--full") { 10 } else { rounds };
    let window_ns = options.number("--window-ms", if quick { 30 } else { 300 })? * 1_000_000;
    let servers = options.words("--servers", SERVERS);
    let baselines = options.words("--baselines", "raw-ring,tokio-64k");
    let present = |name: &&str| servers.contains(name);
    Ok(Plan {
        servers: servers.iter().map(|name| servers::named(name)).collect::<Result<_, _>>()?,
        baselines: baselines
            .into_iter()
            .filter(present)
            .map(|name| servers::named(name).map(|server| server.name))
            .collect::<Result<_, _>>()?,
        rounds: options.number("--rounds", rounds)? as usize,
        length: Length::Window { warmup_ns: window_ns / 2, window_ns },
        placement: Placement::choose()?,
        max_loss_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
        seed: options.number("--seed", 1)?,
    })
}

/// Prints and writes one count per request for each server and cell.
fn count(
    options: &Options,
    sink: &mut Sink,
    kind: &str,
    what: &str,
    per_request: impl Fn(&'static Server, Cell) -> Result<f64, String>,
) -> Result<(), String> {
    for name in options.words("--cells", "c64_64B") {
        println!("\n{name}: {what} per request");
        for server in options.words("--servers", SERVERS) {
            let server = servers::named(server)?;
            let line = Line::new(kind).text("cell", name).text("server", server.name);
            let line = match per_request(server, cell(name)?) {
                Ok(count) => {
                    println!("{:<14}{count:>10.3}", server.name);
                    line.number(&format!("{kind}_per_request"), count)
                }
                Err(reason) => {
                    println!("{:<14} SKIP {reason}", server.name);
                    line.text("skip", &reason)
                }
            };
            sink.write(line).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Reads `c512_1K_d16`.
fn cell(name: &str) -> Result<Cell, String> {
    let wrong = || format!("{name} is not a cell; c512_1K_d16 is one");
    let mut parts = name.split('_');
    let mut number = |prefix: char| {
        let part = parts.next()?;
        part.strip_prefix(prefix)?.parse::<usize>().ok().filter(|&number| number > 0)
    };
    let connections = number('c').ok_or_else(wrong)?;
    let (size, depth) = (parts.next().ok_or_else(wrong)?, parts.next().unwrap_or("d1"));
    let size = match size.split_at(size.len().saturating_sub(1)) {
        (count, "B") => count.parse().ok(),
        (count, "K") => count.parse().ok().map(|count: usize| count * 1024),
        _ => None,
    };
    let size = size.filter(|&size| size >= 2).ok_or_else(wrong)?;
    let depth =
        depth.strip_prefix('d').and_then(|depth| depth.parse().ok()).filter(|&depth| depth > 0);
    Ok(Cell { connections, size, depth: depth.ok_or_else(wrong)?, rate_per_s: None })
}

/// Every cell the figures are kept for, small ones first.
fn full_matrix() -> String {
    let mut cells = Vec::new();
    for connections in [1, 64, 512, 4096] {
        for size in ["64B", "1K", "16K", "64K"] {
            for depth in ["", "_d16"] {
                cells.push(format!("c{connections}_{size}{depth}"));
            }
        }
    }
    cells.join(",")
}
