//! The record: a file of JSON lines, only ever appended to.
//!
//! A run begins with a line that says what a reader must know (`run`); then there is one for each sample (`sample`) and
//! one for each cell that has none, with the reason (`none`). Counts have a line each (`instructions`). With `--resume`
//! it is read back, and what is missing is taken.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::child;
use crate::rival::Rival;
use crate::rivals::{FEATURES, RIVALS};

/// The figures of a sample, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// One sample, or the reason why there is none.
pub(crate) struct Entry {
    pub(crate) workload: String,
    pub(crate) rival: String,
    pub(crate) round: u64,
    pub(crate) outcome: Result<Figures, String>,
}

/// What a file holds.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) runs: Vec<Value>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) counts: Vec<Count>,
}

/// Instructions of an operation, or the reason why there are none.
pub(crate) struct Count {
    pub(crate) workload: String,
    pub(crate) rival: String,
    pub(crate) outcome: Result<f64, String>,
}

/// Where lines go.
pub(crate) struct Writer(File);

impl Writer {
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        // A run that was killed leaves a line that was cut short, and the next one is not to be a part of it.
        let mut last = *b"\n";
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Self(file))
    }

    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let Entry { workload, rival, round, outcome } = entry;
        self.line(&match outcome {
            Ok(figures) => json!({
                "kind": "sample", "workload": workload, "rival": rival, "round": round,
                "figures": figures.iter().map(|(name, value)| (name, rounded(*value))).collect::<BTreeMap<_, _>>(),
            }),
            Err(reason) => json!({
                "kind": "none", "workload": workload, "rival": rival, "round": round,
                "reason": reason,
            }),
        })
    }

    pub(crate) fn count(&mut self, count: &Count) -> io::Result<()> {
        let Count { workload, rival, outcome } = count;
        let mut line = json!({ "kind": "instructions", "workload": workload, "rival": rival });
        match outcome {
            Ok(count) => line["count"] = json!(rounded(*count)),
            Err(reason) => line["reason"] = json!(reason),
        }
        self.line(&line)
    }

    pub(crate) fn line(&mut self, line: &Value) -> io::Result<()> {
        writeln!(self.0, "{line}")
    }
}

impl Record {
    /// Reads a file; a line that was cut short, by a run that was killed, is left out.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut record = Self::default();
        for line in fs::read_to_string(path)?.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let outcome = match line["kind"].as_str() {
                Some("run") => {
                    record.runs.push(line);
                    continue;
                }
                Some("sample") => Ok(figures(&line["figures"])),
                Some("none") => Err(word("reason")),
                Some("instructions") => {
                    let (workload, rival) = (word("workload"), word("rival"));
                    let outcome = line["count"].as_f64().ok_or_else(|| word("reason"));
                    record.counts.push(Count { workload, rival, outcome });
                    continue;
                }
                _ => continue,
            };
            let (workload, rival) = (word("workload"), word("rival"));
            let round = line["round"].as_u64().unwrap_or_default();
            record.entries.push(Entry { workload, rival, round, outcome });
        }
        Ok(record)
    }

    pub(crate) fn has(&self, workload: &str, rival: &str, round: u64) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|one| one.workload == workload && one.rival == rival && one.round == round)
    }

    /// The newest count, if there is one. Below zero it says only that something beside the work made the shorter of
    /// the two runs the longer, such as a helper thread that goes by the clock.
    pub(crate) fn count(&self, workload: &str, rival: &str) -> Option<f64> {
        let mut counts = self.counts.iter().rev();
        let count = counts.find(|one| one.workload == workload && one.rival == rival)?;
        count.outcome.as_ref().ok().copied().filter(|count| *count > 0.0)
    }

    pub(crate) fn has_count(&self, workload: &str, rival: &str) -> bool {
        self.counts.iter().any(|one| one.workload == workload && one.rival == rival)
    }

    /// The rate that stands for tokio's maximum in this record, once it was found.
    pub(crate) fn maximum_per_s(&self) -> Option<u64> {
        self.runs.iter().rev().find_map(|run| run["maximum_per_s"].as_u64())
    }
}

