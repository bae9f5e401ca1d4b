//! Connections that wait for their next message, at the servers of the `echo` bench.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::Weighed;
use super::process::Memory;
use crate::servers;
use crate::support::files::raise_file_limit;

/// So many come first and are not counted: the first ones bring what all share.
const WARM: u64 = 64;

pub(super) fn bare_ring(count: u64) -> Result<Weighed, String> {
    weigh("raw-ring", count)
}

pub(super) fn tokio(count: u64) -> Result<Weighed, String> {
    weigh("tokio-16k", count)
}

pub(super) fn annulus(count: u64) -> Result<Weighed, String> {
    weigh("annulus", count)
}

fn weigh(server: &str, count: u64) -> Result<Weighed, String> {
    let serve = servers::named(server)?.serve;
    let needed = 2 * (count + WARM) + 64;
    if raise_file_limit() < needed {
        return Err(format!("needs {needed} open files"));
    }
    let measure = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let control = TcpStream::connect(address)?;
        let (serving_control, _) = listener.accept()?;
        let server = thread::spawn(move || serve(listener, serving_control));
        // Made beforehand, and written to: the clients' own memory does not count.
        let mut clients: Vec<Option<TcpStream>> = Vec::new();
        clients.resize_with((count + WARM) as usize, || None);
        let (warm, counted) = clients.split_at_mut(WARM as usize);
        connect(warm, address)?;
        let before = Memory::now();
        connect(counted, address)?;
        let weighed = Memory::now().growth(before, count);
        drop((clients, control));
        server.join().map_err(|_| io::Error::other("the server panicked"))??;
        Ok(weighed)
    };
    measure().map_err(|error: io::Error| error.to_string())
}

/// Opens connections one by one, and has a message echoed on each.
fn connect(clients: &mut [Option<TcpStream>], address: SocketAddr) -> io::Result<()> {
    for place in clients {
        let mut client = TcpStream::connect(address)?;
        let mut message = [7; 64];
        client.write_all(&message)?;
        client.read_exact(&mut message)?;
        *place = Some(client);
    }
    Ok(())
}
