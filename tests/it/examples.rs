//! The example servers, as processes: asked to end with a connection open, they end it in good order, with status 0.
#![allow(unsafe_code, reason = "a signal is sent by a system call")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use annulus::signal::SignalKind;

use crate::support::settled::PATIENCE;
use crate::support::skip::skip;

/// A server that runs until it is asked to end.
struct Server {
    process: Child,
    address: SocketAddr,
}

/// The binary of an example; tests of all targets build them, those of one do not.
fn example(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().expect("own path");
    let path = test.parent()?.parent()?.join("examples").join(name);
    path.exists().then_some(path)
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    fn start(binary: PathBuf, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary);
        let mut process =
            command.args(arguments).stdout(Stdio::piped()).spawn().expect("start the example");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("a pipe");
        BufReader::with_capacity(1, output).read_line(&mut line).expect("a line");
        let address = line.split_whitespace().find_map(|word| word.parse().ok());
        Self { process, address: address.unwrap_or_else(|| panic!("no address: {line:?}")) }
    }

    fn ask(&self, kind: SignalKind) {
        let id = self.process.id().cast_signed();
        // SAFETY: no memory is passed; the process is a child that was not reaped.
        assert_eq!(unsafe { libc::kill(id, kind.as_raw_value()) }, 0);
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where all is well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has a server of streams answer a question, asks it to end, and looks that it does: the client reads `farewell` and
/// the end, not a reset, and nobody is let in any more.
fn ends_in_good_order(
    binary: PathBuf,
    arguments: &[&str],
    question: &str,
    answer: &str,
    farewell: &str,
) {
    ends_when(binary, arguments, question, answer, farewell, |_client| {});
}

/// The same, with what the client does once the server was asked.
fn ends_when(
    binary: PathBuf,
    arguments: &[&str],
    question: &str,
    answer: &str,
    farewell: &str,
    react: impl Fn(&TcpStream),
) {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut server = Server::start(binary.clone(), arguments);
        let mut client = TcpStream::connect(server.address).expect("connect");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.write_all(question.as_bytes()).expect("the server is there");
        let mut answered = vec![0; answer.len()];
        client.read_exact(&mut answered).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answered), answer);
        server.ask(kind);
        react(&client);
        let mut rest = String::new();
        client.read_to_string(&mut rest).expect("an orderly end");
        assert_eq!(rest, farewell);
        drop(client);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{kind:?}: {status}");
        let refused = TcpStream::connect(server.address).expect_err("it has ended");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn echo_ends_in_good_order() {
    let Some(binary) = example("echo") else { skip!("the examples are not built") };
    let arguments = ["--listen", "127.0.0.1:0"];
    ends_in_good_order(binary.clone(), &arguments, "hello", "hello", "");
    let cores = [&arguments[..], &["--cores", "2"]].concat();
    ends_in_good_order(binary, &cores, "hello", "hello", "");
}

#[test]
fn kv_ends_in_good_order() {
    let Some(binary) = example("kv") else { skip!("the examples are not built") };
    let arguments = ["--listen", "127.0.0.1:0", "--cores", "2"];
    ends_in_good_order(binary, &arguments, "SET key value\nGET key\n", "OK\nVALUE value\n", "");
}

#[test]
fn chat_ends_in_good_order() {
    let Some(binary) = example("chat") else { skip!("the examples are not built") };
    let arguments = ["--listen", "127.0.0.1:0"];
    ends_in_good_order(
        binary,
        &arguments,
        "me\nhello\n",
        "* me joined\nme: hello\n",
        "* the room is closed\n",
    );
}

#[test]
fn udp_echo_ends_in_good_order() {
    let Some(binary) = example("udp_echo") else { skip!("the examples are not built") };
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut server = Server::start(binary.clone(), &["--serve", "127.0.0.1:0"]);
        let client = UdpSocket::bind("127.0.0.1:0").expect("bind");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        client.send_to(b"hello", server.address).expect("send");
        let mut buf = [0; 16];
        assert_eq!(client.recv(&mut buf).expect("an answer"), 5);
        server.ask(kind);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{kind:?}: {status}");
    }
}

#[test]
fn lines_ends_in_good_order() {
    let Some(binary) = example("lines") else { skip!("the examples are not built") };
    ends_in_good_order(binary, &["--serve", "127.0.0.1:0"], "PING\r\n", "+PONG\r\n", "");
}

/// A server that sends back the first bytes of each of so many connections, and the end after theirs.
fn echo_behind(connections: usize) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut buf = [0; 16];
            while let Ok(count @ 1..) = stream.read(&mut buf) {
                stream.write_all(&buf[..count]).expect("the proxy is there");
            }
        }
    });
    (address, thread)
}

#[test]
fn proxy_lets_a_connection_end_in_good_order() {
    let Some(binary) = example("proxy") else { skip!("the examples are not built") };
    let (behind, echo) = echo_behind(2);
    let arguments = ["--listen", "127.0.0.1:0", "--to", &behind.to_string()];
    // What passes on is not for the proxy to end: its client does.
    ends_when(binary, &arguments, "hello", "hello", "", |client| {
        client.shutdown(Shutdown::Write).expect("a socket");
    });
    echo.join().expect("no panic");
}