/// Four digits: more would be noise, and the record is kept.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn figures(value: &Value) -> Figures {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

/// The line that begins a run: machine, kernel, mitigations, versions, commit, command.
pub(crate) fn run_line(maximum_per_s: Option<u64>) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let versions: BTreeMap<&str, String> =
        RIVALS.iter().filter_map(|rival| version(rival)).collect();
    let left_out: Vec<&str> =
        FEATURES.iter().filter(|(_, built)| !built).map(|(name, _)| *name).collect();
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    json!({
        "kind": "run",
        "unix_time_s": seconds,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processor": model.map_or("", |(_, model)| model),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "mitigations": child::mitigations(),
        "commit": child::commit(),
        "compiler": env!("RIVALS_RUSTC"),
        "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        "versions": versions,
        "not built": left_out,
        "maximum_per_s": maximum_per_s,
    })
}

/// The version of a rival, out of the lock file that this program was built with, or of python3.
fn version(rival: &Rival) -> Option<(&'static str, String)> {
    if rival.servers.iter().any(|(_, server)| matches!(server, crate::rival::Server::Python(_))) {
        let output = Command::new("python3").arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return Some((rival.name, said));
    }
    let package = rival.package?;
    let lock = include_str!("../Cargo.lock");
    let head = format!("name = \"{package}\"\nversion = \"");
    let after = &lock[lock.find(&head)? + head.len()..];
    Some((rival.name, after.split('"').next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Count, Entry, OpenOptions, Record, Write, Writer, fs, run_line};

    fn entry(round: u64, outcome: Result<f64, &str>) -> Entry {
        let outcome = outcome.map(|value| [("cpu_ns".to_owned(), value)].into());
        let outcome = outcome.map_err(str::to_owned);
        Entry { workload: "spawn".to_owned(), rival: "tokio".to_owned(), round, outcome }
    }

    #[test]
    fn a_run_that_was_killed_goes_on_where_its_record_ends() {
        let path = std::env::temp_dir().join(format!("annulus-record-{}", std::process::id()));
        let mut writer = Writer::append(&path).expect("a file");
        writer.line(&run_line(Some(7))).expect("room");
        writer.entry(&entry(0, Ok(12.0))).expect("room");
        writer.entry(&entry(1, Err("why"))).expect("room");
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(b"{\"kind\":\"sample\",\"workload\":\"spawn\",\"riv").expect("room");
        let mut writer = Writer::append(&path).expect("it is there");
        writer.line(&run_line(Some(8))).expect("room");
        let (workload, rival) = ("spawn".to_owned(), "tokio".to_owned());
        writer.count(&Count { workload, rival, outcome: Ok(300.0) }).expect("room");
        let record = Record::read(&path).expect("it is there");
        fs::remove_file(&path).expect("it is there");
        assert_eq!((record.runs.len(), record.maximum_per_s()), (2, Some(8)));
        let has = [0, 1, 2].map(|round| record.has("spawn", "tokio", round));
        assert_eq!(has, [true, true, false], "what was cut short is taken again");
        assert_eq!(record.entries[0].outcome.as_ref().expect("a sample")["cpu_ns"], 12.0);
        assert_eq!(record.entries[1].outcome.as_ref().expect_err("none"), "why");
        assert_eq!(record.count("spawn", "tokio"), Some(300.0));
    }

    #[test]
    fn a_run_says_where_and_how_it_was_taken() {
        let run = run_line(None);
        for fact in ["kernel", "processor", "mitigations", "commit", "compiler", "command"] {
            assert!(run[fact].is_string(), "{fact} is not in {run}");
        }
        let versions = run["versions"].as_object().expect("by rival");
        assert!(versions.contains_key("annulus") && versions.contains_key("tokio"), "{run}");
    }
}
