//! What the runtime itself costs: spawning, switching, waking, timers, and the memory of what is idle.
//!
//! `cargo bench --bench micro` times every cell; `-- --instructions` counts under callgrind instead, which no drift of
//! the host can blur; `-- --memory` weighs idle tasks and connections. Runtimes take turns within each round and are
//! compared in pairs.

#![allow(clippy::print_stdout, reason = "a bench's output is what it prints")]

mod cells;
mod memory;
#[allow(dead_code, reason = "the echo bench names and describes them")]
mod servers;
mod support;
mod uring;

use std::process::ExitCode;

use cells::{CELLS, CONTESTANTS, Cell, Contestant, Sample};
use memory::WEIGHTS;
use support::options::{Known, Options};
use support::report::{self, Line, Sink};
use support::shuffle::Shuffle;
use support::stats::{Interval, Spread};
use support::{callgrind, cpu};

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
const TRIES: usize = 3;

fn main() -> ExitCode {
    match Options::parse(ABOUT, KNOWN).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(help) = options.help(ABOUT, KNOWN) {
        println!("{help}");
        return Ok(());
    }
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

struct Bench<'a> {
    runtimes: Vec<&'static Contestant>,
    baseline: &'a str,
    quick: bool,
    rounds: u64,
    seed: u64,
    processor: usize,
    max_steal_percent: f64,
}

impl Bench<'_> {
    /// Times a cell in interleaved rounds, prints its table and returns its lines.
    fn time(&self, cell: &Cell) -> Vec<Line> {
        let rounds = if self.quick { 1 } else { self.rounds };
        let mut shuffle = Shuffle::new(self.seed);
        let mut samples: Vec<Vec<Option<Sample>>> =
            self.runtimes.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for index in shuffle.order(self.runtimes.len()) {
                samples[index].push(self.sample(self.runtimes[index], cell));
            }
        }
        println!("\n{} ({})", cell.name, cell.about);
        println!(
            "{:<10}{:>10}{:>8}{:>9}{:>9}{:>11}{:>5}",
            "", "CPU ns", "mad", "min", "max", "wall ns", "n"
        );
        let base = self.runtimes.iter().position(|runtime| runtime.name == self.baseline);
        let mut lines = Vec::new();
        for (runtime, taken) in self.runtimes.iter().zip(&samples) {
            let quotients = base.map(|base| pairs(taken, &samples[base])).unwrap_or_default();
            let interval = Interval::of(&quotients, self.seed);
            lines.push(self.row(runtime, cell, taken, interval));
        }
        lines
    }

    /// The sample with the least steal of up to three; `None` where the runtime lacks the cell.
    fn sample(&self, runtime: &Contestant, cell: &Cell) -> Option<Sample> {
        let run = runtime.cell(cell.name)?;
        let share = if self.quick { 100 } else { 1 };
        let mut best: Option<(f64, Sample)> = None;
        for _ in 0..TRIES {
            let before = cpu::Steal::now(&[self.processor]);
            let sample = run((cell.operations / share).max(1000));
            let steal_percent = cpu::Steal::now(&[self.processor]).percent_since(&before);
            if best.as_ref().is_none_or(|(least, _)| steal_percent < *least) {
                best = Some((steal_percent, sample));
            }
            if steal_percent <= self.max_steal_percent {
                break;
            }
        }
        best.filter(|(steal_percent, _)| *steal_percent <= self.max_steal_percent)
            .map(|(_, sample)| sample)
    }

    fn row(
        &self,
        runtime: &Contestant,
        cell: &Cell,
        taken: &[Option<Sample>],
        interval: Option<Interval>,
    ) -> Line {
        let line = Line::new("micro").text("cell", cell.name).text("runtime", runtime.name);
        let spread = |of: fn(&Sample) -> f64| {
            Spread::of(&taken.iter().flatten().map(of).collect::<Vec<f64>>())
        };
        let (Some(cpu), Some(wall)) = (spread(cpu_ns), spread(wall_ns)) else {
            let absent = runtime.cell(cell.name).is_none();
            let reason = if absent { "does not have this cell" } else { "too much steal" };
            println!("{:<10} SKIP {reason}", runtime.name);
            return line.text("skip", reason);
        };
        print!("{:<10}{:>10.1}{:>8.1}{:>9.1}", runtime.name, cpu.median, cpu.mad, cpu.min);
        print!("{:>9.1}{:>11.1}{:>5}", cpu.max, wall.median, taken.iter().flatten().count());
        let mut line = line.spread("cpu_ns", &cpu).spread("wall_ns", &wall);
        if let Some(interval) = interval {
            print!("  vs {} {}", self.baseline, interval.show());
            line = line.text("baseline", self.baseline).interval("cpu_quotient", &interval);
        }
        for (name, spread) in extras(taken) {
            print!("  {name} {:.1}", spread.median);
            line = line.spread(name, &spread);
        }
        println!();
        line
    }

    /// Counts a cell's instructions, prints them and returns the lines.
    fn count(&self, cell: &Cell) -> Vec<Line> {
        if cell.counted == 0 {
            return Vec::new();
        }
        println!("\n{}: user-space instructions per operation", cell.name);
        let mut lines = Vec::new();
        for runtime in self.runtimes.iter().filter(|runtime| runtime.cell(cell.name).is_some()) {
            let line =
                Line::new("instructions").text("cell", cell.name).text("runtime", runtime.name);
            lines.push(match per_operation(runtime, cell) {
                Ok(count) => {
                    println!("{:<10}{count:>10.1}", runtime.name);
                    line.number("instructions_per_operation", count)
                }
                Err(reason) => {
                    println!("{:<10} SKIP {reason}", runtime.name);
                    line.text("skip", &reason)
                }
            });
        }
        lines
    }
}

/// Runs the cell in two lengths under callgrind; the start of the process cancels out.
fn per_operation(runtime: &Contestant, cell: &Cell) -> Result<f64, String> {
    let count = |operations: u64| {
        let operations = operations.to_string();
        let arguments = ["--run", runtime.name, "--cells", cell.name, "--operations", &operations];
        callgrind::instructions(&arguments.map(String::from), |_| Ok(()))
    };
    let (short, long) = (count(cell.counted)?, count(cell.counted * 3)?);
    Ok((long as f64 - short as f64) / (cell.counted * 2) as f64)
}

fn pairs(ours: &[Option<Sample>], theirs: &[Option<Sample>]) -> Vec<f64> {
    let quotient = |(ours, theirs): (&Option<Sample>, &Option<Sample>)| {
        Some(cpu_ns(ours.as_ref()?) / cpu_ns(theirs.as_ref()?))
    };
    ours.iter().zip(theirs).filter_map(quotient).collect()
}

/// The spread of each figure that only this cell has.
fn extras(taken: &[Option<Sample>]) -> Vec<(&'static str, Spread)> {
    let first = taken.iter().flatten().next().map(|sample| sample.extras.as_slice());
    let names = first.unwrap_or_default().iter().map(|(name, _)| *name);
    let values = |name: &str| -> Vec<f64> {
        let all = taken.iter().flatten().flat_map(|sample| &sample.extras);
        all.filter(|(extra, _)| *extra == name).map(|(_, value)| *value).collect()
    };
    names.filter_map(|name| Some((name, Spread::of(&values(name))?))).collect()
}

fn cpu_ns(sample: &Sample) -> f64 {
    sample.cpu_ns as f64 / sample.operations as f64
}

fn wall_ns(sample: &Sample) -> f64 {
    sample.wall_ns as f64 / sample.operations as f64
}
