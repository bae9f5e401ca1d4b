//! Pipes, FIFOs and the standard streams: what a dropped future leaves, who else has the open file, and the ends.
//!
//! # Safety rules
//!
//! 1. Calls get strings that end in zero and descriptors that are open; what they return is checked.
//! 2. The standard streams that are exchanged are those of a child, which runs this test alone.
#![allow(unsafe_code, reason = "terminals and standard streams are made by system calls")]

use std::fs::File;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use annulus::io::pipe::{OpenOptions, Receiver, Sender};
use annulus::io::{pipe, stderr, stdin, stdout};
use annulus::runtime::Feature;
use annulus::time::timeout;
use annulus::{Builder, spawn};
use socket2::SockRef;

use crate::support::child::{assert_passed, describe, in_child, run_alone};
use crate::support::files::nameless_file;
use crate::support::settled::{
    Drops, assert_content, content, poll_once, rounds, run, run_with, select, turn,
    until_operations,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotRead)]
}

/// Drops a future whose operation the kernel has.
async fn begin_and_drop(future: impl Future) {
    let mut future = Box::pin(future);
    assert!(poll_once(&mut future).await.is_pending());
    turn().await;
}

#[test]
fn what_is_written_is_read_and_the_end_is_seen() {
    for builder in both_forms() {
        run_with(builder, async || {
            const LEN: usize = 300_000;
            let (sender, receiver) = pipe().unwrap();
            let sending = spawn(async move {
                sender.write_all_owned(content(0, 0, LEN)).await.unwrap();
                assert_eq!(sender.write(&content(0, LEN, 10)).await.unwrap(), 10);
                sender.flush().await.unwrap();
            });
            let mut head = [0; 1000];
            receiver.read_exact(&mut head).await.unwrap();
            assert_content(0, 0, &head);
            let (count, buf) = receiver.read_owned(vec![0; 7]).await.unwrap();
            assert_content(0, 1000, &buf[..count]);
            let mut rest = Vec::new();
            let len = receiver.read_to_end(&mut rest).await.unwrap();
            assert_eq!(1000 + count + len, LEN + 10);
            assert_content(0, 1000 + count, &rest);
            assert_eq!(receiver.read(&mut head).await.unwrap(), 0);
            assert!(receiver.recv().await.unwrap().is_none());
            let error = receiver.read_exact(&mut head).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            sending.await.unwrap();
        });
    }
}

#[test]
fn dropped_reads_lose_no_byte() {
    for builder in both_forms() {
        run_with(builder, async || {
            let count = rounds(1000, 100_000);
            let (sender, receiver) = pipe().unwrap();
            let sending = spawn(async move {
                for round in 0..count {
                    sender.write_all(&content(0, round * 3, 3)).await.unwrap();
                    if round % 7 == 0 {
                        turn().await;
                    }
                }
            });
            let mut at = 0;
            let mut buf = [0; 5];
            for round in 0.. {
                if round % 3 == 0 {
                    let pause = Duration::from_micros(round % 50);
                    if let Ok(chunk) = timeout(pause, receiver.recv()).await {
                        let Some(chunk) = chunk.unwrap() else { break };
                        assert_content(0, at, &chunk);
                        at += chunk.len();
                    }
                } else {
                    let read = select(receiver.read(&mut buf), turn()).await;
                    if let crate::support::settled::Either::First(len) = read {
                        let len = len.unwrap();
                        if len == 0 {
                            break;
                        }
                        assert_content(0, at, &buf[..len]);
                        at += len;
                    }
                }
            }
            assert_eq!(at, count * 3);
            sending.await.unwrap();
        });
    }
}

#[test]
fn an_end_goes_back_with_what_it_held_and_blocks() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (sender, receiver) = pipe().unwrap();
            sender.write_all(b"hello, ").await.unwrap();
            assert_eq!(receiver.read(&mut [0; 2]).await.unwrap(), 2);
            begin_and_drop(sender.write_all(b"world")).await;
            let mut writer = File::from(sender.into_fd().await.unwrap());
            let (fd, mut bytes) = receiver.into_fd().await.unwrap();
            writer.write_all(b"!").unwrap();
            let flags = |fd: &dyn AsRawFd| {
                // SAFETY: rule 1.
                unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
            };
            assert_eq!((flags(&writer) | flags(&fd)) & libc::O_NONBLOCK, 0);
            drop(writer);
            File::from(fd).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"llo, world!");
        });
    }
}

#[test]
fn a_second_reader_and_a_second_writer_are_refused() {
    run(async || {
        let (sender, receiver) = pipe().unwrap();
        let waiting = spawn(async move {
            let first = receiver.recv().await;
            (first.map(|chunk| chunk.map(|chunk| chunk.to_vec())), receiver)
        });
        turn().await;
        drop(waiting);
        sender.write_all(b"x").await.unwrap();
        let (sender, receiver) = pipe().unwrap();
        let mut first = Box::pin(receiver.recv());
        let (poll, flag) = crate::support::settled::poll_flagged(&mut first);
        assert!(poll.is_pending());
        assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert!(flag.is_set());
        drop(first);
        sender.write_all(b"y").await.unwrap();
        assert_eq!(&*receiver.recv().await.unwrap().unwrap(), b"y");
    });
}

