//! What files cost: reads out of the page cache, small files, metadata, streams of megabytes.
//!
//! `cargo bench --bench file` times every cell; `-- --instructions` counts under callgrind instead. `raw` is a loop on
//! the bare ring, with one descriptor and as many buffers as operations are under way; `tokio` reads and writes by
//! `pread` and `pwrite` on its pool of blocking threads, which is its cheapest way, and uses `tokio::fs` for the rest.
//!
//! All files lie in the page cache, but for those of the `direct` and `durable` cells, which are read and written past
//! it: `raw` uses registered buffers there as annulus does, and `pwrite` on a file open with `O_DSYNC`. Processor
//! time is that of the whole process, with the threads of the kernel that work for it.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod contest;
mod files;
mod support;
#[allow(dead_code, reason = "the echo bench uses all of it")]
mod uring;

use std::process::ExitCode;

use contest::rounds::Bench;
use contest::{Cell, Contestant};
use files::{CELLS, CONTESTANTS};
use support::cpu;
use support::options::{Known, Options};
use support::report::{self, Sink};

const ABOUT: &str = "What reads and writes of files cost, against the bare ring and tokio.";

const KNOWN: &[Known] = &[
    ("--runtimes", Some("A,B"), "which runtimes (raw,tokio,annulus)"),
    ("--baseline", Some("A"), "whom to compare with (raw)"),
    ("--cells", Some("C,D"), "which cells (all; --list names them)"),
    ("--rounds", Some("N"), "samples of each runtime in each cell (10)"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "retake samples of which the host stole more percent (12)"),
    ("--folder", Some("DIR"), "where the files are made (the target directory)"),
    ("--out", Some("FILE"), "append samples and summaries as JSON lines"),
    ("--quick", None, "a smoke test: one round, a hundredth of the work; so is no argument"),
    ("--instructions", None, "count user-space instructions per operation under callgrind"),
    ("--run", Some("RUNTIME"), "run one cell once and say nothing (used by --instructions)"),
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
    files::place(options.text("--folder"));
    let all: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    let all = all.join(",");
    let names = options.words("--cells", &all).into_iter();
    let chosen = names.map(cell).collect::<Result<Vec<_>, _>>()?;
    let processor = *cpu::allowed().first().ok_or("no processor is allowed")?;
    cpu::pin_to(processor).map_err(|error| error.to_string())?;
    if let Some(name) = options.text("--run") {
        let operations = options.number("--operations", 1000)?;
        let ran = once(contestant(name)?, &chosen, operations);
        files::clear();
        return ran;
    }
    let runtimes = options.words("--runtimes", "raw,tokio,annulus");
    let quick = options.has("--quick") || options.is_empty();
    let bench = Bench {
        name: "file",
        runtimes: runtimes.into_iter().map(contestant).collect::<Result<Vec<_>, _>>()?,
        baseline: options.text("--baseline").unwrap_or("raw"),
        quick,
        rounds: options.number("--rounds", 10)?,
        seed: options.number("--seed", 1)?,
        processor,
        max_steal_percent: options.number("--max-loss", if quick { 100 } else { 12 })? as f64,
    };
    let mut sink = Sink::open(options.text("--out")).map_err(|error| error.to_string())?;
    sink.write(report::environment("file")).map_err(|error| error.to_string())?;
    for cell in chosen {
        let lines =
            if options.has("--instructions") { bench.count(cell) } else { bench.time(cell) };
        for line in lines {
            sink.write(line).map_err(|error| error.to_string())?;
        }
    }
    files::clear();
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
