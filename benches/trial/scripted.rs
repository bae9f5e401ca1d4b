//! Instructions per request in an order of events that is laid down, so that a count comes out the same each time.
//!
//! A free client answers whenever it gets to it, and how many requests a turn of the server finds depends on that.
//! Here the server is stopped while a request is written on every connection: when it goes on, all of them are in its
//! sockets. The next round begins when it has answered them all and sleeps. One connection alone is not stopped for: it
//! is the server's only work, and every request ends a sleep.
//!
//! A server of several threads must not sleep in its ring, because valgrind lets no other thread run meanwhile. So it
//! looks for work all the time, which is not counted, and is given a while instead of being seen asleep.

#![allow(unsafe_code, reason = "libc calls that stop a child and let it go on")]

use std::io::{self, Read, Write};
use std::process::Child;
use std::time::{Duration, Instant};

use super::counted;
use crate::load::{Cell, Connection, Messages};
use crate::servers::Server;

/// Rounds in the short and in the long run, each a request on every connection.
const ROUNDS: [u64; 2] = [40, 140];
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that never sleeps is given to finish a round: some turns of each of its threads, of which valgrind
/// runs one at a time.
const QUIET: Duration = Duration::from_millis(60);
/// Looks in a row that must find the server asleep.
const LOOKS: usize = 3;

/// User-space instructions per request of one server, with a request on every connection at a time.
pub(crate) fn per_request(server: &Server, cell: Cell) -> Result<f64, String> {
    if cell.depth != 1 {
        return Err(String::from("a script has one message at a time on a connection"));
    }
    let lengths = if cell.connections == 1 { ROUNDS.map(|rounds| rounds * 10) } else { ROUNDS };
    let spins = server.spins();
    counted::difference(server, cell, lengths, |child, address, rounds| {
        let open = |_| Connection::open(address);
        let mut connections: Vec<_> = (0..cell.connections).map(open).collect::<io::Result<_>>()?;
        let messages = Messages::new(cell);
        (0..rounds).try_for_each(|_| {
            if spins {
                std::thread::sleep(QUIET);
            } else {
                wait_until_asleep(child)?;
            }
            round(child, cell, &mut connections, &messages)
        })
    })
}

/// Writes a request on every connection and reads all answers; the server has nothing to do before.
fn round(
    server: &Child,
    cell: Cell,
    connections: &mut [Connection],
    messages: &Messages,
) -> io::Result<()> {
    let several = connections.len() > 1;
    if several {
        stop(server)?;
    }
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.stream.write_all(&messages.bytes(index)[..cell.size])?;
    }
    if several {
        signal(server, libc::SIGCONT)?;
    }
    let mut answer = vec![0; cell.size];
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.stream.read_exact(&mut answer)?;
        connection.check(&answer, cell.size, messages.stamp(index))?;
    }
    Ok(())
}

/// Stops the process and waits until it is.
fn stop(child: &Child) -> io::Result<()> {
    signal(child, libc::SIGSTOP)?;
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer. A child that was stopped is not reaped by it.
    let pid = unsafe { libc::waitpid(child.id().cast_signed(), &mut status, libc::WUNTRACED) };
    match pid {
        1.. if libc::WIFSTOPPED(status) => Ok(()),
        1.. => Err(io::Error::other("the server ended instead of being stopped")),
        _ => Err(io::Error::last_os_error()),
    }
}

fn signal(child: &Child, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes two numbers; the child was not reaped, so its number is its own.
    match unsafe { libc::kill(child.id().cast_signed(), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until the process, which has one thread, has nothing to do.
fn wait_until_asleep(child: &Child) -> io::Result<()> {
    let path = format!("/proc/{}/stat", child.id());
    let start = Instant::now();
    let mut asleep = 0;
    while asleep < LOOKS {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not go to sleep"));
        }
        let stat = std::fs::read_to_string(&path)?;
        // The state follows the name, which is in brackets and may hold any character.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        asleep = if state == Some('S') { asleep + 1 } else { 0 };
        std::thread::yield_now();
    }
    Ok(())
}
