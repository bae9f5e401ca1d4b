//! The record as Markdown: an overview, what was lost, and a table for each workload.

use std::fmt::Write;
use std::path::PathBuf;

use super::cells::{Cells, Comparison, INSTRUCTIONS, Row, Verdict, figures};
use crate::record::Record;
use crate::rivals::{COARSE, OWN, RIVALS};
use crate::support::stats::Interval;
use crate::workloads::Workload;

const HEAD: &str = "\
Made by `cargo run --release --manifest-path benches/rivals/Cargo.toml -- report --out RECORD`.

Each sample is a process of its own on one processor, with its load on another. The rounds are interleaved; annulus is
compared with a rival by the quotient of their figures in the same round. Below 1 annulus takes less. **Bold** is a
verdict: the 95 % interval leaves out 1, there are enough pairs, annulus run twice is closer to itself than that,
and the second record, if the report was given one, says the same. Everything else has no verdict, whatever the numbers
look like. CPU is the processor time of the whole process for one operation; beside it stands the same over the load's,
which a slower server makes slower too. Throughput is compared where the load had time to spare.
";

const SCORE: &str = "\
A cell is a figure of a workload. The raw ring and raw epoll are hand-written loops without a runtime: floors. Why
annulus is behind where it is says [COMPARE.md](../COMPARE.md#when-it-is-slower).
";

pub(super) fn page(record: &Record, cells: &Cells, pictures: &[(PathBuf, String)]) -> String {
    let mut text = format!("# annulus beside its rivals\n\n{HEAD}\n{}\n", environment(record));
    let _ = writeln!(text, "## In a minute\n\n{SCORE}\n{}", score(cells));
    let _ = writeln!(text, "## Overview\n\n{}", overview(cells));
    let _ = writeln!(text, "## Where annulus is behind\n\n{}", lost(cells));
    for (path, about) in pictures {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "![{about}]({name})\n");
    }
    for workload in &cells.workloads {
        let _ = writeln!(
            text,
            "## {}: {}\n\n{}",
            workload.name,
            workload.about,
            table(cells, workload)
        );
    }
    text.trim_end().to_owned() + "\n"
}

/// What the runs of the record say of the machine, each distinct answer once.
fn environment(record: &Record) -> String {
    let mut text = String::from("| | |\n| --- | --- |\n");
    let names =
        ["kernel", "processor", "processors", "mitigations", "compiler", "commit", "command"];
    for name in names.into_iter().chain(["maximum_per_s", "versions", "not built"]) {
        let mut said: Vec<String> = Vec::new();
        for run in &record.runs {
            let value = match &run[name] {
                serde_json::Value::Object(pairs) => {
                    let pair = |(name, value): (&String, &serde_json::Value)| {
                        format!("{name} {}", value.as_str().unwrap_or_default())
                    };
                    pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
                }
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => continue,
                value => value.to_string(),
            };
            if !said.contains(&value) && !value.is_empty() && value != "[]" {
                said.push(value);
            }
        }
        if !said.is_empty() {
            let _ = writeln!(
                text,
                "| {} | {} |",
                name.replace("_per_s", " of tokio, per second"),
                said.join(" / ")
            );
        }
    }
    text
}

/// The rivals that annulus is compared with.
fn compared(cells: &Cells) -> Vec<&'static str> {
    RIVALS
        .iter()
        .map(|rival| rival.name)
        .filter(|name| ![OWN, COARSE].contains(name))
        .filter(|name| {
            cells.workloads.iter().any(|one| cells.rows(one.name).any(|row| row.rival == *name))
        })
        .collect()
}

/// A row for each rival: in how many cells annulus is ahead of it, and in which behind.
fn score(cells: &Cells) -> String {
    let mut text = String::from("| rival | ahead | no verdict | behind | in |\n");
    text += "| --- | --- | --- | --- | --- |\n";
    for rival in compared(cells) {
        let (mut ahead, mut none, mut behind) = (0, 0, Vec::new());
        for workload in &cells.workloads {
            let row = cells.row(workload.name, rival);
            for figure in figures(workload) {
                match row.and_then(|row| cells.compare(row, *figure)).map(|it| it.verdict) {
                    Some(Verdict::Ahead) => ahead += 1,
                    Some(Verdict::Behind) => {
                        behind.push(format!("{} {}", workload.name, figure.about));
                    }
                    Some(Verdict::None) => none += 1,
                    None => {}
                }
            }
        }
        let (count, names) = (behind.len(), behind.join(", "));
        let _ = writeln!(text, "| {rival} | {ahead} | {none} | {count} | {names} |");
    }
    text
}

