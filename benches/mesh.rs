//! What it costs to go from one core to another: wakes and calls, of cores that sleep and that do not.
//!
//! `cargo bench --bench mesh` times every cell, on the first two processors it may use. `eventfd`, `msg-ring` and
//! their kind are two bare rings that wake each other in that way; tokio has two current-thread runtimes. What counts
//! is the wall time: two processors work at once.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod contest;
mod crossing;
mod support;
#[allow(dead_code, reason = "the echo bench uses all of it")]
mod uring;

use std::process::ExitCode;

use contest::rounds::Bench;
use contest::{Cell, Contestant};
use crossing::{CELLS, CONTESTANTS};
use support::options::{Known, Options};
use support::report::{self, Sink};

const ABOUT: &str = "What wakes and calls cost between two cores.";

const KNOWN: &[Known] = &[
    (
        "--ways",
        Some("A,B"),
        "whose (all: eventfd,eventfd-poll,eventfd-ring,msg-ring,msg-now,send-msg,rtrb,flume,async-channel,thread,tokio,\
         annulus-spin,annulus-sleep,annulus)",
    ),
    ("--baseline", Some("A"), "whom to compare with (tokio)"),
    ("--cells", Some("C,D"), "which cells (all; --list names them)"),
    ("--rounds", Some("N"), "samples of each crate in each cell (10)"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "retake samples of which the host stole more percent (12)"),
    ("--out", Some("FILE"), "append samples and summaries as JSON lines"),
    ("--quick", None, "a smoke test: one round, a hundredth of the work; so is no argument"),
    ("--instructions", None, "count user-space instructions per operation under callgrind"),
    ("--run", Some("WAY"), "run one cell once and say nothing (used by --instructions)"),
    ("--operations", Some("N"), "how often, with --run"),
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
    let all: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    let all = all.join(",");
    let names = options.words("--cells", &all).into_iter();
    let chosen = names.map(cell).collect::<Result<Vec<_>, _>>()?;
    let [processor, _] = crossing::processors();
    if let Some(name) = options.text("--run") {
        let operations = options.number("--operations", 1000)?;
        return once(contestant(name)?, &chosen, operations);
    }
    let ways = options.words(
        "--ways",
        "eventfd,eventfd-poll,eventfd-ring,msg-ring,msg-now,send-msg,rtrb,flume,async-channel,thread,tokio,\
         annulus-spin,annulus-sleep,annulus",
    );
    let quick = options.has("--quick") || options.is_empty();
    let bench = Bench {
        name: "mesh",
        runtimes: ways.into_iter().map(contestant).collect::<Result<Vec<_>, _>>()?,
        baseline: options.text("--baseline").unwrap_or("tokio"),
        quick,
        rounds: options.number("--rounds", 10)?,
        seed: options.number("--seed", 1)?,
        processor,
        max_steal_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
    };
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("mesh")).map_err(|error| error.to_string())?;
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
    CONTESTANTS.iter().find(|one| one.name == name).ok_or(format!("no way {name}"))
}

fn once(one: &Contestant, cells: &[&Cell], operations: u64) -> Result<(), String> {
    for cell in cells {
        let run = one.cell(cell.name).ok_or(format!("{} has no {}", one.name, cell.name))?;
        run(operations);
    }
    Ok(())
}
