//! What a server pays for sockets: datagrams echoed, connections accepted and closed.
//!
//! `cargo bench --bench net` times every cell; `-- --instructions` counts under callgrind instead. The load is a
//! process of its own on another processor, so that what is measured, the processor time of the process, is the
//! server alone.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod contest;
mod sockets;
mod support;
#[allow(dead_code, reason = "the echo bench feeds starved connections")]
mod uring;

use std::process::ExitCode;

use contest::rounds::Bench;
use contest::{Cell, Contestant};
use sockets::{CELLS, CONTESTANTS, load};
use support::cpu;
use support::options::{Known, Options};
use support::report::{self, Sink};

const ABOUT: &str = "What a server pays for a datagram or a connection.";

const KNOWN: &[Known] = &[
    ("--runtimes", Some("A,B"), "which runtimes (floor,tokio,annulus)"),
    ("--baseline", Some("A"), "whom to compare with (tokio)"),
    ("--cells", Some("C,D"), "which cells (all; --list names them)"),
    ("--rounds", Some("N"), "samples of each runtime in each cell (10)"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "retake samples of which the host stole more percent (12)"),
    ("--out", Some("FILE"), "append samples and summaries as JSON lines"),
    ("--quick", None, "a smoke test: one round, a hundredth of the work; so is no argument"),
    ("--instructions", None, "count user-space instructions per operation under callgrind"),
    ("--run", Some("RUNTIME"), "run one cell once and say nothing (used by --instructions)"),
    ("--operations", Some("N"), "how often, with --run and --load"),
    ("--load", Some("KIND"), "be the load of a cell (used by every cell)"),
    ("--address", Some("A"), "of the server, with --load"),
    ("--list", None, "name the cells"),
    ("--help", None, "this text"),
    ("--bench", None, "ignored; cargo passes it"),
];

fn main() -> ExitCode {
    Options::run(ABOUT, KNOWN, run)
}

fn run(options: &Options) -> Result<(), String> {
    if options.has("--list") {
        CELLS.iter().for_each(|cell| println!("{:<22}{}", cell.name, cell.about));
        return Ok(());
    }
    let allowed = cpu::allowed();
    let (processor, other) = match allowed.as_slice() {
        [] => return Err("no processor is allowed".to_owned()),
        [only] => (*only, *only),
        [first, second, ..] => (*first, *second),
    };
    if let Some(kind) = options.text("--load") {
        cpu::pin_to(other).map_err(|error| error.to_string())?;
        let address = options.text("--address").ok_or("--load needs --address")?;
        return load::run(kind, address, options.number("--operations", 1000)?);
    }
    let all: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    let all = all.join(",");
    let names = options.words("--cells", &all).into_iter();
    let chosen = names.map(cell).collect::<Result<Vec<_>, _>>()?;
    cpu::pin_to(processor).map_err(|error| error.to_string())?;
    if let Some(name) = options.text("--run") {
        let operations = options.number("--operations", 1000)?;
        return once(contestant(name)?, &chosen, operations);
    }
    let runtimes = options.words("--runtimes", "floor,tokio,annulus");
    let quick = options.has("--quick") || options.is_empty();
    let bench = Bench {
        name: "net",
        runtimes: runtimes.into_iter().map(contestant).collect::<Result<Vec<_>, _>>()?,
        baseline: options.text("--baseline").unwrap_or("tokio"),
        quick,
        rounds: options.number("--rounds", 10)?,
        seed: options.number("--seed", 1)?,
        processor,
        max_steal_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
    };
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("net")).map_err(|error| error.to_string())?;
    for cell in chosen {
        let lines =
            if options.has("--instructions") { bench.count(cell) } else { bench.time(cell) };
        for line in lines {
            sink.write(line).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn cell(name: &str) -> Result<&'static Cell, String> {
    CELLS.iter().find(|cell| cell.name == name).ok_or(format!("no cell {name}"))
}

fn contestant(name: &str) -> Result<&'static Contestant, String> {
    CONTESTANTS.iter().find(|one| one.name == name).ok_or(format!("no runtime {name}"))
}

fn once(one: &Contestant, cells: &[&Cell], operations: u64) -> Result<(), String> {
    for cell in cells {
        let run = one.cell(cell.name).ok_or(format!("{} has no {}", one.name, cell.name))?;
        run(operations);
    }
    Ok(())
}
