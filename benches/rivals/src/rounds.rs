//! Interleaved rounds: in each, every rival runs each workload once, in an order of the round's own.

use std::path::PathBuf;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use crate::child::{self, Served};
use crate::contest::Sample;
use crate::counts;
use crate::load::{Length, Measured, Thread, Watched};
use crate::loads::{self, Load, Taken};
use crate::record::{Count, Entry, Figures, Record, Writer, run_line};
use crate::rival::{Rival, Server};
use crate::rivals::{CONTROL, OWN};
use crate::support::cpu;
use crate::support::files::raise_file_limit;
use crate::support::shuffle::Shuffle;
use crate::workloads::{self, PACED_BY, Work, Workload};

const TRIES: usize = 2;

pub(crate) struct Plan {
    pub(crate) rivals: Vec<&'static Rival>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) rounds: u64,
    pub(crate) window_ms: u64,
    pub(crate) seed: u64,
    /// A sample of which the host or other processes took more is taken once more.
    pub(crate) max_loss_percent: f64,
    pub(crate) out: PathBuf,
    pub(crate) resume: bool,
}

/// The processors of the two sides.
#[derive(Clone, Copy)]
struct Placement {
    server: usize,
    load: usize,
}

impl Plan {
    /// What the record has already, where the run is to go on with it.
    fn known(&self) -> Result<Record, String> {
        let out = self.out.display();
        if !self.out.exists() {
            return Ok(Record::default());
        }
        if !self.resume {
            return Err(format!(
                "{out} is there: --resume goes on with it, or choose another --out"
            ));
        }
        let known = Record::read(&self.out).map_err(|error| error.to_string())?;
        let commit = child::commit();
        match known.runs.iter().any(|run| run["commit"] != commit.as_str()) {
            true => Err(format!("{out} is of another commit than {commit}: choose another --out")),
            false => Ok(known),
        }
    }

