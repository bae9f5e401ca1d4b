//! The other side of each cell: a process of its own that begins when it is told to.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// Datagrams on the way at once.
const WINDOW: usize = 32;
const DATAGRAM: [u8; 64] = [7; 64];
const CLIENTS: u64 = 8;
/// A datagram that has not come back by then is lost, and sent again.
const PATIENCE: Duration = Duration::from_millis(500);

/// The process that puts load on a server. It ends by itself, and is killed where the server gave up before.
pub(super) struct Load(Child);

impl Load {
    /// Starts it; it waits for `begin`.
    pub(super) fn start(kind: &str, address: impl ToString, operations: u64) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--load", kind, "--address", &address.to_string()]);
        command.args(["--operations", &operations.to_string()]);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)).and_then(ready)
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        drop(self.0.stdin.take());
        Ok(())
    }
}

/// Waits until it runs, so that its start is in no sample.
fn ready(mut load: Load) -> io::Result<Load> {
    if let Some(output) = load.0.stdout.as_mut() {
        output.read_exact(&mut [0])?;
    }
    Ok(load)
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process does: says that it is there, waits for the end of its input, and then puts on the load.
pub(crate) fn run(kind: &str, address: &str, operations: u64) -> Result<(), String> {
    let put_on = || {
        io::stdout().write_all(b"!")?;
        io::stdout().flush()?;
        io::stdin().read_to_end(&mut Vec::new())?;
        match kind {
            "udp" => datagrams(address, operations),
            "tcp" => connections(address, operations),
            _ => Err(io::Error::other(format!("no load {kind}"))),
        }
    };
    put_on().map_err(|error| error.to_string())
}

/// Keeps a window of datagrams on the way until so many came back.
fn datagrams(address: &str, operations: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buf = [0; 2048];
    for _ in 0..WINDOW.min(operations as usize) {
        socket.send(&DATAGRAM)?;
    }
    let mut back = 0;
    while back < operations {
        match socket.recv(&mut buf) {
            Ok(_) => back += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if back + (WINDOW as u64) <= operations {
            socket.send(&DATAGRAM)?;
        }
    }
    Ok(())
}

/// Several clients, one connection after the other.
fn connections(address: &str, operations: u64) -> io::Result<()> {
    let addresses: Vec<_> = address.to_socket_addrs()?.collect();
    let client = |index: u64| {
        let addresses = addresses.clone();
        let share = operations / CLIENTS + u64::from(index < operations % CLIENTS);
        thread::spawn(move || (0..share).try_for_each(|_| connection(addresses.as_slice())))
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut ended = clients.into_iter().map(thread::JoinHandle::join);
    ended.try_for_each(|end| end.unwrap_or_else(|_| Err(io::Error::other("a client panicked"))))
}

fn connection(addresses: &[std::net::SocketAddr]) -> io::Result<()> {
    let mut stream = TcpStream::connect(addresses)?;
    // A reset at the end: no port waits for stray packets afterwards.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(b"x")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == b"x" { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}
