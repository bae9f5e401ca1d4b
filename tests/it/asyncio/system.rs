//! asyncio's signals, pipes, descriptors and subprocesses.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;

use annulus::io::pipe::{Receiver, Sender};
use annulus::io::{AsyncFd, Interest};
use annulus::process::{Child, Command, Stdio};
use annulus::signal::{SignalKind, ctrl_c, signal};
use annulus::spawn;
use annulus::task::{CancellationToken, JoinSet, yield_now};
use annulus::time::{self, Duration};

use crate::processes::need;
use crate::signals::{raise, send};
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::settled::run as settled;

// Signals.

#[test]
fn loop_add_signal_handler() {
    let child = in_child!(|| run_alone(annulus::Builder::new(), async || {
        let stop = CancellationToken::new();
        let mut handlers = JoinSet::new();
        for kind in [SignalKind::hangup(), SignalKind::terminate()] {
            let (mut listener, stop) = (signal(kind).expect("a signal"), stop.clone());
            handlers.spawn(async move {
                while listener.recv().await.is_some() {
                    stop.cancel();
                }
            });
        }
        let working = spawn(async move { stop.run_until_cancelled(pending::<()>()).await });
        send(SignalKind::terminate());
        assert_eq!(working.await.expect("it ended"), None);
        let waiting = spawn(ctrl_c());
        yield_now().await;
        send(SignalKind::interrupt());
        waiting.await.expect("it ended").expect("the runtime is there");
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn loop_remove_signal_handler() {
    let child = in_child!(|| run_alone(annulus::Builder::new(), async || {
        let listener = signal(SignalKind::terminate()).expect("a signal");
        drop(listener);
        // Nobody listens, and the process goes on all the same.
        raise(SignalKind::terminate());
        let mut listener = signal(SignalKind::terminate()).expect("a signal");
        let early = time::timeout(Duration::from_millis(5), listener.recv());
        assert!(early.await.is_err());
    }));
    child.iter().for_each(assert_passed);
}

// Pipes and descriptors.

#[test]
fn loop_connect_read_pipe() {
    settled(async || {
        let (reader, writer) = io::pipe().expect("a pipe");
        let reader = Receiver::from_owned_fd(reader.into()).expect("a pipe");
        let lines = spawn(async move {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).await.expect("a pipe");
            text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>()
        });
        yield_now().await;
        (&writer).write_all(b"one\ntwo").expect("the pipe has room");
        drop(writer);
        assert_eq!(lines.await.expect("it ended"), [b"one", b"two"]);
    });
}

#[test]
fn loop_connect_write_pipe() {
    settled(async || {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let writer = Sender::from_owned_fd(writer.into()).expect("a pipe");
        let reading = std::thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map(|_| text)
        });
        writer.write_all(&[7; 200_000]).await.expect("it is read");
        drop(writer);
        yield_now().await;
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(reading.join().expect("it ended").expect("a pipe"), [7; 200_000]);
    });
}

/// A socket that somebody else reads and writes, and its peer.
fn foreign_socket() -> (Rc<AsyncFd<UnixStream>>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    (Rc::new(AsyncFd::new(near).expect("a runtime")), far)
}

#[test]
fn loop_add_reader() {
    settled(async || {
        let (near, mut far) = foreign_socket();
        let reading = spawn(async move {
            let mut byte = [0];
            near.async_io(Interest::READABLE, |mut near| near.read(&mut byte)).await.expect("open");
            byte
        });
        yield_now().await;
        far.write_all(b"x").expect("open");
        assert_eq!(&reading.await.expect("it ended"), b"x");
    });
}

#[test]
fn loop_add_writer() {
    settled(async || {
        let (near, mut far) = foreign_socket();
        while near.get_ref().write(&[0; 4096]).is_ok() {}
        let writing = spawn(async move {
            near.async_io(Interest::WRITABLE, |mut near| near.write(b"x")).await.expect("open");
        });
        yield_now().await;
        assert!(!writing.is_finished());
        let rest = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).map(|_| bytes)
        });
        writing.await.expect("it ended");
        assert_eq!(rest.join().expect("it ended").expect("open").last(), Some(&b'x'));
    });
}

