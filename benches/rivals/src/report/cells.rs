//! The samples of a record by workload and rival, compared with annulus in pairs of the same round.
//!
//! A verdict needs more than an interval that leaves out 1. Each round also has annulus a second time; how far those
//! two seem apart is what this machine makes out of nothing, and a difference that is no larger has no verdict.

use crate::record::{Figures, Record};
use crate::rivals::{COARSE, CONTROL, OWN, RIVALS};
use crate::support::stats::{Interval, Spread};
use crate::workloads::{WORKLOADS, Work, Workload};

/// Fewer pairs than these bear no verdict, or only one on a difference above 10 %.
const PAIRS_MIN: usize = 5;
const PAIRS_GOOD: usize = 10;
/// Above this share of its processor the load is what limits both.
const LOAD_BUSY_PERCENT: f64 = 95.0;

pub(super) struct Cells {
    /// The workloads that were measured, in the order of their table.
    pub(super) workloads: Vec<&'static Workload>,
    rows: Vec<Row>,
    seed: u64,
    /// Of another record; a verdict that it does not repeat is none.
    second: Option<Box<Self>>,
}

/// One rival at one workload.
pub(super) struct Row {
    pub(super) workload: &'static str,
    pub(super) rival: &'static str,
    /// By round.
    samples: Vec<(u64, Figures)>,
    /// Of an operation, where they were counted.
    instructions: Option<f64>,
    /// Why there are none, or none any more.
    pub(super) reason: Option<String>,
}

/// What the comparison with a rival says, seen from annulus.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ahead,
    Behind,
    /// The spread swallows the difference.
    None,
}

/// annulus' figure over the rival's, and what it says.
pub(super) struct Comparison {
    pub(super) interval: Interval,
    pub(super) verdict: Verdict,
}

/// A figure in which annulus is compared, and whether more of it is better.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    more_is_better: bool,
}

/// The figure that is counted once, and not in rounds.
pub(super) const INSTRUCTIONS: &str = "instructions";

const CPU: Figure = Figure { name: "cpu_ns", about: "CPU", more_is_better: false };
const RATE: Figure = Figure { name: "per_s", about: "throughput", more_is_better: true };
const P99: Figure = Figure { name: "p99_us", about: "p99", more_is_better: false };
const MEMORY: Figure =
    Figure { name: "bytes_per_connection", about: "memory", more_is_better: false };

/// The figures in which a workload is compared, the first of which is the one of the overview.
pub(super) fn figures(workload: &Workload) -> &'static [Figure] {
    match (&workload.work, workload.name) {
        (_, "idle") => &[MEMORY, CPU],
        (Work::Serve { .. }, _) => &[CPU, RATE],
        (Work::Paced { .. }, _) => &[P99, CPU],
        // Its time is that of the sleeps.
        (Work::Do { .. }, "timer-1k") => &[CPU],
        (Work::Do { .. }, _) => &[CPU, RATE],
    }
}