    /// Takes all counts that the record does not have yet.
    pub(crate) fn count(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let known = self.known()?;
        let mut writer = Writer::append(&self.out).map_err(text)?;
        writer.line(&run_line(known.maximum_per_s())).map_err(text)?;
        raise_file_limit();
        let counted = self.workloads.iter().filter_map(|one| Some((*one, counts::length(one)?)));
        let counted: Vec<_> = counted.collect();
        let bar = bar(counted.len() * self.rivals.len())?;
        for (workload, length) in counted {
            for rival in self.rivals.iter().filter(|rival| rival.name != CONTROL) {
                bar.set_message(format!("{} {}", workload.name, rival.name));
                bar.inc(1);
                if known.has_count(workload.name, rival.name) {
                    continue;
                }
                let outcome = counts::count(rival, workload, length);
                let (workload, rival) = (workload.name.to_owned(), rival.name.to_owned());
                writer.count(&Count { workload, rival, outcome }).map_err(text)?;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Takes all samples that the record does not have yet.
    pub(crate) fn run(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let known = self.known()?;
        let placement = match cpu::allowed().as_slice() {
            [server, load, ..] => Placement { server: *server, load: *load },
            _ => return Err("two processors are needed".to_owned()),
        };
        raise_file_limit();
        let maximum_per_s = self.maximum_per_s(&known, placement)?;
        let mut writer = Writer::append(&self.out).map_err(text)?;
        writer.line(&run_line(maximum_per_s)).map_err(text)?;
        let rounds = |workload: &&Workload| workload.rounds(self.rounds);
        let cells = self.workloads.iter().map(rounds).sum::<u64>() * self.rivals.len() as u64;
        let bar = bar(cells as usize)?;
        // One that failed at a workload is not asked again in this run.
        let mut failed: Vec<(&str, &str)> = Vec::new();
        for round in 0..2 * self.rounds {
            let mut shuffle = Shuffle::new(self.seed + round);
            for workload in self.workloads.iter().filter(|one| round < rounds(one)) {
                for index in shuffle.order(self.rivals.len()) {
                    let rival = self.rivals[index];
                    bar.set_message(format!("{} {}", workload.name, rival.name));
                    bar.inc(1);
                    let cell = (workload.name, rival.name);
                    if failed.contains(&cell) || known.has(cell.0, cell.1, round) {
                        continue;
                    }
                    let outcome = self.sample(rival, workload, maximum_per_s, placement);
                    if outcome.is_err() {
                        failed.push(cell);
                    }
                    let (workload, rival) = (workload.name.to_owned(), rival.name.to_owned());
                    let entry = Entry { workload, rival, round, outcome };
                    writer.entry(&entry).map_err(text)?;
                }
            }
        }
        bar.finish_and_clear();
        // What a rival cannot do is a row of the tables; what annulus cannot do is an error.
        match failed.iter().find(|(_, rival)| *rival == OWN) {
            Some((workload, _)) => Err(format!("annulus failed at {workload}, see the record")),
            None => Ok(()),
        }
    }

    /// What tokio reaches at most, for the paced workloads: from the record, or the best of three windows.
    fn maximum_per_s(&self, known: &Record, placement: Placement) -> Result<Option<u64>, String> {
        let paced = |workload: &&Workload| matches!(workload.work, Work::Paced { .. });
        if let Some(maximum) = known.maximum_per_s() {
            return Ok(Some(maximum));
        }
        if !self.workloads.iter().any(paced) {
            return Ok(None);
        }
        let tokio = crate::rivals::named("tokio")?;
        let work = &workloads::named(PACED_BY)?.work;
        let mut best: f64 = 0.0;
        for _ in 0..3 {
            let figures = self.serve(tokio, work, placement)?;
            best = best.max(figures.get("per_s").copied().unwrap_or(0.0));
        }
        Ok(Some(best as u64))
    }

    /// The sample that lost least of up to two.
    fn sample(
        &self,
        rival: &'static Rival,
        workload: &Workload,
        maximum_per_s: Option<u64>,
        placement: Placement,
    ) -> Result<Figures, String> {
        if let Some(why) = rival.excuse(workload.server(), workload.name) {
            return Err(why.to_owned());
        }
        if let Some(Server::Python(kind)) = rival.server(workload.server())
            && let Some(why) = child::python_lacks(kind)
        {
            return Err(why);
        }
        let mut best: Option<Figures> = None;
        let lost = |figures: &Figures| figures.get("lost_percent").copied().unwrap_or(0.0);
        for _ in 0..TRIES {
            let figures = match &workload.work {
                Work::Do { operations } => self.work(rival, workload.name, *operations, placement),
                Work::Paced { percent } => {
                    let rate_per_s = maximum_per_s.unwrap_or(0) * percent / 100;
                    self.serve(rival, &workloads::open_loop(rate_per_s.max(1)), placement)
                }
                work => self.serve(rival, work, placement),
            }?;
            let good = lost(&figures) <= self.max_loss_percent;
            if best.as_ref().is_none_or(|best| lost(&figures) < lost(best)) {
                best = Some(figures);
            }
            if good {
                break;
            }
        }
        best.ok_or("no sample".to_owned())
    }

    fn work(
        &self,
        rival: &Rival,
        name: &str,
        operations: u64,
        placement: Placement,
    ) -> Result<Figures, String> {
        let before = cpu::Steal::now(&[placement.server]);
        // Short windows ask for less; a job of a fixed length for its own sake is left alone.
        let scaled = operations * self.window_ms.min(300) / 300;
        let operations = if operations <= 1_000 { operations } else { scaled.max(1_000) };
        let sample = child::job(rival, name, operations)?;
        let lost_percent = cpu::Steal::now(&[placement.server]).percent_since(&before);
        Ok(of_job(&sample, lost_percent))
    }

    fn serve(&self, rival: &Rival, work: &Work, placement: Placement) -> Result<Figures, String> {
        let Work::Serve { server, buffer, load } = *work else {
            return Err("not a server's work".to_owned());
        };
        let mut served = Served::start(rival, server, buffer, placement.server)?;
        let length = Length::Window {
            warmup_ns: self.window_ms * 500_000,
            window_ns: self.window_ms * 1_000_000,
        };
        let (address, process) = (served.address, served.id());
        let watched = Watched {
            server: Some(Thread::of_process(process).map_err(|error| error.to_string())?),
            cpus: vec![placement.server, placement.load],
            syscalls: false,
        };
        let loading = thread::spawn(move || {
            cpu::pin_to(placement.load)?;
            loads::run(load, address, process, length, watched)
        });
        let taken = loading.join().map_err(|_| String::from("the load panicked"))?;
        match taken {
            Ok(taken) if taken.measured.requests > 0 => Ok(of_server(&taken, load)),
            Ok(_) => Err("answered nothing".to_owned()),
            // The server's own words first: the load sees only a connection that was closed.
            Err(error) => Err(served.failure().unwrap_or_else(|| format!("load: {error}"))),
        }
    }
}

fn bar(length: usize) -> Result<ProgressBar, String> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}<{eta} {msg}");
    let style = style.map_err(|error| error.to_string())?;
    Ok(ProgressBar::new(length as u64).with_style(style))
}

/// `cpu_ns` and `per_s` are in every sample; `cpu_ratio` is the server's time over the load's, in which the machine's
/// drift cancels out, but also what a server does to its load.
fn of_server(taken: &Taken, load: Load) -> Figures {
    let Measured { requests, wall_ns, server_cpu_ns, client_cpu_ns, .. } = taken.measured;
    let each = |ns: u64| ns as f64 / requests as f64;
    let at = |quantile| taken.measured.latencies_ns.value_at_quantile(quantile) as f64 / 1e3;
    let mut figures = vec![
        ("operations", requests as f64),
        ("cpu_ns", each(server_cpu_ns)),
        ("per_s", requests as f64 * 1e9 / wall_ns as f64),
        ("busy_percent", 100.0 * server_cpu_ns as f64 / wall_ns as f64),
        ("load_busy_percent", 100.0 * client_cpu_ns as f64 / wall_ns as f64),
        ("lost_percent", taken.measured.lost_percent()),
        ("p50_us", at(0.5)),
        ("p90_us", at(0.9)),
        ("p99_us", at(0.99)),
        ("p999_us", at(0.999)),
        ("p9999_us", at(0.9999)),
    ];
    // In an open loop the load never sleeps, so its time says nothing.
    if !matches!(load, Load::Echo(cell) if cell.rate_per_s.is_some()) {
        figures.push(("cpu_ratio", server_cpu_ns as f64 / client_cpu_ns as f64));
    }
    figures.extend(taken.extras.iter().copied());
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_job(sample: &Sample, lost_percent: f64) -> Figures {
    let operations = sample.operations as f64;
    let mut figures = vec![
        ("operations", operations),
        ("cpu_ns", sample.cpu_ns as f64 / operations),
        ("wall_ns", sample.wall_ns as f64 / operations),
        ("per_s", operations * 1e9 / sample.wall_ns as f64),
        ("lost_percent", lost_percent),
    ];
    figures.extend(sample.extras.iter().copied());
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
