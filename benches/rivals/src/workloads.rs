//! The workloads, in the order of their worth.

use crate::load::Cell;
use crate::loads::Load;

/// One row of the tables.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// A server in a process of its own under a load, with buffers of so many bytes.
    Serve { server: &'static str, buffer: usize, load: Load },
    /// The same at this share, in percent, of what tokio reaches at most.
    Paced { percent: u64 },
    /// A job that a process does so many times.
    Do { operations: u64 },
}

impl Workload {
    /// How many rounds it takes part in: a tail varies more than a median.
    pub(crate) fn rounds(&self, rounds: u64) -> u64 {
        if self.name == "open-50" { 2 * rounds } else { rounds }
    }

    /// What the name of the server is in `Rival::servers`, empty for a job.
    pub(crate) fn server(&self) -> &'static str {
        match self.work {
            Work::Serve { server, .. } => server,
            Work::Paced { .. } => "echo",
            Work::Do { .. } => "",
        }
    }
}

const KIB: usize = 1024;
/// Of servers whose messages are smaller.
const BUFFER: usize = 16 * KIB;

/// The cell whose maximum on tokio the paced ones are measured by.
pub(crate) const PACED_BY: &str = "echo-64";
/// More than this many messages of one connection do not pile up at the load.
const PACED_DEPTH: usize = 64;

pub(crate) static WORKLOADS: &[Workload] = &[
    echo("echo-64", "64 connections, 64 B", 64, 64, 1),
    echo("echo-512", "512 connections, 64 B", 512, 64, 1),
    echo("echo-4096", "4096 connections, 64 B", 4096, 64, 1),
    echo("echo-1", "one connection, 64 B", 1, 64, 1),
    echo("echo-64-1k", "64 connections, 1 KiB", 64, KIB, 1),
    echo("echo-512-1k", "512 connections, 1 KiB", 512, KIB, 1),
    echo("echo-1-1k", "one connection, 1 KiB", 1, KIB, 1),
    Workload {
        name: "bulk",
        about: "64 connections, messages of 64 KiB",
        work: Work::Serve {
            server: "echo",
            buffer: 64 * KIB,
            load: Load::Echo(cell(64, 64 * KIB, 1)),
        },
    },
    echo("pipelined", "64 connections, 64 B, 16 on the way on each", 64, 64, 16),
    Workload {
        name: "churn",
        about: "connect, 64 B and their echo, reset; 32 at once",
        work: Work::Serve { server: "echo", buffer: BUFFER, load: Load::Churn(32) },
    },
    Workload {
        name: "churn-256",
        about: "the same, 256 at once",
        work: Work::Serve { server: "echo", buffer: BUFFER, load: Load::Churn(256) },
    },
    Workload {
        name: "udp",
        about: "datagrams of 64 B, 32 on the way",
        work: Work::Serve { server: "udp", buffer: BUFFER, load: Load::Datagrams(32) },
    },
    Workload {
        name: "fan-64",
        about: "a message of 64 B to 64 subscribers; per delivery",
        work: Work::Serve { server: "fan", buffer: BUFFER, load: Load::Fan(64) },
    },
    Workload {
        name: "fan-1000",
        about: "a message of 64 B to 1000 subscribers; per delivery",
        work: Work::Serve { server: "fan", buffer: BUFFER, load: Load::Fan(1000) },
    },
    job("spawn", "spawn a thousand tasks, then await them; per task", 200_000),
    job("switch", "two tasks wake each other; per poll", 400_000),
    job("timer-cancel", "make a sleep, poll it once, drop it", 100_000),
    job("timer-1k", "a thousand tasks sleep up to 100 ms; per sleep", 1_000),
    job("mutex", "lock and unlock a free lock of one thread", 1_000_000),
    job("mpsc", "a message from one task to another of the thread, bounded by 128", 400_000),
    job("cross-channel", "a number from one core to another, bounded by 1024", 400_000),
    job("cross-wake", "two sleeping cores wake each other; per wake", 10_000),
    job("read-d1", "4 KiB at random places of a cached file, one at a time", 20_000),
    job("read-d32", "the same, 32 under way", 40_000),
    job("read-d128", "the same, 128 under way", 40_000),
    job("read-cold", "4 KiB at random places of a file that is not cached, 32 under way", 2_000),
    job("direct-d1", "4 KiB at random places past the page cache, one at a time", 1_000),
    job("direct-d32", "the same, 32 under way", 8_000),
    job("direct-d128", "the same, 128 under way", 8_000),
    job("write-d32", "4 KiB to random places of a cached file, 32 under way", 20_000),
    job("direct-write", "4 KiB to random places past the page cache, 32 under way", 8_000),
    job("append-1", "4 KiB, each on the disk before the next", 300),
    job(
        "append-32",
        "32 appenders of 4 KiB, each waits until it is on the disk; group commit",
        3_200,
    ),
    job("small-files", "open, read and close a cached file of 2 KiB, 32 under way", 10_000),
    job("metadata", "the size of a cached file by its path, 32 under way", 10_000),
    paced("open-25", "64 connections at a quarter of tokio's maximum", 25),
    paced("open-50", "64 connections at half of tokio's maximum", 50),
    paced("open-75", "64 connections at three quarters of tokio's maximum", 75),
    Workload {
        name: "idle",
        about: "4000 connections that wait; one at a time has a message",
        work: Work::Serve { server: "echo", buffer: 4 * KIB, load: Load::Idle(4000) },
    },
];

const fn cell(connections: usize, size: usize, depth: usize) -> Cell {
    Cell { connections, size, depth, rate_per_s: None }
}

const fn echo(
    name: &'static str,
    about: &'static str,
    connections: usize,
    size: usize,
    depth: usize,
) -> Workload {
    let load = Load::Echo(cell(connections, size, depth));
    Workload { name, about, work: Work::Serve { server: "echo", buffer: BUFFER, load } }
}

const fn job(name: &'static str, about: &'static str, operations: u64) -> Workload {
    Workload { name, about, work: Work::Do { operations } }
}

const fn paced(name: &'static str, about: &'static str, percent: u64) -> Workload {
    Workload { name, about, work: Work::Paced { percent } }
}

/// The load of a paced workload.
pub(crate) fn open_loop(rate_per_s: u64) -> Work {
    let cell = Cell { rate_per_s: Some(rate_per_s), ..cell(64, 64, PACED_DEPTH) };
    Work::Serve { server: "echo", buffer: BUFFER, load: Load::Echo(cell) }
}

pub(crate) fn named(name: &str) -> Result<&'static Workload, String> {
    let found = WORKLOADS.iter().find(|workload| workload.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        format!("no workload {name}; there are {}", names.join(", "))
    })
}
