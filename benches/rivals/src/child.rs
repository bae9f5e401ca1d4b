//! A run in a process of its own: this very program, started again, on a processor of its own.
//!
//! Nothing that another rival or an earlier run left behind (heap, threads, kernel workers, a branch predictor's
//! memory) is there, and the processor time of the process is the rival's alone. A server says its address and serves
//! until it is killed; a job says what it measured and ends.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::contest::Sample;
use crate::rival::{Rival, Server};
use crate::support::cpu;
use crate::support::files::raise_file_limit;

const SCRIPT: &str = include_str!("rivals/echo.py");
/// A job that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long may a server take to say its address.
const START: Duration = Duration::from_secs(10);

/// A server that runs, and is killed at the end.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    /// Starts the server and waits for its address. The error is the child's last word.
    pub(crate) fn start(
        rival: &Rival,
        server: &str,
        buffer: usize,
        processor: usize,
    ) -> Result<Self, String> {
        let mut command = match rival.server(server) {
            Some(Server::Python(kind)) => python(kind, server, buffer, processor),
            _ => {
                let mut command = this_program()?;
                command.args(["--serve", rival.name, "--server", server]);
                command.args(["--buffer", &buffer.to_string()]);
                command.args(["--processor", &processor.to_string()]);
                command
            }
        };
        let mut child = spawn(&mut command)?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        match first_line(output).and_then(|line| line.trim().parse().ok()) {
            Some(address) => Ok(Self { child, address }),
            None => Err(last_word(&mut child)),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Why the server ended, if it did; a load that failed asks.
    pub(crate) fn failure(&mut self) -> Option<String> {
        thread::sleep(Duration::from_millis(20));
        let ended = self.child.try_wait().ok().flatten().is_some();
        ended.then(|| last_word(&mut self.child))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a job in a child and returns what it measured.
pub(crate) fn job(rival: &Rival, name: &str, operations: u64) -> Result<Sample, String> {
    let mut command = this_program()?;
    command.args(["--job", rival.name, "--name", name, "--operations", &operations.to_string()]);
    let mut child = spawn(&mut command)?;
    let output = child.stdout.take().ok_or("the child has no output")?;
    let reading = thread::spawn(move || first_line(output));
    let begun = Instant::now();
    while !reading.is_finished() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("did not end within {} s", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let line = reading.join().unwrap_or_default();
    match line.as_deref().and_then(parse) {
        Some(sample) => {
            let _ = child.wait();
            Ok(sample)
        }
        None => Err(last_word(&mut child)),
    }
}

/// The child's part of a server: says where it serves, and serves.
pub(crate) fn serve(
    rival: &Rival,
    server: &str,
    buffer: usize,
    processor: usize,
) -> io::Result<()> {
    cpu::pin_to(processor)?;
    raise_file_limit();
    match rival.server(server) {
        Some(Server::Tcp(serve)) => {
            let listener = listen()?;
            say(listener.local_addr()?)?;
            serve(listener, buffer)
        }
        Some(Server::Udp(serve)) => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            say(socket.local_addr()?)?;
            serve(socket)
        }
        _ => Err(io::Error::other(format!("{} has no {server}", rival.name))),
    }
}

/// Says an address, and ends the process well when somebody connects to it: callgrind writes its counts at the end.
pub(crate) fn end_when_asked() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(listener.local_addr()?)?;
    thread::spawn(move || {
        let _ = listener.accept();
        std::process::exit(0);
    });
    Ok(())
}

/// The child's part of a job: runs it, and says what it measured.
pub(crate) fn run(rival: &Rival, name: &str, operations: u64) -> io::Result<()> {
    let job = rival.job(name).ok_or(io::Error::other("no such job"))?;
    if !name.starts_with("cross-") {
        cpu::pin_to(cpu::allowed().first().copied().unwrap_or(0))?;
    }
    let sample = job(operations)?;
    let mut line = format!("{} {} {}", sample.operations, sample.wall_ns, sample.cpu_ns);
    for (name, value) in sample.extras {
        line += &format!(" {name}={value}");
    }
    say(line)
}

/// Ends the process when a thread of it panics: the others would wait for it.
pub(crate) fn end_with_a_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::exit(101);
    }));
}

fn say(what: impl ToString) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all((what.to_string() + "\n").as_bytes())?;
    output.flush()
}

/// What `run` said.
fn parse(line: &str) -> Option<Sample> {
    let mut words = line.split_whitespace();
    let mut number = || words.next()?.parse().ok();
    let (operations, wall_ns, cpu_ns) = (number()?, number()?, number()?);
    let extra = |word: &str| {
        let (name, value) = word.split_once('=')?;
        // The names are few, and live as long as the program.
        Some((&*String::leak(name.to_owned()), value.parse().ok()?))
    };
    let extras = words.filter_map(extra).collect();
    Some(Sample { operations, wall_ns, cpu_ns, extras })
}

/// A listener on a free loopback port with room for all clients at once, the same for every rival.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn this_program() -> Result<Command, String> {
    std::env::current_exe().map(Command::new).map_err(|error| error.to_string())
}

fn python(kind: &str, server: &str, buffer: usize, processor: usize) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, kind, server, &buffer.to_string(), &processor.to_string()]);
    command
}

/// Says why the script cannot run here, if it cannot.
pub(crate) fn python_lacks(kind: &str) -> Option<String> {
    let module = format!("import {kind}");
    match Command::new("python3").args(["-c", &module]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some(format!("python3 has no {kind} here (pip install {kind})")),
        Err(_) => Some("there is no python3 here".to_owned()),
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The last line of a panic is then its message.
    command.env("RUST_BACKTRACE", "0");
    command.spawn().map_err(|error| error.to_string())
}

/// The first line, or none where there is none in time.
fn first_line(output: ChildStdout) -> Option<String> {
    let (say, said) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        say.send((read.is_ok() && !line.is_empty()).then_some(line)).ok();
    });
    said.recv_timeout(START.max(PATIENCE)).ok().flatten()
}

/// Ends the child and returns what it said last on its standard error, or how it ended.
fn last_word(child: &mut Child) -> String {
    let _ = child.kill();
    let status = child.wait();
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        let _ = io::Read::read_to_string(&mut errors, &mut said);
    }
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    // Of several panics the first is the cause; its message is on the next line.
    let panic = lines.clone().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or_else(|| lines.next_back());
    let line = line.map(|line| line.chars().take(160).collect());
    line.unwrap_or_else(|| match status {
        Ok(status) => format!("ended with {status}"),
        Err(error) => error.to_string(),
    })
}

/// The commit that is measured, with a mark where the tree has changes.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).stderr(Stdio::null()).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let sources = [":/", ":!/bench-results"];
    let status = ["status", "--porcelain", "--untracked-files=no", "--", sources[0], sources[1]];
    let changed = !git(&status).is_empty();
    format!("{}{}", git(&["rev-parse", "--short=12", "HEAD"]), if changed { "+" } else { "" })
}

/// The version that the kernel gives itself, and what it does against the processor's leaks.
pub(crate) fn mitigations() -> String {
    let mut found = Vec::new();
    let folder = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    for entry in folder.into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some(what) = text.trim().strip_prefix("Mitigation: ") {
            found.push(format!("{}: {what}", entry.file_name().to_string_lossy()));
        }
    }
    found.sort();
    found.join("; ")
}
