//! One trial: a fresh server on its thread, the client on another, and what the clocks said.

pub(crate) mod counted;
pub(crate) mod rounds;
pub(crate) mod scripted;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::load::{self, Cell, Length, Measured, Thread, Watched};
use crate::servers::Server;
use crate::support::cpu;
use crate::support::files::raise_file_limit;

/// Sockets may hold this much on the way before the kernel's memory decides the outcome.
const IN_FLIGHT_BYTES: usize = 256 << 20;

/// Which processor each side runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

impl Placement {
    /// The first two processors the process may use.
    pub(crate) fn choose() -> Result<Self, String> {
        match cpu::allowed().as_slice() {
            [server, client, ..] => Ok(Self { server: *server, client: *client }),
            _ => Err(String::from(
                "two processors are needed, one for the server, one for the client",
            )),
        }
    }
}

/// Runs one server under one cell. The error says why there is no sample.
pub(crate) fn run(
    server: &'static Server,
    cell: Cell,
    length: Length,
    placement: Placement,
    syscalls: bool,
) -> Result<Measured, String> {
    possible(cell)?;
    let (listener, address, control) = listen().map_err(|error| error.to_string())?;
    let (serving_control, our_control) = control;
    let (report, started) = mpsc::channel();
    let thread = thread::spawn(move || {
        cpu::pin_to(placement.server)?;
        report.send(Thread::current()?).ok();
        (server.serve)(listener, serving_control)
    });
    let watched = Watched {
        server: started.recv().ok(),
        cpus: vec![placement.server, placement.client],
        syscalls,
    };
    let client = thread::spawn(move || {
        cpu::pin_to(placement.client)?;
        load::run(address, cell, length, watched)
    });
    let measured = client.join().map_err(|_| String::from("the client panicked"))?;
    drop(our_control);
    // The server's own words first: when it fails the client sees only a closed connection.
    end(thread)?;
    measured.map_err(|error| format!("client: {error}"))
}

/// The server's system calls per request, over a window of its own.
pub(crate) fn syscalls_per_request(
    server: &'static Server,
    cell: Cell,
    placement: Placement,
) -> Result<f64, String> {
    let length = Length::Window { warmup_ns: 150_000_000, window_ns: 300_000_000 };
    let measured = run(server, cell, length, placement, true)?;
    Ok(measured.server_syscalls as f64 / measured.requests.max(1) as f64)
}

/// Why the cell cannot run here, if it cannot.
fn possible(cell: Cell) -> Result<(), String> {
    let needed = cell.connections as u64 * 2 + 64;
    let allowed = raise_file_limit();
    let bytes = cell.connections * cell.size * cell.depth;
    if needed > allowed {
        return Err(format!("needs {needed} open files, RLIMIT_NOFILE allows {allowed}"));
    }
    if bytes > IN_FLIGHT_BYTES {
        return Err(format!("would keep {} MiB on the way", bytes >> 20));
    }
    Ok(())
}

/// A listener, its address, and both ends of the stream that will stop its server.
fn listen() -> io::Result<(TcpListener, SocketAddr, (TcpStream, TcpStream))> {
    let listener = bind()?;
    let address = listener.local_addr()?;
    let ours = TcpStream::connect(address)?;
    let (theirs, _) = listener.accept()?;
    Ok((listener, address, (theirs, ours)))
}

/// A listener on a free loopback port with room for all clients at once.
fn bind() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Joins the server's thread, or gives up on it.
fn end(thread: JoinHandle<io::Result<()>>) -> Result<(), String> {
    let start = Instant::now();
    while !thread.is_finished() {
        if start.elapsed() > Duration::from_secs(5) {
            return Err(String::from("the server did not stop"));
        }
        thread::sleep(Duration::from_micros(200));
    }
    match thread.join() {
        Ok(served) => served.map_err(|error| error.to_string()),
        Err(_) => Err(String::from("the server panicked")),
    }
}
