//! Rounds of a contest: every contestant runs each cell once a round, in turn, and is compared in pairs.

use super::{Cell, Contestant, Sample};
use crate::support::report::Line;
use crate::support::shuffle::Shuffle;
use crate::support::stats::{Interval, Spread};
use crate::support::{callgrind, cpu};

const TRIES: usize = 3;

pub(crate) struct Bench<'a> {
    pub(crate) name: &'static str,
    pub(crate) runtimes: Vec<&'static Contestant>,
    pub(crate) baseline: &'a str,
    pub(crate) quick: bool,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    pub(crate) processor: usize,
    pub(crate) max_steal_percent: f64,
}

impl Bench<'_> {
    /// Times a cell in interleaved rounds, prints its table and returns its lines.
    pub(crate) fn time(&self, cell: &Cell) -> Vec<Line> {
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
            let interval = |of: fn(&Sample) -> f64| {
                let pairs = base.map(|base| pairs(taken, &samples[base], of)).unwrap_or_default();
                Interval::of(&pairs, self.seed)
            };
            lines.push(self.row(runtime, cell, taken, [interval(cpu_ns), interval(wall_ns)]));
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
        [cpu_quotient, wall_quotient]: [Option<Interval>; 2],
    ) -> Line {
        let line = Line::new(self.name).text("cell", cell.name).text("runtime", runtime.name);
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
        if let Some(interval) = cpu_quotient {
            print!("  vs {} {}", self.baseline, interval.show());
            line = line.text("baseline", self.baseline).interval("cpu_quotient", &interval);
        }
        if let Some(interval) = wall_quotient {
            print!("  wall {}", interval.show());
            line = line.interval("wall_quotient", &interval);
        }
        for (name, spread) in extras(taken) {
            print!("  {name} {:.1}", spread.median);
            line = line.spread(name, &spread);
        }
        println!();
        line
    }

    /// Counts a cell's instructions, prints them and returns the lines.
    pub(crate) fn count(&self, cell: &Cell) -> Vec<Line> {
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
        callgrind::instructions(None, &arguments.map(String::from), |_| Ok(()))
    };
    let (short, long) = (count(cell.counted)?, count(cell.counted * 3)?);
    Ok((long as f64 - short as f64) / (cell.counted * 2) as f64)
}

fn pairs(ours: &[Option<Sample>], theirs: &[Option<Sample>], of: fn(&Sample) -> f64) -> Vec<f64> {
    let quotient = |(ours, theirs): (&Option<Sample>, &Option<Sample>)| {
        Some(of(ours.as_ref()?) / of(theirs.as_ref()?))
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