impl Cells {
    pub(super) fn of(record: &Record, seed: u64) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for workload in WORKLOADS {
            for rival in RIVALS {
                let mine = record
                    .entries
                    .iter()
                    .filter(|entry| entry.workload == workload.name && entry.rival == rival.name);
                let (name, rival) = (workload.name, rival.name);
                let count = record.count(name, rival);
                let mut row = Row {
                    workload: name,
                    rival,
                    samples: Vec::new(),
                    instructions: count,
                    reason: None,
                };
                for entry in mine {
                    match &entry.outcome {
                        Ok(figures) => row.samples.push((entry.round, figures.clone())),
                        Err(reason) => row.reason = Some(reason.clone()),
                    }
                }
                if !row.samples.is_empty() || row.reason.is_some() || count.is_some() {
                    rows.push(row);
                }
            }
        }
        let measured = |workload: &&Workload| rows.iter().any(|row| row.workload == workload.name);
        Self { workloads: WORKLOADS.iter().filter(measured).collect(), rows, seed, second: None }
    }

    /// The same with no verdicts but those that `second` repeats.
    pub(super) fn confirmed_by(self, second: Self) -> Self {
        Self { second: Some(Box::new(second)), ..self }
    }

    /// The rows of a workload, in the order of the rivals, without the second annulus.
    pub(super) fn rows(&self, workload: &str) -> impl Iterator<Item = &Row> {
        let of = move |row: &&Row| row.workload == workload && row.rival != CONTROL;
        self.rows.iter().filter(of)
    }

    pub(super) fn row(&self, workload: &str, rival: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.workload == workload && row.rival == rival)
    }

    /// How annulus compares with a rival; none without pairs, or where the load limits both.
    pub(super) fn compare(&self, row: &Row, figure: Figure) -> Option<Comparison> {
        let own = self.row(row.workload, OWN)?;
        if [OWN, COARSE].contains(&row.rival) {
            return None;
        }
        let busy = |row: &Row| row.median("load_busy_percent").unwrap_or(0.0);
        if figure.more_is_better && busy(own).min(busy(row)) > LOAD_BUSY_PERCENT {
            return None;
        }
        let interval = self.pairs(own, row, figure)?;
        let again = self.row(row.workload, CONTROL);
        let noise = again.and_then(|again| self.pairs(own, again, figure));
        let verdict = match verdict(&interval, noise, figure) {
            seen if self.is_repeated(row, figure, seen) => seen,
            _ => Verdict::None,
        };
        Some(Comparison { interval, verdict })
    }

    /// Whether the second record, if there is one, says the same.
    fn is_repeated(&self, row: &Row, figure: Figure, verdict: Verdict) -> bool {
        let Some(second) = &self.second else { return true };
        let row = second.row(row.workload, row.rival);
        row.and_then(|row| second.compare(row, figure)).is_some_and(|it| it.verdict == verdict)
    }

    /// The quotients of the rounds in which both ran.
    fn pairs(&self, own: &Row, other: &Row, figure: Figure) -> Option<Interval> {
        let quotient = |(round, figures): &(u64, Figures)| {
            let (_, theirs) = other.samples.iter().find(|(their, _)| their == round)?;
            Some(figures.get(figure.name)? / theirs.get(figure.name)?)
        };
        let pairs: Vec<f64> = own.samples.iter().filter_map(quotient).collect();
        Interval::of(&pairs, self.seed)
    }

    /// What annulus lost: workload, rival, figure and comparison.
    pub(super) fn lost(&self) -> Vec<(&'static str, &Row, Figure, Comparison)> {
        let mut lost = Vec::new();
        for workload in &self.workloads {
            for row in self.rows(workload.name) {
                for figure in figures(workload) {
                    let comparison = self.compare(row, *figure);
                    if let Some(comparison) =
                        comparison.filter(|one| one.verdict == Verdict::Behind)
                    {
                        lost.push((workload.name, row, *figure, comparison));
                    }
                }
            }
        }
        lost
    }
}

impl Row {
    pub(super) fn median(&self, figure: &str) -> Option<f64> {
        self.spread(figure).map(|spread| spread.median)
    }

    pub(super) fn spread(&self, figure: &str) -> Option<Spread> {
        if figure == INSTRUCTIONS {
            return Spread::of(&Vec::from_iter(self.instructions));
        }
        let values = self.samples.iter().filter_map(|(_, figures)| figures.get(figure).copied());
        Spread::of(&values.collect::<Vec<f64>>())
    }

    pub(super) fn count(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is anything to show.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.instructions.is_none()
    }
}

