//! annulus beside the bare ring, bare epoll, tokio, every runtime on io_uring and Python's loops, on the same work.
//!
//! `cargo run --release --manifest-path benches/rivals/Cargo.toml -- --quick` measures all within ten minutes,
//! `-- report` makes tables and pictures of what was measured, `-- --help` lists the rest.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod child;
#[path = "../../contest/mod.rs"]
#[allow(dead_code, reason = "its rounds are of one process; these are of many")]
mod contest;
mod counts;
mod disk_jobs;
#[allow(dead_code, reason = "a build may have only rivals with a server of their own")]
mod fan;
#[path = "../../files/mod.rs"]
#[allow(dead_code, reason = "its cells on annulus and tokio are written for every runtime here")]
mod files;
#[path = "../../cells/futures.rs"]
#[allow(dead_code, reason = "the micro bench awaits more of them")]
mod futures;
#[path = "../../crossing/game.rs"]
mod game;
mod jobs;
#[path = "../../load/mod.rs"]
#[allow(dead_code, reason = "the echo bench counts system calls and instructions too")]
mod load;
mod loads;
mod record;
mod report;
mod rival;
mod rivals;
mod rounds;
#[path = "../../servers/mod.rs"]
#[allow(dead_code, reason = "the table is the echo bench's")]
mod servers;
#[path = "../../sockets/mod.rs"]
#[allow(dead_code, reason = "only the bare ring's is used here")]
mod sockets;
#[path = "../../support/mod.rs"]
#[allow(dead_code, reason = "the other benches use the rest")]
mod support;
#[path = "../../uring/mod.rs"]
#[allow(dead_code, reason = "the mesh bench sends messages to rings")]
mod uring;
mod workloads;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rivals::RIVALS;
use rounds::Plan;
use support::options::{Known, Options};
use workloads::WORKLOADS;

const ABOUT: &str =
    "annulus beside its rivals. `report` first makes tables and pictures of a record.";

const KNOWN: &[Known] = &[
    ("report", None, "make Markdown tables and SVG pictures of --out, do not measure"),
    ("--second", Some("FILE"), "with report: no verdict but those that this record repeats"),
    ("--quick", None, "6 rounds of 80 ms; about 10 minutes for all"),
    ("--full", None, "10 rounds of 200 ms, twice as many of half load; about 20 minutes for all"),
    ("--workload", Some("A,B"), "only these; --list names them"),
    ("--rival", Some("A,B"), "only these, and annulus"),
    ("--rounds", Some("N"), "samples of each cell"),
    ("--window-ms", Some("N"), "length of a sample after a warm-up of half that"),
    ("--seed", Some("N"), "of the order and the bootstrap (1)"),
    ("--max-loss", Some("N"), "take a sample again of which others took more percent (12)"),
    ("--out", Some("FILE"), "the record (bench-results/rivals.jsonl)"),
    ("--instructions", None, "count instructions under valgrind instead, and add them to --out"),
    ("--resume", None, "go on with the record: take what it does not have"),
    ("--list", None, "name workloads and rivals"),
    ("--help", None, "this text"),
    ("--serve", Some("RIVAL"), "be a server (used by every sample)"),
    ("--server", Some("NAME"), "which, with --serve"),
    ("--buffer", Some("N"), "bytes of its buffers, with --serve"),
    ("--processor", Some("N"), "where it runs, with --serve"),
    ("--ends", Some("1"), "end when somebody connects to a second address, with --serve"),
    ("--job", Some("RIVAL"), "do a job (used by every sample)"),
    ("--name", Some("NAME"), "which, with --job"),
    ("--operations", Some("N"), "how often, with --job"),
];

fn main() -> ExitCode {
    Options::run(ABOUT, KNOWN, run)
}

fn run(options: &Options) -> Result<(), String> {
    files::share(std::env::temp_dir().join("annulus-rivals"));
    let number = |name, default: u64| options.number(name, default);
    if options.has("--serve") || options.has("--job") {
        child::end_with_a_panic();
    }
    if let Some(name) = options.text("--serve") {
        let server = options.text("--server").unwrap_or_default();
        let (buffer, processor) = (number("--buffer", 16384)?, number("--processor", 0)?);
        let rival = rivals::named(name)?;
        if options.has("--ends") {
            child::end_when_asked().map_err(last)?;
        }
        return child::serve(rival, server, buffer as usize, processor as usize).map_err(last);
    }
    if let Some(name) = options.text("--job") {
        let job = options.text("--name").unwrap_or_default();
        return child::run(rivals::named(name)?, job, number("--operations", 1000)?).map_err(last);
    }
    if options.has("--list") {
        WORKLOADS.iter().for_each(|one| println!("{:<16}{}", one.name, one.about));
        println!();
        RIVALS.iter().for_each(|one| println!("{:<16}{}", one.name, one.about));
        return Ok(());
    }
    let out = PathBuf::from(options.text("--out").unwrap_or("bench-results/rivals.jsonl"));
    let seed = number("--seed", 1)?;
    if options.has("report") {
        return report::make(&out, options.text("--second").map(Path::new), seed);
    }
    let plan = plan(options, out)?;
    match options.has("--instructions") {
        true => plan.count()?,
        false => plan.run()?,
    }
    report::make(&plan.out, None, plan.seed)
}

/// What a child says last.
fn last(error: std::io::Error) -> String {
    eprintln!("{error}");
    error.to_string()
}

fn plan(options: &Options, out: PathBuf) -> Result<Plan, String> {
    let all: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
    let all = all.join(",");
    let names = options.words("--workload", &all);
    let chosen = options.words("--rival", "");
    let compared = |name: &str| {
        chosen.is_empty()
            || chosen.contains(&name)
            || name == rivals::OWN
            || [rivals::CONTROL, rivals::COARSE].contains(&name)
    };
    for name in &chosen {
        rivals::named(name)?;
    }
    let full = options.has("--full");
    Ok(Plan {
        rivals: RIVALS.iter().copied().filter(|rival| compared(rival.name)).collect(),
        workloads: names.into_iter().map(workloads::named).collect::<Result<_, _>>()?,
        rounds: options.number("--rounds", if full { 10 } else { 6 })?,
        window_ms: options.number("--window-ms", if full { 200 } else { 80 })?,
        seed: options.number("--seed", 1)?,
        max_loss_percent: options.number("--max-loss", 12)? as f64,
        out,
        resume: options.has("--resume"),
    })
}