/// A row for each workload, a column for each rival: annulus' figure over the rival's.
pub(super) fn overview(cells: &Cells) -> String {
    let columns = compared(cells);
    let mut text = format!("| workload | figure | {} |\n", columns.join(" | "));
    text += &format!("| --- | --- |{}\n", " --- |".repeat(columns.len()));
    for workload in &cells.workloads {
        for figure in figures(workload) {
            let cell = |name: &&str| {
                let row = cells.row(workload.name, name)?;
                let comparison = cells.compare(row, *figure)?;
                Some(mark(&comparison, format!("{:.2}", comparison.interval.median)))
            };
            let row: Vec<String> =
                columns.iter().map(|name| cell(name).unwrap_or_default()).collect();
            if row.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} |",
                    workload.name,
                    figure.about,
                    row.join(" | ")
                );
            }
        }
    }
    text
}

fn mark(comparison: &Comparison, shown: String) -> String {
    match comparison.verdict {
        Verdict::Ahead => format!("**{shown}**"),
        Verdict::Behind => format!("**{shown} behind**"),
        Verdict::None => shown,
    }
}

fn lost(cells: &Cells) -> String {
    let lost = cells.lost();
    if lost.is_empty() {
        return String::from("Nowhere with a verdict.\n");
    }
    let mut text = String::from(
        "| workload | rival | figure | annulus / rival |\n| --- | --- | --- | --- |\n",
    );
    for (workload, row, figure, comparison) in lost {
        let shown = marked(&comparison);
        let _ = writeln!(text, "| {workload} | {} | {} | {shown} |", row.rival, figure.about);
    }
    text
}

fn marked(comparison: &Comparison) -> String {
    mark(comparison, interval(&comparison.interval))
}

pub(super) fn interval(it: &Interval) -> String {
    format!("{:.2} [{:.2}-{:.2}]", it.median, it.low, it.high)
}

/// A column: its title, the figure, and what to divide it by.
type Column = (&'static str, &'static str, f64);

const COLUMNS: &[Column] = &[
    ("CPU us", "cpu_ns", 1e3),
    ("CPU / load's", "cpu_ratio", 1.0),
    ("1000/s", "per_s", 1e3),
    ("p50 us", "p50_us", 1.0),
    ("p99 us", "p99_us", 1.0),
    ("p99.9 us", "p999_us", 1.0),
    ("p99.99 us", "p9999_us", 1.0),
    ("instructions", INSTRUCTIONS, 1.0),
    ("late p50 us", "late_p50_us", 1.0),
    ("late p99 us", "late_p99_us", 1.0),
    ("bytes each", "bytes_per_connection", 1.0),
    ("busy %", "busy_percent", 1.0),
    ("load busy %", "load_busy_percent", 1.0),
];

fn table(cells: &Cells, workload: &Workload) -> String {
    let rows: Vec<&Row> = cells.rows(workload.name).collect();
    let has = |column: &&Column| rows.iter().any(|row| row.median(column.1).is_some());
    let columns: Vec<&Column> = COLUMNS.iter().filter(has).collect();
    let figures = figures(workload);
    let mut text = String::from("| rival |");
    columns.iter().for_each(|(title, ..)| text += &format!(" {title} |"));
    figures.iter().for_each(|figure| text += &format!(" {} of annulus / its |", figure.about));
    text += " n |\n";
    text += &format!("| --- |{} --- |\n", " --- |".repeat(columns.len() + figures.len()));
    let mut absent = Vec::new();
    for row in rows {
        if row.is_empty() {
            absent.push(row);
            continue;
        }
        let _ = write!(text, "| {} |", row.rival);
        for (_, figure, divisor) in &columns {
            let shown = row.spread(figure).map(|spread| {
                let digits = digits(spread.median / divisor);
                let (middle, mad) = (spread.median / divisor, spread.mad / divisor);
                match *figure {
                    INSTRUCTIONS => format!("{middle:.0}"),
                    _ => format!("{middle:.digits$} ±{mad:.digits$}"),
                }
            });
            let _ = write!(text, " {} |", shown.unwrap_or_default());
        }
        for figure in figures {
            let shown = cells.compare(row, *figure).map(|comparison| marked(&comparison));
            let _ = write!(text, " {} |", shown.unwrap_or_default());
        }
        let failed = row.reason.as_ref().map_or(String::new(), |why| format!(", then: {why}"));
        let _ = writeln!(text, " {}{failed} |", row.count());
    }
    if !absent.is_empty() {
        let why = |row: &&Row| {
            let reason = row.reason.as_deref().unwrap_or_default();
            format!("{} ({reason})", row.rival)
        };
        let absent: Vec<String> = absent.iter().map(why).collect();
        let _ = writeln!(text, "\nCannot, or is measured elsewhere: {}.", absent.join("; "));
    }
    text
}

/// So many digits after the point that three or so are told.
fn digits(value: f64) -> usize {
    match value {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    }
}
