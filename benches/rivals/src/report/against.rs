//! Two records beside each other: whether a second run reproduces the verdicts of the first.

use std::fmt::Write;

use super::cells::{Cells, Comparison, Verdict, figures};
use super::tables::interval;

/// A line for each verdict that is not the same in both, and how many are.
pub(super) fn text(one: &Cells, two: &Cells) -> String {
    let (mut same, mut text, mut lost, mut turned) = (0, String::new(), 0, 0);
    for workload in &one.workloads {
        for row in one.rows(workload.name) {
            for figure in figures(workload) {
                let first = one.compare(row, *figure);
                let second =
                    two.row(workload.name, row.rival).and_then(|row| two.compare(row, *figure));
                let (Some(first), Some(second)) = (first, second) else { continue };
                match (first.verdict, second.verdict) {
                    (one, two) if one == two => {
                        same += 1;
                        continue;
                    }
                    (Verdict::None, _) | (_, Verdict::None) => lost += 1,
                    _ => turned += 1,
                }
                let _ = writeln!(
                    text,
                    "{:<16}{:<14}{:<12}{:<32}{}",
                    workload.name,
                    row.rival,
                    figure.about,
                    said(&first),
                    said(&second)
                );
            }
        }
    }
    let _ =
        writeln!(text, "{same} alike, {lost} with a verdict in one only, {turned} turned round");
    text
}

fn said(comparison: &Comparison) -> String {
    let verdict = match comparison.verdict {
        Verdict::Ahead => "ahead",
        Verdict::Behind => "behind",
        Verdict::None => "none",
    };
    format!("{verdict} {}", interval(&comparison.interval))
}
