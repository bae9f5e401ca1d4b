//! The record as SVG: bars of throughput and of processor time, latencies, and what more connections do.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::cells::{Cells, Row};
use crate::rivals::OWN;

type Plane<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), String>;

const WIDTH: u32 = 960;
const FONT: &str = "sans-serif";
/// The bars' workloads.
const BARS: &[&str] = &[
    "echo-64",
    "echo-64-1k",
    "bulk",
    "pipelined",
    "churn",
    "churn-256",
    "udp",
    "fan-64",
    "fan-1000",
    "spawn",
    "switch",
    "timer-cancel",
];
const MORE_BARS: &[&str] = &[
    "mutex",
    "mpsc",
    "cross-channel",
    "cross-wake",
    "read-d1",
    "read-d32",
    "read-d128",
    "read-cold",
    "direct-d1",
    "direct-d32",
    "direct-d128",
    "append-1",
    "append-32",
    "small-files",
    "metadata",
    "idle",
];
const SCALING: Axis<'_> = Axis {
    about: "connections",
    places: &[("echo-1", "1"), ("echo-64", "64"), ("echo-512", "512"), ("echo-4096", "4096")],
};
const LOADS: Axis<'_> = Axis {
    about: "percent of tokio's maximum",
    places: &[("open-25", "25"), ("open-50", "50"), ("open-75", "75")],
};
const QUANTILES: Axis<'_> = Axis {
    about: "quantile",
    places: &[
        ("p50_us", "p50"),
        ("p90_us", "p90"),
        ("p99_us", "p99"),
        ("p999_us", "p99.9"),
        ("p9999_us", "p99.99"),
    ],
};
/// Far slower than all others: their bars are cut, so that the others can be told apart.
const CUT: &[&str] = &["asyncio", "uvloop"];

/// What lies on the horizontal axis: for each place a name in the record and a label.
struct Axis<'a> {
    about: &'static str,
    places: &'a [(&'static str, &'static str)],
}