#[test]
fn loop_remove_reader() {
    settled(async || {
        let (near, mut far) = foreign_socket();
        let called = Rc::new(Cell::new(false));
        let (flag, watched) = (Rc::clone(&called), Rc::clone(&near));
        let reading = spawn(async move {
            while let Ok(guard) = watched.readable().await {
                flag.set(true);
                drop(guard);
            }
        });
        yield_now().await;
        reading.abort();
        far.write_all(b"x").expect("open");
        near.readable().await.expect("open").retain_ready();
        assert!(!called.get());
    });
}

#[test]
fn loop_remove_writer() {
    settled(async || {
        let (near, mut far) = foreign_socket();
        while near.get_ref().write(&[0; 4096]).is_ok() {}
        let (called, watched) = (Rc::new(Cell::new(false)), Rc::clone(&near));
        let flag = Rc::clone(&called);
        let writing = spawn(async move {
            // What was found when the socket was new is no more so.
            let wrote = watched.async_io(Interest::WRITABLE, |mut near| near.write(b"x"));
            flag.set(wrote.await.is_ok());
        });
        yield_now().await;
        writing.abort();
        assert!(writing.await.expect_err("it was aborted").is_cancelled());
        far.set_nonblocking(true).expect("a socket");
        while far.read(&mut [0; 4096]).is_ok() {}
        near.writable().await.expect("open").retain_ready();
        assert!(!called.get());
    });
}

// Subprocesses.

/// A child that ends when its input does.
fn reading() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was there")
}

#[test]
fn create_subprocess_exec() {
    need!("echo");
    settled(async || {
        let child = Command::new("echo").args(["hello", "world"]).stdout(Stdio::piped()).spawn();
        let output = child.expect("it was there").wait_with_output().await.expect("it ended");
        assert_eq!((output.status.code(), output.stdout), (Some(0), b"hello world\n".to_vec()));
    });
}

#[test]
fn create_subprocess_shell() {
    need!("sh", "tr");
    settled(async || {
        let output = Command::shell("echo hello | tr a-z A-Z; exit 3").output().await;
        let output = output.expect("it ended");
        assert_eq!((output.status.code(), output.stdout), (Some(3), b"HELLO\n".to_vec()));
    });
}

#[test]
fn process_wait() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        let status = time::timeout(Duration::from_secs(30), child.wait()).await;
        assert!(status.expect("its input was closed").expect("it ended").success());
    });
}

#[test]
fn process_communicate() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        let early = time::timeout(Duration::ZERO, child.communicate(vec![b'x'; 200_000]));
        assert!(early.await.is_err());
        let output = child.communicate(Vec::new()).await.expect("it ended");
        assert_eq!(output.stdout, vec![b'x'; 200_000], "retrying loses no output");
    });
}

#[test]
fn process_send_signal() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        child.signal(SignalKind::user_defined1()).expect("it runs");
        assert_eq!(child.wait().await.expect("it ended").signal(), Some(libc::SIGUSR1));
    });
}

#[test]
fn process_terminate() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        child.signal(SignalKind::terminate()).expect("it runs");
        assert_eq!(child.wait().await.expect("it ended").signal(), Some(libc::SIGTERM));
    });
}

#[test]
fn process_kill() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        child.kill().await.expect("it runs");
        assert_eq!(child.wait().await.expect("it ended").signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn process_pid() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        let id = child.id().expect("it runs");
        assert!(std::path::Path::new(&format!("/proc/{id}")).exists());
        child.wait().await.expect("it ended");
        assert_eq!(child.id(), None);
    });
}

#[test]
fn process_returncode() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        assert_eq!(child.try_wait().expect("a child"), None);
        child.wait().await.expect("it ended");
        assert_eq!(child.try_wait().expect("a child").expect("it ended").code(), Some(0));
    });
}

#[test]
fn process_stdin() {
    need!("cat");
    settled(async || {
        let mut child = reading();
        let stdin = child.stdin.take().expect("it was asked for");
        stdin.write_all(b"line\n").await.expect("it reads");
        let mut line = [0; 5];
        child.stdout.as_ref().expect("likewise").read_exact(&mut line).await.expect("it writes");
        assert_eq!(&line, b"line\n");
        drop(stdin);
        assert!(child.wait().await.expect("it ended").success());
    });
}
