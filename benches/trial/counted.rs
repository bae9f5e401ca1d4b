//! Instructions per request: the server alone in a process under callgrind, the client here.
//!
//! Two runs of different length, and the difference of their counts over the difference of their requests:
//! the start, the connections and the end cancel out.

use std::io::{BufRead, BufReader};
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
    super::possible(cell)?;
    let mut counts = [0.0; 2];
    let requests = REQUESTS.map(|each| each * cell.connections as u64);
    for (count, requests) in counts.iter_mut().zip(requests) {
        let arguments = ["--serve", server.name].map(String::from);
        let counted = callgrind::instructions(&arguments, |child| drive(child, cell, requests));
        *count = counted? as f64;
    }
    Ok((counts[1] - counts[0]) / (requests[1] - requests[0]) as f64)
}

/// Reads the child's address, loads it, and stops it by closing the first connection made.
fn drive(child: &mut Child, cell: Cell, requests: u64) -> Result<(), String> {
    let output = child.stdout.take().ok_or("the child has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
    let address: SocketAddr =
        line.trim().parse().map_err(|_| format!("the child said {line:?}, not its address"))?;
    let control = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let watched = Watched { server: None, cpus: Vec::new(), syscalls: false };
    let loaded = load::run(address, cell, Length::Requests(requests), watched);
    drop(control);
    loaded.map(drop).map_err(|error| format!("client: {error}"))
}

/// The child's part: serves under the count until the first connection closes.
pub(crate) fn serve(server: &Server) -> std::io::Result<()> {
    raise_file_limit();
    let listener = super::bind()?;
    println!("{}", listener.local_addr()?);
    let (control, _) = listener.accept()?;
    (server.serve)(listener, control)
}
