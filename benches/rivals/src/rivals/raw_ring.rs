//! The bare ring: the floor of what is on io_uring.

use std::io;

use super::never;
use crate::files;
use crate::rival::{Job, Rival, Server};
use crate::servers::raw_ring::{self, MULTISHOT_16K, MULTISHOT_64K};
use crate::sockets::floor_sockets;

pub(super) static RIVAL: Rival = Rival {
    name: "raw ring",
    about: "a hand-written loop: multishot receive, buffers of the pool, one call a turn",
    package: Some("io-uring"),
    servers: &[
        (
            "echo",
            Server::Tcp(|listener, buffer| {
                let style = if buffer > 16 * 1024 { &MULTISHOT_64K } else { &MULTISHOT_16K };
                raw_ring::serve(listener, never()?, style)
            }),
        ),
        ("udp", Server::Udp(|socket| floor_sockets::echo(&socket, u64::MAX, || Ok(())).map(drop))),
    ],
    jobs: &[FILES],
    lacks: &[("", "a floor of sockets and files alone")],
};

const FILES: &[(&str, Job)] = &[
    ("read-d1", |operations| read("read_d1", operations)),
    ("read-d32", |operations| read("read_d32", operations)),
    ("read-d128", |operations| read("read_d128", operations)),
];

/// The cell of the file bench.
fn read(cell: &str, operations: u64) -> io::Result<crate::contest::Sample> {
    let raw = files::CONTESTANTS.iter().find(|contestant| contestant.name == "raw");
    let run = raw.and_then(|raw| raw.cell(cell)).ok_or(io::Error::other("no such cell"))?;
    Ok(run(operations))
}