/// Draws what the record has samples for; returns the files and what they show.
pub(super) fn draw(
    cells: &Cells,
    path: impl Fn(&str) -> PathBuf,
) -> Result<Vec<(PathBuf, String)>, String> {
    let mut drawn = Vec::new();
    let mut add = |what: &str, about: &str, draw: &dyn Fn(&Path) -> Drawn| {
        let path = path(what);
        draw(&path)?;
        drawn.push((path, about.to_owned()));
        Ok::<_, String>(())
    };
    let all: Vec<&str> = BARS.iter().chain(MORE_BARS).copied().collect();
    let measured = |names: &[&'static str]| -> Vec<&'static str> {
        let has = |name: &&str| cells.workloads.iter().any(|one| one.name == *name);
        names.iter().copied().filter(has).collect()
    };
    let shown = measured(&all);
    if !shown.is_empty() {
        let cpu = "Processor time of an operation, shorter is better";
        add("cpu", cpu, &|path| bars(cells, path, cpu, &shown, ("cpu_ns", 1e3, "us")))?;
        let rate = "Operations a second on one core, longer is better";
        add("throughput", rate, &|path| bars(cells, path, rate, &shown, ("per_s", 1e3, "k/s")))?;
    }
    if measured(&["echo-1", "echo-64", "echo-512", "echo-4096"]).len() == 4 {
        let about = "Echo of 64 B on one core: thousands of requests a second";
        let point = |name: &str, row: &Row| {
            Some((name == row.workload).then(|| row.median("per_s"))?? / 1e3)
        };
        add("scaling", about, &|path| {
            lines(path, about, &SCALING, false, &found(cells, &SCALING, point))
        })?;
    }
    if measured(&["open-25", "open-50", "open-75"]).len() == 3 {
        let about = "Latency at half of tokio's maximum, 64 connections, open loop: us";
        let point =
            |name: &str, row: &Row| (row.workload == "open-50").then(|| row.median(name)).flatten();
        add("latency", about, &|path| {
            lines(path, about, &QUANTILES, true, &found(cells, &QUANTILES, point))
        })?;
        let about = "p99 latency of an open loop, 64 connections: us";
        let point =
            |name: &str, row: &Row| (name == row.workload).then(|| row.median("p99_us")).flatten();
        add("load", about, &|path| lines(path, about, &LOADS, true, &found(cells, &LOADS, point)))?;
    }
    Ok(drawn)
}

/// A line for a rival: its name and its points.
type Line = (&'static str, Vec<(f64, f64)>);

/// What `point` finds for each place of the axis in the rows.
fn found(cells: &Cells, axis: &Axis<'_>, point: impl Fn(&str, &Row) -> Option<f64>) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    for (index, (name, _)) in axis.places.iter().enumerate() {
        for row in cells.workloads.iter().flat_map(|workload| cells.rows(workload.name)) {
            let Some(value) = point(name, row) else { continue };
            let place = (index as f64, value);
            match found.iter_mut().find(|(rival, _)| *rival == row.rival) {
                Some((_, points)) => points.push(place),
                None => found.push((row.rival, vec![place])),
            }
        }
    }
    found
}

/// annulus is red, the floors are grey, the others have a colour each.
fn colour(rival: &str) -> RGBColor {
    const PALETTE: &[(&str, RGBColor)] = &[
        (OWN, RGBColor(200, 30, 30)),
        ("raw ring", RGBColor(90, 90, 90)),
        ("raw epoll", RGBColor(150, 150, 150)),
        ("tokio", RGBColor(30, 90, 180)),
        ("tokio multi", RGBColor(110, 160, 220)),
        ("monoio", RGBColor(20, 140, 90)),
        ("glommio", RGBColor(150, 110, 20)),
        ("compio", RGBColor(120, 60, 160)),
        ("kimojio", RGBColor(20, 150, 170)),
        ("tokio-uring", RGBColor(220, 130, 40)),
        ("smol", RGBColor(190, 80, 140)),
        ("asyncio", RGBColor(110, 120, 60)),
        ("uvloop", RGBColor(170, 180, 70)),
    ];
    PALETTE.iter().find(|(name, _)| *name == rival).map_or(BLACK, |(_, colour)| *colour)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn write(plane: &Plane<'_>, words: &str, size: i32, at: (i32, i32)) -> Drawn {
    let style = (FONT, size).into_font().color(&BLACK);
    plane.draw(&Text::new(words.to_owned(), at, style)).map_err(text)
}

/// The bars of one workload: a rival and its value.
type Panel<'a> = (&'a str, Vec<(&'static str, f64)>);

/// A panel of horizontal bars for each workload, three in a row.
fn bars(
    cells: &Cells,
    path: &Path,
    title: &str,
    workloads: &[&str],
    (figure, divisor, unit): (&str, f64, &str),
) -> Drawn {
    let panel = |name| {
        let bar = |row: &Row| Some((row.rival, row.median(figure)? / divisor));
        (name, cells.rows(name).filter_map(bar).collect())
    };
    let panels: Vec<Panel<'_>> = workloads.iter().map(|name| panel(*name)).collect();
    let height = |panels: &[Panel<'_>]| {
        let longest = panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0);
        longest as i32 * BAR + 44
    };
    let all = panels.chunks(COLUMNS).map(height).sum::<i32>() + 40;
    let root = SVGBackend::new(path, (WIDTH, all as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    write(&root, title, 18, (12, 10))?;
    let mut top = 40;
    for row in panels.chunks(COLUMNS) {
        for (column, (name, bars)) in row.iter().enumerate() {
            let left = column as i32 * PANEL + 12;
            write(&root, &format!("{name}, {unit}"), 14, (left, top))?;
            draw_panel(&root, bars, (left, top + 20))?;
        }
        top += height(row);
    }
    root.present().map_err(text)
}

const BAR: i32 = 16;
const COLUMNS: usize = 3;
const PANEL: i32 = WIDTH as i32 / COLUMNS as i32;
/// The longest bar.
const LENGTH: f64 = PANEL as f64 - 150.0;

fn draw_panel(root: &Plane<'_>, bars: &[(&'static str, f64)], (left, top): (i32, i32)) -> Drawn {
    let whole = bars.iter().filter(|(rival, _)| !CUT.contains(rival));
    let most = whole.map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    for (index, (rival, value)) in bars.iter().enumerate() {
        let (start, y) = (left + 76, top + index as i32 * BAR);
        write(root, rival, 11, (left, y))?;
        let end = start + ((value / most).min(1.0) * LENGTH) as i32;
        let corners = [(start, y), (end.max(start + 1), y + BAR - 4)];
        root.draw(&Rectangle::new(corners, colour(rival).filled())).map_err(text)?;
        let cut = if *value > most { " (cut)" } else { "" };
        write(root, &(short(*value) + cut), 11, (end + 4, y))?;
    }
    Ok(())
}

fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// One chart with a line for each rival, its names at the right; the values on a logarithmic axis or from 0 on.
fn lines(path: &Path, title: &str, axis: &Axis<'_>, logarithmic: bool, found: &[Line]) -> Drawn {
    let shown = |value: f64| if logarithmic { value.log10() } else { value };
    let values = || found.iter().flat_map(|(_, points)| points).map(|(_, value)| shown(*value));
    let least = if logarithmic { values().fold(f64::INFINITY, f64::min) } else { 0.0 };
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    let root = SVGBackend::new(path, (WIDTH, 480)).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    let (plane, legend) = root.split_horizontally(WIDTH - 140);
    let mut chart = ChartBuilder::on(&plane)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..axis.places.len() as f64 - 1.0, least.floor()..most * 1.02)
        .map_err(text)?;
    let place = |at: &f64| match axis.places.get(at.round() as usize) {
        Some((_, label)) if (at - at.round()).abs() < 0.01 => (*label).to_owned(),
        _ => String::new(),
    };
    let value =
        |value: &f64| format!("{:.0}", if logarithmic { 10f64.powf(*value) } else { *value });
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.15));
    mesh.x_desc(axis.about).x_label_formatter(&place).y_label_formatter(&value);
    mesh.x_labels(axis.places.len() * 2).draw().map_err(text)?;
    for (index, (rival, points)) in found.iter().enumerate() {
        let style = colour(rival).stroke_width(if *rival == OWN { 3 } else { 1 });
        let points = points.iter().map(|(at, value)| (*at, shown(*value)));
        chart.draw_series(LineSeries::new(points, style)).map_err(text)?;
        let y = 48 + index as i32 * 18;
        let mark = Rectangle::new([(4, y + 3), (18, y + 9)], colour(rival).filled());
        legend.draw(&mark).map_err(text)?;
        write(&legend, rival, 12, (24, y))?;
    }
    root.present().map_err(text)
}
