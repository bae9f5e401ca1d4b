//! A durable log under load: many tasks append, and all that waits is written at once.
//!
//! `cargo run --release --example wal` appends for two seconds to a log in a directory that it removes again, and
//! prints what came of it; `-- --dir DIR` keeps the log, and goes on with one that is there; `-- --verify DIR` reads
//! one and says where it ends; `-- --help` says all. `log` is the log itself, and says how it is made.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

mod log;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::{fs, spawn};
use hdrhistogram::Histogram;

use log::recovery::{Recovered, recover};
use log::writer::Totals;
use log::{Log, Settings};

const HELP: &str = "\
A durable log: appends of many tasks, written together.

Usage: wal [OPTIONS]

  --dir DIR           where the log is; it is kept (a temporary directory, which is not)
  --appenders N       tasks that append, each when its last record is there (32)
  --size N            bytes of a record's payload (100)
  --segment N         MiB of a segment (4)
  --buffered          write through the page cache also where there is direct I/O
  --seconds S         time of the load (2)
  --verify DIR        only read the log in this directory
  --help              this text";

struct Options {
    dir: Option<PathBuf>,
    verify: Option<PathBuf>,
    appenders: usize,
    size: usize,
    settings: Settings,
    time: Duration,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("{text}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match annulus::run(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> io::Result<()> {
    if let Some(dir) = &options.verify {
        let recovered = recover(dir, |_, _| {}).await?;
        return tell(&recovered);
    }
    let kept = options.dir.is_some();
    let temporary = || std::env::temp_dir().join(format!("annulus-wal-{}", std::process::id()));
    let dir = options.dir.clone().unwrap_or_else(temporary);
    let loaded = load(&dir, &options).await;
    if !kept {
        fs::remove_dir_all(&dir).await?;
    }
    loaded
}

/// Appends for a time, then reads the log again.
async fn load(dir: &Path, options: &Options) -> io::Result<()> {
    let (log, before) = Log::open(dir, options.settings, |_, _| {}).await?;
    tell(&before)?;
    let log = Rc::new(log);
    let start = Instant::now();
    let appenders: Vec<_> = (0..options.appenders)
        .map(|_| spawn(append(Rc::clone(&log), options.size, start + options.time)))
        .collect();
    let mut latencies = histogram()?;
    for appender in appenders {
        latencies.add(appender.await.map_err(io::Error::other)??).map_err(io::Error::other)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let log = Rc::into_inner(log).expect("the appenders have ended");
    let totals = log.close().await?;
    report(&totals, &latencies, seconds);
    let after = recover(dir, |_, _| {}).await?;
    tell(&after)?;
    let all = before.records + totals.records;
    if after.records != all {
        return Err(io::Error::other(format!("{} records are there of {all}", after.records)));
    }
    Ok(())
}

/// Appends one record after the other, and measures how long each takes to last.
async fn append(log: Rc<Log>, size: usize, end: Instant) -> io::Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    loop {
        let start = Instant::now();
        log.append(vec![b'x'; size]).await?;
        let now = Instant::now();
        latencies.saturating_record((now - start).as_micros() as u64);
        if now >= end {
            return Ok(latencies);
        }
    }
}

fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000, 3).map_err(io::Error::other)
}

fn report(totals: &Totals, latencies: &Histogram<u64>, seconds: f64) {
    let way = match totals.direct {
        true => "past the page cache (O_DIRECT and RWF_DSYNC)",
        false => "through the page cache (RWF_DSYNC), as was asked or for want of direct I/O",
    };
    println!("written {way}, {} segments", totals.segments);
    println!(
        "{:.0} appends/s in {:.0} commits/s, {:.1} records a commit, {:.0} % of the written bytes are records",
        totals.records as f64 / seconds,
        totals.commits as f64 / seconds,
        totals.records as f64 / totals.commits as f64,
        100.0 * totals.record_bytes as f64 / totals.written_bytes as f64,
    );
    let at = |percentile| latencies.value_at_percentile(percentile);
    println!(
        "an append lasts after {} us (p50), {} us (p99), {} us (p99.9)",
        at(50.0),
        at(99.0),
        at(99.9)
    );
}

/// Says what is in a log; an error if acknowledged records are lost.
fn tell(recovered: &Recovered) -> io::Result<()> {
    let Recovered { records, bytes, next, .. } = recovered;
    println!("the log has {records} records of {bytes} bytes; the next is {next}");
    for stop in &recovered.torn {
        println!("a commit was torn, and nobody was told that it lasts: {stop}");
    }
    match &recovered.lost {
        Some(stop) => Err(io::Error::new(io::ErrorKind::InvalidData, stop.to_string())),
        None => Ok(()),
    }
}

/// `None` to print the help; an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        dir: None,
        verify: None,
        appenders: 32,
        size: 100,
        settings: Settings { segment_size: 4 << 20, direct: true },
        time: Duration::from_secs(2),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let count = |text: String| {
            let number = text.parse().ok().filter(|number: &u32| *number > 0);
            number.ok_or(format!("{argument}: {text:?} is no number above zero"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--dir" => options.dir = Some(value()?.into()),
            "--verify" => options.verify = Some(value()?.into()),
            "--appenders" => options.appenders = count(value()?)? as usize,
            "--size" => options.size = count(value()?)? as usize,
            "--segment" => options.settings.segment_size = u64::from(count(value()?)?) << 20,
            "--buffered" => options.settings.direct = false,
            "--seconds" => {
                let text = value()?;
                let time = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                options.time = time.ok_or(format!("--seconds: {text:?} is no time"))?;
            }
            _ => return Err(format!("there is no option {argument}")),
        }
    }
    Ok(Some(options))
}
