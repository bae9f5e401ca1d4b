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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::{Cell, Length, Load, Watched, run};

    /// A stall that outlasts the window is charged to every message that was due in it, also to those that never left.
    #[test]
    fn an_open_loop_counts_what_it_still_waits_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut buf, begun, mut stalls) = ([0; 4096], Instant::now(), true);
            loop {
                match stream.read(&mut buf) {
                    Ok(count @ 1..) => stream.write_all(&buf[..count]).unwrap(),
                    _ => return,
                }
                if stalls && begun.elapsed() > Duration::from_millis(200) {
                    std::thread::sleep(Duration::from_millis(800));
                    stalls = false;
                }
            }
        });
        let cell = Cell { connections: 1, size: 64, depth: 16, rate_per_s: Some(1000) };
        let length = Length::Window { warmup_ns: 100_000_000, window_ns: 500_000_000 };
        let watched = Watched { server: None, cpus: Vec::new(), syscalls: false };
        let taken = run(Load::Echo(cell), address, 0, length, watched).unwrap();
        let latencies_ns = taken.measured.latencies_ns;
        // Of 500 that were due, the last 400 waited; 16 of them had left.
        assert!(latencies_ns.len() >= 400, "{} were counted", latencies_ns.len());
        assert!(latencies_ns.value_at_quantile(0.5) > 50_000_000, "half waited for long");
        server.join().unwrap();
    }
}
