//! Instructions per request: the server alone in a process under callgrind, the client here.
//!
//! Two runs of different length, and the difference of their counts over the difference of their requests:
//! the start, the connections and the end cancel out.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;

use crate::load::{self, Cell, Length, Watched};
use crate::servers::Server;
use crate::support::callgrind;
use crate::support::files::raise_file_limit;

/// Requests per connection in the short and in the long run.
const REQUESTS: [u64; 2] = [50, 250];

/// User-space instructions per request of one server under one cell.
pub(crate) fn per_request(server: &Server, cell: Cell) -> Result<f64, String> {
    difference(server, cell, REQUESTS, |_, address, each| {
        let requests = Length::Requests(each * cell.connections as u64);
        let watched = Watched { server: None, cpus: Vec::new(), syscalls: false };
        load::run(address, cell, requests, watched).map(drop)
    })
}

/// The instructions per request between a short and a long run, whose lengths are requests on each connection.
pub(super) fn difference(
    server: &Server,
    cell: Cell,
    lengths: [u64; 2],
    load: impl Fn(&Child, SocketAddr, u64) -> io::Result<()>,
) -> Result<f64, String> {
    super::possible(cell)?;
    let mut counts = [0.0; 2];
    for (count, length) in counts.iter_mut().zip(lengths) {
        let arguments = ["--serve", server.name].map(String::from);
        // Looking for work is no work, and how long it takes depends on the client.
        let idle = server.spins().then_some("look_for_work");
        let counted = callgrind::instructions(idle, &arguments, |child| {
            drive(child, |child, address| load(child, address, length))
        });
        *count = counted? as f64;
    }
    let requests = (lengths[1] - lengths[0]) * cell.connections as u64;
    Ok((counts[1] - counts[0]) / requests as f64)
}

/// Reads the child's address, loads it, and stops it by closing the first connection made.
fn drive(
    child: &mut Child,
    load: impl FnOnce(&Child, SocketAddr) -> io::Result<()>,
) -> Result<(), String> {
    let output = child.stdout.take().ok_or("the child has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
    let address: SocketAddr =
        line.trim().parse().map_err(|_| format!("the child said {line:?}, not its address"))?;
    let control = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let loaded = load(child, address);
    drop(control);
    loaded.map_err(|error| format!("client: {error}"))
}

/// The child's part: serves under the count until the first connection closes.
pub(crate) fn serve(server: &Server) -> io::Result<()> {
    raise_file_limit();
    let listener = super::bind()?;
    println!("{}", listener.local_addr()?);
    let (control, _) = listener.accept()?;
    (server.serve)(listener, control)
}
