//! What the runtime itself costs: spawning, switching, waking, timers, and the memory of what is idle.
//!
//! `cargo bench --bench micro` times every cell; `-- --instructions` counts under callgrind instead, which no drift of
//! the host can blur; `-- --memory` weighs idle tasks and connections. Runtimes take turns within each round and are
//! compared in pairs.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod cells;
mod contest;
mod memory;
#[allow(dead_code, reason = "the echo bench names and describes them")]
mod servers;
mod support;
mod uring;

use std::process::ExitCode;

use cells::{CELLS, CONTESTANTS, Cell, Contestant};
use contest::rounds::Bench;
use memory::WEIGHTS;
use support::cpu;
use support::options::{Known, Options};
use support::report::{self, Sink};

const ABOUT: &str = "What spawning, switching, waking and timers cost, per operation.";

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
    ("--memory", None, "weigh idle tasks and connections instead"),
    ("--weigh", Some("CELL"), "weigh one for --run and print the figures (used by --memory)"),
    ("--run", Some("RUNTIME"), "run one cell once and say nothing (used by --instructions)"),
    ("--operations", Some("N"), "how often, with --run"),
    ("--list", None, "name the cells"),
    ("--help", None, "this text"),
    ("--bench", None, "ignored; cargo passes it"),
];

const RUNTIMES: &str = "floor,tokio,annulus";

fn main() -> ExitCode {
    Options::run(ABOUT, KNOWN, run)
}

fn run(options: &Options) -> Result<(), String> {
    if options.has("--list") {
        CELLS.iter().for_each(|cell| println!("{:<22}{}", cell.name, cell.about));
        WEIGHTS.iter().for_each(|weight| println!("{:<22}--memory: {}", weight.name, weight.about));
        return Ok(());
    }
    if let (Some(weight), Some(runtime)) = (options.text("--weigh"), options.text("--run")) {
        return memory::weigh_here(weight, runtime);
    }
    if options.has("--memory") {
        return weigh(options);
    }
    let all: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    let all = all.join(",");
    let chosen: Vec<&Cell> = options
        .words("--cells", &all)
        .into_iter()
        .map(|name| CELLS.iter().find(|cell| cell.name == name).ok_or(format!("no cell {name}")))
        .collect::<Result<_, _>>()?;
    let processor = *cpu::allowed().first().ok_or("no processor is allowed")?;
    cpu::pin_to(processor).map_err(|error| error.to_string())?;
    if let Some(name) = options.text("--run") {
        return once(contestant(name)?, &chosen, options.number("--operations", 1000)?);
    }
    let runtimes = options.words("--runtimes", RUNTIMES);
    let runtimes = runtimes.into_iter().map(contestant).collect::<Result<Vec<_>, _>>()?;
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("micro")).map_err(|error| error.to_string())?;
    let quick = options.has("--quick") || options.is_empty();
    let bench = Bench {
        name: "micro",
        runtimes,
        baseline: options.text("--baseline").unwrap_or("tokio"),
        quick,
        rounds: options.number("--rounds", 10)?,
        seed: options.number("--seed", 1)?,
        processor,
        max_steal_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
    };
    for cell in chosen {
        let lines =
            if options.has("--instructions") { bench.count(cell) } else { bench.time(cell) };
        for line in lines {
            sink.write(line).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Weighs each of the idle things, or those of `--cells`.
fn weigh(options: &Options) -> Result<(), String> {
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("micro")).map_err(|error| error.to_string())?;
    let runtimes = options.words("--runtimes", RUNTIMES);
    let chosen = options.text("--cells").map(|_| options.words("--cells", ""));
    let chosen = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen.contains(&name));
    for weight in WEIGHTS.iter().filter(|weight| chosen(weight.name)) {
        for line in memory::weigh(weight, &runtimes) {
            sink.write(line).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn contestant(name: &str) -> Result<&'static Contestant, String> {
    CONTESTANTS.iter().find(|runtime| runtime.name == name).ok_or(format!("no runtime {name}"))
}

fn once(runtime: &Contestant, cells: &[&Cell], operations: u64) -> Result<(), String> {
    for cell in cells {
        runtime.cell(cell.name).ok_or(format!("{} has no {}", runtime.name, cell.name))?(
            operations,
        );
    }
    Ok(())
}
