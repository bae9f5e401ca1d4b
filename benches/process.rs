//! What it costs to start a child and to see its end.
//!
//! `cargo bench --bench process` times `/bin/true` by std, tokio and annulus in one process, on one processor, in
//! interleaved rounds. The `_wall` cell compares the time until the end was seen, which the child shares; the other one
//! the processor time of the parent alone.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod children;
mod contest;
mod support;

use std::process::ExitCode;

use children::{CELLS, CONTESTANTS};
use contest::rounds::Bench;
use contest::{Cell, Contestant};
use support::cpu;
use support::options::{Known, Options};
use support::report::{self, Sink};

const ABOUT: &str = "What it costs to start a child and to see its end.";

const KNOWN: &[Known] = &[
    ("--crates", Some("A,B"), "whose (std,tokio,annulus)"),
    ("--baseline", Some("A"), "whom to compare with (std)"),
    ("--cells", Some("C,D"), "which cells (all; --list names them)"),
    ("--rounds", Some("N"), "samples of each crate in each cell (10)"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "retake samples of which the host stole more percent (12)"),
    ("--out", Some("FILE"), "append samples and summaries as JSON lines"),
    ("--quick", None, "a smoke test: one round; so is no argument"),
    ("--instructions", None, "count user-space instructions per child under callgrind"),
    ("--run", Some("CRATE"), "run one cell once and say nothing (used by --instructions)"),
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
    let processor = *cpu::allowed().first().ok_or("no processor is allowed")?;
    cpu::pin_to(processor).map_err(|error| error.to_string())?;
    if let Some(name) = options.text("--run") {
        let operations = options.number("--operations", 100)?;
        for cell in chosen {
            let one = contestant(name)?;
            one.cell(cell.name).ok_or(format!("{name} has no {}", cell.name))?(operations);
        }
        return Ok(());
    }
    let crates = options.words("--crates", "std,tokio,annulus");
    let quick = options.has("--quick") || options.is_empty();
    let bench = Bench {
        name: "process",
        runtimes: crates.into_iter().map(contestant).collect::<Result<Vec<_>, _>>()?,
        baseline: options.text("--baseline").unwrap_or("std"),
        quick,
        rounds: options.number("--rounds", 10)?,
        seed: options.number("--seed", 1)?,
        processor,
        max_steal_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
    };
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("process")).map_err(|error| error.to_string())?;
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
    CONTESTANTS.iter().find(|one| one.name == name).ok_or(format!("no crate {name}"))
}