#[test]
fn operations_on_a_runtime_that_ended_say_so() {
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    let (sender, receiver) = runtime.block_on(async { pipe().unwrap() });
    drop(runtime);
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        assert!(receiver.recv().await.unwrap_err().to_string().contains("shut down"));
        assert!(sender.write(b"x").await.unwrap_err().to_string().contains("shut down"));
        assert!(sender.write(b"x").await.unwrap_err().to_string().contains("shut down"));
    });
}

// FIFOs.

/// A FIFO of a name of its own, gone when dropped.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("annulus-fifo-{}-{name}", std::process::id()));
        let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
        // SAFETY: rule 1.
        let result = unsafe { libc::mkfifo(text.as_ptr(), 0o600) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        Self(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("it was made");
    }
}

#[test]
fn a_fifo_waits_for_its_first_sender_and_ends_with_its_last() {
    for (nth, builder) in both_forms().into_iter().enumerate() {
        run_with(builder, async || {
            let fifo = Fifo::new(&format!("first-{nth}"));
            let error = OpenOptions::new().open_sender(&fifo.0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
            let receiver = OpenOptions::new().open_receiver(&fifo.0).unwrap();
            let early = timeout(Duration::from_millis(3), receiver.recv());
            assert!(early.await.is_err(), "that nobody came yet is not the end");
            let sender = OpenOptions::new().open_sender(&fifo.0).unwrap();
            let second = OpenOptions::new().open_sender(&fifo.0).unwrap();
            sender.write_all(b"one").await.unwrap();
            assert_eq!(&*receiver.recv().await.unwrap().unwrap(), b"one");

            drop(sender);
            second.write_all(b"two").await.unwrap();

            assert_eq!(&*receiver.recv().await.unwrap().unwrap(), b"two");

            drop(second);
            assert!(receiver.recv().await.unwrap().is_none());
        });
    }
}

#[test]
fn a_fifo_that_is_open_both_ways_has_no_end() {
    run(async || {
        let fifo = Fifo::new("both");
        let receiver = OpenOptions::new().read_write(true).open_receiver(&fifo.0).unwrap();
        for round in 0..3 {
            let sender = OpenOptions::new().open_sender(&fifo.0).unwrap();
            sender.write_all(&[round]).await.unwrap();
            drop(sender);
            assert_eq!(&*receiver.recv().await.unwrap().unwrap(), [round]);
            assert!(timeout(Duration::from_millis(2), receiver.recv()).await.is_err());
        }
        let path = nameless_file();
        drop(path);
        let null = OpenOptions::new().open_receiver("/dev/null").unwrap_err();
        assert_eq!(null.kind(), ErrorKind::InvalidInput);
        let none = OpenOptions::new().open_receiver("/nonexistent").unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}

// The standard streams, each test in a child.

/// Makes `fd` the standard stream of this number.
fn exchange(fd: impl AsFd, number: i32) {
    // SAFETY: rules 1 and 2.
    assert_eq!(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }, number);
}

#[test]
fn the_input_is_read_whatever_it_is() {
    let child = in_child!(|| {
        for builder in both_forms() {
            run_alone(builder, async || {
                // A file.
                let path = std::env::temp_dir().join(format!("annulus-in-{}", std::process::id()));
                std::fs::write(&path, content(0, 0, 200_000)).unwrap();
                exchange(File::open(&path).unwrap(), 0);
                std::fs::remove_file(path).unwrap();
                let input = stdin().unwrap();
                let mut head = [0; 10];
                input.read_exact(&mut head).await.unwrap();
                let mut rest = Vec::new();
                assert_eq!(input.read_to_end(&mut rest).await.unwrap(), 199_990);
                assert_content(0, 10, &rest);
                // Nothing.
                exchange(File::open("/dev/null").unwrap(), 0);
                assert!(stdin().unwrap().recv().await.unwrap().is_none());
                // A socket, as inetd gives it.
                let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
                exchange(&near, 0);
                drop(near);
                let input = stdin().unwrap();
                far.write_all(b"from a socket").unwrap();
                assert_eq!(&*input.recv().await.unwrap().unwrap(), b"from a socket");
                exchange(File::open("/dev/null").unwrap(), 0);
            });
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn a_dropped_read_of_the_input_takes_nothing_from_a_child() {
    let child = in_child!(|| {
        for builder in both_forms() {
            run_alone(builder, async || {
                let (reader, mut writer) = std::io::pipe().unwrap();
                exchange(&reader, 0);
                drop(reader);
                let input = stdin().unwrap();
                for _ in 0..3 {
                    assert!(timeout(Duration::from_millis(2), input.recv()).await.is_err());
                    until_operations(0).await;
                    writer.write_all(b"for the child").unwrap();
                    let output = Command::new("head")
                        .args(["-c", "13"])
                        .stdin(Stdio::inherit())
                        .output()
                        .unwrap();
                    assert_eq!(output.stdout, b"for the child");
                    writer.write_all(b"for us").unwrap();
                    assert_eq!(&*input.recv().await.unwrap().unwrap(), b"for us");
                }
                exchange(File::open("/dev/null").unwrap(), 0);
            });
        }
    });
    child.iter().for_each(assert_passed);
}

/// A terminal: its master, and the end that programs read.
fn terminal() -> std::io::Result<(File, File)> {
    // SAFETY: rule 1.
    unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        if master < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let master = File::from(OwnedFd::from_raw_fd(master));
        let mut name = [0; 64];
        let fd = master.as_raw_fd();
        if libc::grantpt(fd) != 0
            || libc::unlockpt(fd) != 0
            || libc::ptsname_r(fd, name.as_mut_ptr(), name.len()) != 0
        {
            return Err(std::io::Error::last_os_error());
        }
        let name = std::ffi::CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
        let slave = File::options().read(true).write(true).open(name)?;
        Ok((master, slave))
    }
}

#[test]
fn a_terminal_is_read_by_lines_and_written_and_the_loop_goes_on() {
    let child = in_child!(|| {
        let (mut master, slave) = match terminal() {
            Ok(ends) => ends,
            Err(error) => skip!("no terminals here: {error}"),
        };
        for does_not_block in [false, true] {
            for builder in both_forms() {
                SockRef::from(&slave).set_nonblocking(does_not_block).unwrap();
                run_alone(builder, async || {
                    exchange(&slave, 0);
                    let input = stdin().unwrap();
                    for _ in 0..3 {
                        assert!(timeout(Duration::from_millis(2), input.recv()).await.is_err());
                        master.write_all(b"typed\n").unwrap();
                        assert_eq!(&*input.recv().await.unwrap().unwrap(), b"typed\n");
                    }
                    let mut byte = [0];
                    master.write_all(b"ab\n").unwrap();
                    for expected in *b"ab\n" {
                        assert_eq!(input.read(&mut byte).await.unwrap(), 1);
                        assert_eq!(byte, [expected]);
                    }
                    // Ctrl-d.
                    master.write_all(&[4]).unwrap();
                    assert!(input.recv().await.unwrap().is_none());
                    exchange(File::open("/dev/null").unwrap(), 0);
                });
            }
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn the_outputs_are_written_in_order() {
    let child = in_child!(|| {
        run_alone(Builder::new(), async || {
            let (out, err) = (stdout().unwrap(), stderr().unwrap());
            out.write_all(b"\none ").await.unwrap();
            std::io::stdout().write_all(b"two\n").unwrap();
            out.write_all_owned(b"three".as_slice()).await.unwrap();
            assert_eq!(out.write(b"\n").await.unwrap(), 1);
            err.write_all(b"to err\n").await.unwrap();
            begin_and_drop(out.write_all(b"dropped\n")).await;
            out.flush().await.unwrap();
        });
    });
    if let Some(child) = child {
        assert_passed(&child);
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(text.contains("\none two\nthree\ndropped\n"), "{}", describe(&child));
        assert!(String::from_utf8_lossy(&child.stderr).contains("to err"), "{}", describe(&child));
    }
}

#[test]
fn an_output_to_a_full_pipe_does_not_stop_the_loop() {
    let child = in_child!(|| {
        for does_not_block in [false, true] {
            run_alone(Builder::new(), async || {
                // SAFETY: rule 1.
                let kept = unsafe { OwnedFd::from_raw_fd(libc::dup(1)) };
                let (mut reader, writer) = std::io::pipe().unwrap();
                SockRef::from(&writer).set_nonblocking(does_not_block).unwrap();
                exchange(&writer, 1);
                drop(writer);
                let out = stdout().unwrap();
                exchange(&kept, 1);
                out.write_all(&[0; 65536]).await.unwrap();
                let mut writing = Box::pin(out.write_all(b"more"));
                assert!(poll_once(&mut writing).await.is_pending());
                let other = timeout(Duration::from_millis(3), writing.as_mut());
                assert!(other.await.is_err(), "time goes on");
                let drops = Drops::default();
                assert_eq!(drops.count(), 0);
                reader.read_exact(&mut [0; 65536]).unwrap();
                writing.await.unwrap();
                let mut more = [0; 4];
                reader.read_exact(&mut more).unwrap();
                assert_eq!(&more, b"more");
            });
        }
    });
    child.iter().for_each(assert_passed);
}

/// Futures of the ends are told apart by no more than their types.
#[test]
fn ends_are_used_by_code_that_spawns() {
    fn spawned(future: impl Future<Output = ()> + 'static) -> annulus::task::JoinHandle<()> {
        spawn(future)
    }
    run(async || {
        let (sender, receiver) = pipe().unwrap();
        let echo = |receiver: Receiver, sender: Sender| async move {
            while let Some(chunk) = receiver.recv().await.unwrap() {
                sender.write_all_owned(chunk).await.unwrap();
            }
        };
        let (back, answers) = pipe().unwrap();
        let task = spawned(echo(receiver, back));
        sender.write_all(b"there and back").await.unwrap();
        let mut bytes = [0; 14];
        answers.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"there and back");
        drop(sender);
        task.await.unwrap();
    });
}
