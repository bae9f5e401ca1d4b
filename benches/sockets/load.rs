//! The other side of each cell: a process of its own that begins when it is told to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// Datagrams on the way at once.
const WINDOW: usize = 32;
const DATAGRAM: [u8; 64] = [7; 64];
const CLIENTS: u64 = 8;
pub(super) const MESSAGE: usize = 16 * 1024;
/// A line of 64 bytes, and how many are written at once.
const LINE: usize = 64;
const LINES: u64 = 256;
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
            "tcp" => connections(address, operations, until_the_end),
            "churn" => connections(address, operations, until_the_answer),
            "messages" => messages(address, operations),
            "bulk" => pour(address, &[7; MESSAGE], operations),
            "lines" => lines(address, operations),
            "sink" => sink(address, operations),
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
fn connections(
    address: &str,
    operations: u64,
    connection: fn(&[SocketAddr]) -> io::Result<()>,
) -> io::Result<()> {
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

/// A reset after the answer.
fn until_the_answer(addresses: &[SocketAddr]) -> io::Result<()> {
    let mut stream = TcpStream::connect(addresses)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(&DATAGRAM)?;
    let mut answer = [0; DATAGRAM.len()];
    stream.read_exact(&mut answer)?;
    if answer == DATAGRAM { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}

fn until_the_end(addresses: &[SocketAddr]) -> io::Result<()> {
    let mut stream = TcpStream::connect(addresses)?;
    // A reset at the end: no port waits for stray packets afterwards.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(b"x")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == b"x" { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}

/// Sends messages through the proxy to an echo behind it, which this is as well, each when the last has come back.
fn messages(address: &str, operations: u64) -> io::Result<()> {
    let (client, server) = through(address)?;
    let echo = thread::spawn(move || {
        let mut message = vec![0; MESSAGE];
        (0..operations).try_for_each(|_| {
            (&server).read_exact(&mut message)?;
            (&server).write_all(&message)
        })
    });
    let mut message = vec![7; MESSAGE];
    for _ in 0..operations {
        (&client).write_all(&message)?;
        (&client).read_exact(&mut message)?;
    }
    echo.join().unwrap_or_else(|_| Err(io::Error::other("the echo panicked")))
}

/// A connection to the proxy, and the one that it makes to us.
fn through(address: &str) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    client.write_all(&listener.local_addr()?.port().to_be_bytes())?;
    let (server, _) = listener.accept()?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// Pours the same bytes into the proxy, and out behind it.
fn pour(address: &str, bytes: &[u8], operations: u64) -> io::Result<()> {
    let (client, server) = through(address)?;
    let drain = thread::spawn(move || io::copy(&mut &server, &mut io::sink()));
    (0..operations).try_for_each(|_| (&client).write_all(bytes))?;
    client.shutdown(std::net::Shutdown::Write)?;
    let came = drain.join().unwrap_or_else(|_| Err(io::Error::other("the drain panicked")))?;
    match came == operations * bytes.len() as u64 {
        true => Ok(()),
        false => Err(io::Error::other("not all came through")),
    }
}

/// Sends the same bytes as fast as they are taken.
fn sink(address: &str, operations: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    (0..operations).try_for_each(|_| stream.write_all(&[7; MESSAGE]))?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let _end = stream.read(&mut [0])?;
    Ok(())
}

fn lines(address: &str, operations: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut lines = [b'x'; LINE * LINES as usize];
    lines.iter_mut().skip(LINE - 1).step_by(LINE).for_each(|byte| *byte = b'\n');
    let mut left = operations;
    while left > 0 {
        let count = left.min(LINES);
        stream.write_all(&lines[..count as usize * LINE])?;
        left -= count;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let _end = stream.read(&mut [0])?;
    Ok(())
}
