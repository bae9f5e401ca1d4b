//! User-space instructions of one operation, by callgrind: a figure that no other work on the machine moves.
//!
//! The same child as for a sample runs in two lengths, and its start cancels out. Only what one thread does in an
//! order of its own is counted: between threads the order, and with it the count, is the scheduler's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::load::{self, Cell, Length, Watched};
use crate::loads::Load;
use crate::rival::{Rival, Server};
use crate::support::callgrind;
use crate::workloads::{Work, Workload};

/// What is counted, and the length of the short run, in operations or requests of a connection; the long one is three
/// times as long.
const COUNTED: &[(&str, u64)] = &[
    ("echo-64", 400),
    ("spawn", 10_000),
    ("switch", 20_000),
    ("timer-cancel", 4_000),
    ("mutex", 20_000),
    ("mpsc", 10_000),
    ("read-d32", 2_048),
];

/// So long may a server take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The length of the short run, for what can be counted.
pub(crate) fn length(workload: &Workload) -> Option<u64> {
    COUNTED.iter().find(|(name, _)| *name == workload.name).map(|(_, length)| *length)
}

/// Instructions of an operation; the error says why there is no count.
pub(crate) fn count(rival: &Rival, workload: &Workload, length: u64) -> Result<f64, String> {
    if let Some(why) = rival.excuse(workload.server(), workload.name) {
        return Err(why.to_owned());
    }
    match workload.work {
        Work::Do { .. } => difference(length, |operations| job(rival, workload.name, operations)),
        Work::Serve { server, buffer, load: Load::Echo(cell) } => {
            if let Some(Server::Python(_)) = rival.server(server) {
                return Err("an interpreter is not counted".to_owned());
            }
            let each = difference(length, |requests| serve(rival, server, buffer, cell, requests))?;
            Ok(each / cell.connections as f64)
        }
        _ => Err("not counted".to_owned()),
    }
}

fn difference(length: u64, count: impl Fn(u64) -> Result<u64, String>) -> Result<f64, String> {
    let (short, long) = (count(length)?, count(3 * length)?);
    Ok((long as f64 - short as f64) / (2 * length) as f64)
}

fn job(rival: &Rival, name: &str, operations: u64) -> Result<u64, String> {
    let operations = operations.to_string();
    let arguments = ["--job", rival.name, "--name", name, "--operations", &operations];
    callgrind::instructions(None, &arguments.map(String::from), |_| Ok(()))
}

/// Counts a server that answers so many requests on each connection. It is far slower than its load, so that all
/// connections have one waiting at every turn.
fn serve(
    rival: &Rival,
    server: &str,
    buffer: usize,
    cell: Cell,
    requests: u64,
) -> Result<u64, String> {
    let buffer = buffer.to_string();
    let arguments = ["--serve", rival.name, "--server", server, "--buffer", &buffer, "--ends", "1"];
    callgrind::instructions(None, &arguments.map(String::from), |child| {
        let (address, end) = addresses(child)?;
        let length = Length::Requests(requests * cell.connections as u64);
        let watched = Watched { server: None, cpus: Vec::new(), syscalls: false };
        let loaded = load::run(address, cell, length, watched);
        drop(TcpStream::connect(end));
        urge(child, address);
        loaded.map(drop).map_err(|error| format!("load: {error}"))
    })
}

/// Valgrind runs one thread at a time, and one that waits in a ring keeps its turn: messages make it use the turn up,
/// so that the thread which ends the process gets one. It is a turn of a hundred thousand blocks at most.
fn urge(child: &mut Child, address: SocketAddr) {
    let begun = Instant::now();
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        (0..100).try_for_each(|_| {
            stream.write_all(&[1; 64])?;
            stream.read_exact(&mut [0; 64])
        })
    };
    while begun.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
        // An error is its end.
        let _: io::Result<()> = ask();
    }
}

/// What the child says: where it serves, and where it can be ended.
fn addresses(child: &mut Child) -> Result<(SocketAddr, SocketAddr), String> {
    let output = child.stdout.take().ok_or("the child has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut address = || lines.next()?.ok()?.trim().parse().ok();
    match (address(), address()) {
        (Some(end), Some(address)) => Ok((address, end)),
        _ => Err("the child did not say its address".to_owned()),
    }
}