/// Whether an interval says anything, beside the noise that the same machine makes of one thing run twice.
fn verdict(interval: &Interval, noise: Option<Interval>, figure: Figure) -> Verdict {
    let away = |quotient: f64| quotient.ln().abs();
    let noise = noise.map_or(f64::INFINITY, |noise| away(noise.low).max(away(noise.high)));
    let spans = interval.low <= 1.0 && 1.0 <= interval.high;
    let few = interval.pairs < PAIRS_MIN;
    let small = interval.pairs < PAIRS_GOOD && (interval.median - 1.0).abs() < 0.1;
    if spans || few || small || away(interval.median) <= noise {
        return Verdict::None;
    }
    match (interval.median > 1.0) == figure.more_is_better {
        true => Verdict::Ahead,
        false => Verdict::Behind,
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTROL, CPU, Cells, OWN, RATE, Row, Verdict, WORKLOADS, verdict};
    use crate::support::stats::Interval;

    fn of(median: f64, low: f64, high: f64, pairs: usize) -> Interval {
        Interval { median, low, high, pairs }
    }

    fn beside_calm(interval: Interval) -> Verdict {
        verdict(&interval, Some(of(1.0, 0.99, 1.01, 20)), CPU)
    }

    #[test]
    fn less_time_is_ahead_and_less_throughput_is_behind() {
        assert!(beside_calm(of(0.8, 0.7, 0.9, 10)) == Verdict::Ahead);
        assert!(beside_calm(of(1.2, 1.1, 1.3, 10)) == Verdict::Behind);
        let calm = Some(of(1.0, 0.99, 1.01, 20));
        assert!(verdict(&of(0.8, 0.7, 0.9, 10), calm, RATE) == Verdict::Behind);
    }

    /// Ten rounds in which annulus takes 1 at the first workload, and tokio so much.
    fn beside_tokio(theirs: f64) -> Cells {
        let row = |rival, value: f64| Row {
            workload: WORKLOADS[0].name,
            rival,
            samples: (0..10).map(|round| (round, [(CPU.name.to_owned(), value)].into())).collect(),
            instructions: None,
            reason: None,
        };
        let rows = vec![row(OWN, 1.0), row(CONTROL, 1.0), row("tokio", theirs)];
        Cells { workloads: vec![&WORKLOADS[0]], rows, seed: 1, second: None }
    }

    #[test]
    fn what_a_second_record_does_not_repeat_says_nothing() {
        let said = |cells: Cells| {
            let row = cells.row(WORKLOADS[0].name, "tokio").expect("it is there");
            cells.compare(row, CPU).expect("there are pairs").verdict
        };
        assert!(said(beside_tokio(2.0)) == Verdict::Ahead);
        assert!(said(beside_tokio(2.0).confirmed_by(beside_tokio(3.0))) == Verdict::Ahead);
        for other in [0.5, 1.0] {
            assert!(said(beside_tokio(2.0).confirmed_by(beside_tokio(other))) == Verdict::None);
        }
    }

    #[test]
    fn an_interval_across_one_says_nothing() {
        assert!(beside_calm(of(0.8, 0.7, 1.01, 20)) == Verdict::None);
    }

    #[test]
    fn few_pairs_say_nothing_or_only_what_is_plain() {
        assert!(beside_calm(of(0.5, 0.4, 0.6, 4)) == Verdict::None);
        assert!(beside_calm(of(0.95, 0.94, 0.96, 9)) == Verdict::None);
        assert!(beside_calm(of(0.95, 0.94, 0.96, 10)) == Verdict::Ahead);
        assert!(beside_calm(of(0.5, 0.4, 0.6, 9)) == Verdict::Ahead);
    }

    #[test]
    fn what_the_noise_makes_too_says_nothing() {
        let interval = of(0.8, 0.7, 0.9, 20);
        assert!(verdict(&interval, Some(of(1.05, 0.9, 1.3, 20)), CPU) == Verdict::None);
        assert!(verdict(&interval, Some(of(1.05, 0.95, 1.1, 20)), CPU) == Verdict::Ahead);
        assert!(verdict(&interval, None, CPU) == Verdict::None);
    }
}
