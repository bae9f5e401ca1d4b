//! Interleaved rounds of one cell, and the comparison of the servers within each round.

use std::io;

use super::Placement;
use crate::load::{Cell, Length, Measured};
use crate::servers::Server;
use crate::support::report::{Line, Sink};
use crate::support::shuffle::Shuffle;
use crate::support::stats::{Interval, Spread};

const TRIES: usize = 3;

pub(crate) struct Plan {
    pub(crate) servers: Vec<&'static Server>,
    /// Whom the others are compared with; each is one of `servers`.
    pub(crate) baselines: Vec<&'static str>,
    pub(crate) rounds: usize,
    pub(crate) length: Length,
    pub(crate) placement: Placement,
    pub(crate) seed: u64,
    /// A sample that lost more than this to the host or to other processes is taken again.
    pub(crate) max_loss_percent: f64,
}

/// One server's samples, by round.
struct Row {
    server: &'static Server,
    samples: Vec<Option<Measured>>,
    /// What the samples that were dropped had lost.
    dropped_percent: Vec<f64>,
    reason: Option<String>,
}

/// A figure of a sample in which two servers are compared.
struct Figure {
    name: &'static str,
    of: fn(&Measured) -> f64,
}

/// Smaller is better in all but the last.
static FIGURES: [Figure; 4] = [
    Figure { name: "cpu_ratio", of: cpu_ratio },
    Figure { name: "server_us", of: server_us },
    Figure { name: "p999_us", of: p999_us },
    Figure { name: "requests_per_s", of: requests_per_s },
];

/// Runs all rounds of a cell, prints its table and writes its lines.
pub(crate) fn cell(plan: &Plan, name: &str, cell: Cell, sink: &mut Sink) -> io::Result<()> {
    let row = |server: &&'static Server| Row {
        server,
        samples: Vec::new(),
        dropped_percent: Vec::new(),
        reason: None,
    };
    let mut rows: Vec<Row> = plan.servers.iter().map(row).collect();
    let mut shuffle = Shuffle::new(plan.seed);
    for round in 0..plan.rounds {
        for index in shuffle.order(rows.len()) {
            let row = &mut rows[index];
            row.take(plan, cell);
            if let Some(Some(sample)) = row.samples.last() {
                sink.write(sample_line(sample, row.server.name, name, round))?;
            }
        }
    }
    print(plan, name, &rows);
    for row in &rows {
        for line in summary_lines(plan, name, row, &rows) {
            sink.write(line)?;
        }
    }
    Ok(())
}

impl Row {
    /// Adds this round's sample: the one that lost least of up to three, or none when even that is of no use.
    fn take(&mut self, plan: &Plan, cell: Cell) {
        let mut best: Option<Measured> = None;
        // A server that cannot run a cell is not asked again.
        let tries = if self.reason.is_none() { TRIES } else { 0 };
        for _ in 0..tries {
            let sample = match super::run(self.server, cell, plan.length, plan.placement, false) {
                Ok(sample) => sample,
                Err(reason) => {
                    self.reason = Some(reason);
                    break;
                }
            };
            let lost_percent = sample.lost_percent();
            if best.as_ref().is_none_or(|best| lost_percent < best.lost_percent()) {
                best = Some(sample);
            }
            if lost_percent <= plan.max_loss_percent {
                break;
            }
            self.dropped_percent.push(lost_percent);
        }
        let good =
            |best: &Measured| best.requests > 0 && best.lost_percent() <= plan.max_loss_percent;
        self.samples.push(best.filter(good));
    }

    /// Why there is nothing to show.
    fn excuse(&self) -> String {
        let least = self.dropped_percent.iter().copied().fold(f64::INFINITY, f64::min);
        self.reason.clone().unwrap_or_else(|| {
            format!("others took {least:.0} % or more of every sample's time, see --max-loss")
        })
    }
}

/// The paired comparison of `row` with `base` in one figure: the quotients of the rounds in which both ran.
fn compare(figure: &Figure, row: &Row, base: &Row, seed: u64) -> Option<Interval> {
    let both = row.samples.iter().zip(&base.samples);
    let quotient = |(ours, theirs): (&Option<Measured>, &Option<Measured>)| {
        Some((figure.of)(ours.as_ref()?) / (figure.of)(theirs.as_ref()?))
    };
    let pairs: Vec<f64> = both.filter_map(quotient).collect();
    Interval::of(&pairs, seed)
}

