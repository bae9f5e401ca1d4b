//! JSON lines, written by hand because a record is a flat list of names and values.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use super::stats::{Interval, Spread};

/// Where the lines go: the file named by `--out`, or nowhere.
pub(crate) struct Sink {
    file: Option<File>,
}

/// One line in the making.
pub(crate) struct Line {
    text: String,
}

impl Sink {
    pub(crate) fn open(path: Option<&str>) -> io::Result<Self> {
        let open = |path: &str| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: path.map(open).transpose()? })
    }

    pub(crate) fn write(&mut self, line: Line) -> io::Result<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{}}}", line.text),
            None => Ok(()),
        }
    }
}

impl Line {
    pub(crate) fn new(kind: &str) -> Self {
        Self { text: String::from("{") }.text("kind", kind)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        let clean: String = value.chars().filter(|c| !c.is_control() && *c != '"').collect();
        self.name(name);
        self.text += &format!("\"{}\"", clean.replace('\\', "/"));
        self
    }

    pub(crate) fn number(mut self, name: &str, value: f64) -> Self {
        self.name(name);
        self.text += &if value.is_finite() { format!("{value}") } else { String::from("null") };
        self
    }

    /// Each of the spread's figures, as `name`, `name_mad`, `name_min`, `name_max`.
    pub(crate) fn spread(self, name: &str, spread: &Spread) -> Self {
        self.number(name, spread.median)
            .number(&format!("{name}_mad"), spread.mad)
            .number(&format!("{name}_min"), spread.min)
            .number(&format!("{name}_max"), spread.max)
    }

    /// Each of the interval's figures, as `name`, `name_low`, `name_high`, `name_pairs`.
    pub(crate) fn interval(self, name: &str, interval: &Interval) -> Self {
        self.number(name, interval.median)
            .number(&format!("{name}_low"), interval.low)
            .number(&format!("{name}_high"), interval.high)
            .number(&format!("{name}_pairs"), interval.pairs as f64)
    }

    fn name(&mut self, name: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        self.text += &format!("{comma}\"{name}\":");
    }
}

/// What a reader must know of the machine: the kernel, the processor, the date and the arguments.
pub(crate) fn environment(bench: &str) -> Line {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(line.clone(), |(_, value)| value.trim().to_owned())
    };
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Line::new("environment")
        .text("bench", bench)
        .text("kernel", &first("/proc/sys/kernel/osrelease", ""))
        .text("processor", &first("/proc/cpuinfo", "model name"))
        .number("processors", std::thread::available_parallelism().map_or(0, usize::from) as f64)
        .number("unix_time_s", seconds as f64)
        .text("arguments", &arguments.join(" "))
}
