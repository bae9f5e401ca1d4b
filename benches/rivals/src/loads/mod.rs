//! What is put on a server, from a thread on a processor of its own, and what was measured.

mod churn;
mod datagrams;
mod fan;
mod idle;

use std::io;
use std::net::SocketAddr;

use crate::load::{self, Cell, Length, Measured, Watched};

/// The kind of load.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// The echo bench's, closed or open.
    Echo(Cell),
    /// Connect, one message and its echo, close; so many connections at once.
    Churn(usize),
    /// So many datagrams on the way.
    Datagrams(usize),
    /// So many connections of which one at a time is used.
    Idle(usize),
    /// One publisher, so many subscribers.
    Fan(usize),
}

/// What one run gave, with the figures that only this load has.
pub(crate) struct Taken {
    pub(crate) measured: Measured,
    pub(crate) extras: Vec<(&'static str, f64)>,
}

/// Loads the server at `address`, a process of its own, from the calling thread.
pub(crate) fn run(
    load: Load,
    address: SocketAddr,
    process: u32,
    length: Length,
    watched: Watched,
) -> io::Result<Taken> {
    let plain = |measured| Taken { measured, extras: Vec::new() };
    match load {
        Load::Echo(cell) => load::run(address, cell, length, watched).map(plain),
        Load::Churn(count) => churn::run(address, count, length, watched).map(plain),
        Load::Datagrams(count) => datagrams::run(address, count, length, watched).map(plain),
        Load::Fan(count) => fan::run(address, count, length, watched).map(plain),
        Load::Idle(count) => idle::run(address, process, count, length, watched),
    }
}