fn print(plan: &Plan, name: &str, rows: &[Row]) {
    println!("\n{name}");
    print!("{:<14}{:>9}{:>8}{:>8}{:>8}", "server", "req/s", "srv us", "cli us", "srv/cli");
    print!("{:>9}{:>9}{:>9}{:>11}{:>4}", "p50 us", "p99 us", "p99.9 us", "srv%/cli%", "n");
    for base in &plan.baselines {
        let columns = ["srv/cli", "srv us", "p99.9"].map(|figure| format!("{figure} vs {base}"));
        columns.iter().for_each(|column| print!("  {column:<21}"));
    }
    println!();
    for row in rows {
        let taken: Vec<&Measured> = row.samples.iter().flatten().collect();
        let middle = |of: fn(&Measured) -> f64| {
            let values: Vec<f64> = taken.iter().map(|sample| of(sample)).collect();
            Spread::of(&values).map_or(f64::NAN, |spread| spread.median)
        };
        if taken.is_empty() {
            println!("{:<14} SKIP {}", row.server.name, row.excuse());
            continue;
        }
        print!("{:<14}{:>9.0}{:>8.3}", row.server.name, middle(requests_per_s), middle(server_us));
        print!("{:>8.3}{:>8.3}", middle(client_us), middle(cpu_ratio));
        for quantile in [p50_us as fn(&Measured) -> f64, p99_us, p999_us] {
            print!("{:>9.0}", middle(quantile));
        }
        let busy = format!("{:.0}/{:.0}", middle(server_percent), middle(client_percent));
        print!("{busy:>11}{:>4}", taken.len());
        for base in plan.baselines.iter().filter_map(|name| named(rows, name)) {
            for figure in &FIGURES[..3] {
                let shown = compare(figure, row, base, plan.seed).map(|interval| interval.show());
                print!("  {:<21}", shown.unwrap_or_default());
            }
        }
        // A server that failed in a later round shows what it did before, and that it failed.
        println!("{}", row.reason.as_ref().map_or(String::new(), |why| format!("  FAILED {why}")));
    }
}

fn named<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.server.name == name)
}

fn sample_line(sample: &Measured, server: &str, cell: &str, round: usize) -> Line {
    Line::new("sample")
        .text("cell", cell)
        .text("server", server)
        .number("round", round as f64)
        .number("requests", sample.requests as f64)
        .number("wall_ns", sample.wall_ns as f64)
        .number("server_cpu_ns", sample.server_cpu_ns as f64)
        .number("client_cpu_ns", sample.client_cpu_ns as f64)
        .number("other_cpu_ns", sample.other_cpu_ns as f64)
        .number("server_waited_ns", sample.server_waited_ns as f64)
        .number("client_waited_ns", sample.client_waited_ns as f64)
        .number("steal_percent", sample.steal_percent)
        .number("p50_us", p50_us(sample))
        .number("p99_us", p99_us(sample))
        .number("p999_us", p999_us(sample))
        .number("max_us", quantile_us(sample, 1.0))
}

/// One line for the row itself and one for each comparison with a baseline.
fn summary_lines(plan: &Plan, cell: &str, row: &Row, rows: &[Row]) -> Vec<Line> {
    let head = |kind: &str| Line::new(kind).text("cell", cell).text("server", row.server.name);
    let mut line = head("summary");
    for figure in &FIGURES {
        let values: Vec<f64> = row.samples.iter().flatten().map(figure.of).collect();
        if let Some(spread) = Spread::of(&values) {
            line = line.spread(figure.name, &spread);
        }
    }
    line = line.number("dropped", row.dropped_percent.len() as f64);
    if let Some(reason) = &row.reason {
        line = line.text("skip", reason);
    }
    let mut lines = vec![line];
    for base in plan.baselines.iter().filter_map(|name| named(rows, name)) {
        let mut line = head("pairs").text("baseline", base.server.name);
        for figure in &FIGURES {
            if let Some(interval) = compare(figure, row, base, plan.seed) {
                line = line.interval(figure.name, &interval);
            }
        }
        lines.push(line);
    }
    lines
}

fn requests_per_s(sample: &Measured) -> f64 {
    sample.requests as f64 * 1e9 / sample.wall_ns as f64
}

fn server_us(sample: &Measured) -> f64 {
    sample.server_cpu_ns as f64 / 1e3 / sample.requests as f64
}

fn client_us(sample: &Measured) -> f64 {
    sample.client_cpu_ns as f64 / 1e3 / sample.requests as f64
}

/// The server's processor time per request over the client's: the host's drift slows both alike.
fn cpu_ratio(sample: &Measured) -> f64 {
    sample.server_cpu_ns as f64 / sample.client_cpu_ns as f64
}

fn server_percent(sample: &Measured) -> f64 {
    100.0 * sample.server_cpu_ns as f64 / sample.wall_ns as f64
}

fn client_percent(sample: &Measured) -> f64 {
    100.0 * sample.client_cpu_ns as f64 / sample.wall_ns as f64
}

fn p50_us(sample: &Measured) -> f64 {
    quantile_us(sample, 0.5)
}

fn p99_us(sample: &Measured) -> f64 {
    quantile_us(sample, 0.99)
}

fn p999_us(sample: &Measured) -> f64 {
    quantile_us(sample, 0.999)
}

fn quantile_us(sample: &Measured, quantile: f64) -> f64 {
    sample.latencies_ns.value_at_quantile(quantile) as f64 / 1e3
}
