//! Buffers of the user's that panic, or use the runtime, whenever they are asked for something.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use annulus::buf::AlignedBuf;
use annulus::fs::{DirectFile, File, OpenOptions, RegisteredPool};
use annulus::io::pipe;
use annulus::io::pipe::{Receiver, Sender};
use annulus::net::{TcpStream, UdpSocket, UnixStream};
use annulus::runtime::metrics;
use annulus::{Builder, Runtime};

use crate::support::buffer::{Asked, Rude};
use crate::support::files::{Folder, make_fifo, nameless_file, packet_pipe};
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    PATIENCE, pair, poll_once, read_len, run_with, turn, until, write_now,
};

/// A unit of direct I/O, and the size of all buffers.
const UNIT: usize = 4096;

/// One of everything that takes a buffer, new for each attempt.
struct Resources {
    file: File,
    /// Past the page cache: pipes of packets, of which one has a packet and the other room.
    full: DirectFile,
    room: DirectFile,
    near: TcpStream,
    _far: StdStream,
    unix: UnixStream,
    _unix_far: UnixStream,
    datagrams: UdpSocket,
    _datagrams_far: StdUdp,
    sender: Sender,
    _receiver: Receiver,
    pool: RegisteredPool,
    _ends: [std::fs::File; 2],
}

impl Resources {
    async fn new() -> Self {
        let plain = nameless_file();
        (&plain).write_all(&[1; UNIT]).unwrap();
        let (packets, mut packets_in) = packet_pipe();
        packets_in.write_all(&[2; UNIT]).unwrap();
        let (packets_out, room) = packet_pipe();
        let (near, far) = pair();
        write_now(&far, &[3; UNIT]);
        let (unix, unix_far) = UnixStream::pair().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let datagrams_far = StdUdp::bind("127.0.0.1:0").unwrap();
        datagrams.connect(datagrams_far.local_addr().unwrap()).await.unwrap();
        let (sender, receiver) = pipe().unwrap();
        Self {
            file: File::from_std(plain),
            full: DirectFile::from_std(packets).await.unwrap(),
            room: DirectFile::from_std(room).await.unwrap(),
            near,
            _far: far,
            unix,
            _unix_far: unix_far,
            datagrams,
            _datagrams_far: datagrams_far,
            sender,
            _receiver: receiver,
            pool: RegisteredPool::new(UNIT, 1).unwrap(),
            _ends: [packets_in, packets_out],
        }
    }

    /// A buffer with as many bytes as it has room for.
    fn buffer(&self, is_registered: bool, behave: &Rc<dyn Fn(Asked)>) -> Rude {
        let mut bytes = match is_registered {
            true => self.pool.get().expect("it went back"),
            false => AlignedBuf::new(UNIT, UNIT),
        };
        bytes.resize(UNIT, 7);
        Rude::new(bytes, Rc::clone(behave))
    }

    /// Nothing is held by what went wrong: no turn, no place among the direct operations, no lost error.
    async fn go_on(&self) {
        self.file.flush().await.expect("no error is left");
        self.file.write_at(vec![1], 0).await.expect("it is open");
        self.room.write_at(AlignedBuf::zeroed(UNIT, UNIT), 0).await.expect("there is room");
        self.near.write_all(b"!").await.expect("nobody holds the turn");
        self.unix.write_all(b"!").await.expect("nobody holds the turn");
        self.datagrams.send(b"!").await.expect("there is room");
        self.sender.write_all(b"!").await.expect("nobody holds the turn");
        assert_eq!(self.pool.available(), 1);
    }
}

type Operation = for<'a> fn(&'a Resources, Rude) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

fn fd() -> OwnedFd {
    nameless_file().into()
}

const OPERATIONS: [(&str, Operation); 20] = [
    ("read_at", |all, buf| Box::pin(async { _ = all.file.read_at(buf, 0).await })),
    ("read_exact_at", |all, buf| Box::pin(async { _ = all.file.read_exact_at(buf, 0).await })),
    ("write_at", |all, buf| Box::pin(async { _ = all.file.write_at(buf, 0).await })),
    ("write_all_at", |all, buf| Box::pin(async { _ = all.file.write_all_at(buf, 0).await })),
    ("read_vectored_at", |all, buf| {
        Box::pin(async { _ = all.file.read_vectored_at(vec![buf], 0).await })
    }),
    ("write_vectored_at", |all, buf| {
        Box::pin(async { _ = all.file.write_vectored_at(vec![buf], 0).await })
    }),
    ("direct read_at", |all, buf| Box::pin(async { _ = all.full.read_at(buf, 0).await })),
    ("direct read_exact_at", |all, buf| {
        Box::pin(async { _ = all.full.read_exact_at(buf, 0).await })
    }),
    ("direct read_vectored_at", |all, buf| {
        Box::pin(async { _ = all.full.read_vectored_at(vec![buf], 0).await })
    }),
    ("direct write_at", |all, buf| Box::pin(async { _ = all.room.write_at(buf, 0).await })),
    ("direct write_all_at", |all, buf| Box::pin(async { _ = all.room.write_all_at(buf, 0).await })),
    ("direct write_vectored_at", |all, buf| {
        Box::pin(async { _ = all.room.write_vectored_at(vec![buf], 0).await })
    }),
    ("read_owned", |all, buf| Box::pin(async { _ = all.near.read_owned(buf).await })),
    ("send", |all, buf| Box::pin(async { _ = all.near.send(buf).await })),
    ("send_all", |all, buf| Box::pin(async { _ = all.near.send_all(buf).await })),
    ("send_all_vectored", |all, buf| {
        Box::pin(async { _ = all.near.send_all_vectored(vec![buf]).await })
    }),
    ("send_with_fds", |all, buf| {
        Box::pin(async { _ = all.unix.send_with_fds(buf, vec![fd()]).await })
    }),
    ("send_owned of a message", |all, buf| {
        Box::pin(async { _ = all.datagrams.send_owned(buf).await })
    }),
    ("write_all_owned", |all, buf| Box::pin(async { _ = all.sender.write_all_owned(buf).await })),
    ("write_owned", |all, buf| Box::pin(async { _ = all.sender.write_owned(buf).await })),
];

/// Drives a future to its end, or to its panic, of which it says true.
async fn panics(future: impl Future<Output = ()>) -> bool {
    let mut future = Box::pin(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|()| false),
        Err(_) => Poll::Ready(true),
    })
    .await
}

/// Counts questions and drops, and panics at the question of this number.
struct Trap {
    at: usize,
    asked: Cell<usize>,
    drops: Cell<usize>,
}

impl Trap {
    fn new(at: usize) -> (Rc<Self>, Rc<dyn Fn(Asked)>) {
        let trap = Rc::new(Self { at, asked: Cell::new(0), drops: Cell::new(0) });
        let spring = Rc::clone(&trap);
        (trap, Rc::new(move |asked| spring.ask(asked)))
    }

    fn ask(&self, asked: Asked) {
        if asked == Asked::Drop {
            self.drops.set(self.drops.get() + 1);
        } else if self.asked.replace(self.asked.get() + 1) == self.at {
            resume_unwind(Box::new("rude"));
        }
    }
}

#[test]
fn a_buffer_that_panics_at_any_question_is_dropped_once_and_nothing_is_held() {
    run_with(Builder::new().direct_depth(1), async || {
        for (name, operation) in OPERATIONS {
            for is_registered in [false, true] {
                for at in 0.. {
                    let all = Resources::new().await;
                    let (trap, behave) = Trap::new(at);
                    let buf = all.buffer(is_registered, &behave);
                    let panicked = panics(async { operation(&all, buf).await }).await;
                    until(|| trap.drops.get() == 1).await;
                    assert_eq!(panicked, trap.asked.get() > at, "{name}, question {at}");
                    all.go_on().await;
                    if !panicked {
                        assert!(at > 0, "{name} asked nothing");
                        break;
                    }
                }
            }
        }
    });
}

/// Asked while what has arrived is copied into it.
#[test]
fn a_buffer_that_panics_while_it_is_read_into_loses_no_byte() {
    const WORDS: &[u8] = b"all of it";
    run_with(Builder::new(), async || {
        for at in 0.. {
            let (near, far) = pair();
            write_now(&far, WORDS);
            let (sender, receiver) = pipe().unwrap();
            sender.write_all(WORDS).await.unwrap();
            drop((far, sender));
            let buf = || Rude::new(AlignedBuf::new(UNIT, UNIT), Trap::new(at).1);
            let panicked = [
                panics(async { _ = near.read_owned(buf()).await }).await,
                panics(async { _ = receiver.read_owned(buf()).await }).await,
            ];
            if panicked == [false; 2] {
                assert!(at > 1, "it was asked nothing");
                break;
            }
            assert_eq!(panicked, [true; 2], "question {at}");
            let arrivals = [near.recv().await.unwrap(), receiver.recv().await.unwrap()];
            assert_eq!(
                arrivals.map(|chunk| chunk.as_deref() == Some(WORDS)),
                [true; 2],
                "question {at}"
            );
        }
    });
}

/// What a buffer of a write does that nobody waits for is caught, and counted.
#[test]
fn a_buffer_that_panics_after_its_future_is_gone_stops_nobody() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (mut reader, writer) = packet_pipe();
        (&writer).write_all(&[0; 16 * UNIT]).unwrap();
        let file = DirectFile::from_std(writer).await.unwrap();
        let is_armed = Rc::new(Cell::new(false));
        let drops = Rc::new(Cell::new(0));
        let (armed, dropped) = (Rc::clone(&is_armed), Rc::clone(&drops));
        let behave: Rc<dyn Fn(Asked)> = Rc::new(move |asked| match asked {
            Asked::Drop => dropped.set(dropped.get() + 1),
            _ if armed.get() => resume_unwind(Box::new("rude")),
            _ => {}
        });
        let buf = Rude::new(AlignedBuf::zeroed(UNIT, UNIT), behave);
        let mut write = Box::pin(file.write_all_at(buf, 0));
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        drop(write);
        is_armed.set(true);
        reader.read_exact(&mut [0; UNIT]).unwrap();
        until(|| metrics().caught_panics == 1).await;
        assert_eq!(drops.get(), 1, "it went as it was asked how long it is");
        file.close().await.expect("it was written");
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

/// Each question, and the drop, submits an operation, spawns a task, sends on a stream, and exchanges a timer.
#[test]
fn a_buffer_may_use_the_runtime_whenever_it_is_asked() {
    run_with(Builder::new().direct_depth(1), async || {
        for (name, operation) in OPERATIONS {
            for is_registered in [false, true] {
                let all = Resources::new().await;
                let (other, far) = pair();
                let uses = Rc::new(Cell::new(0));
                let used = Rc::clone(&uses);
                let timer = Cell::new(None);
                let behave: Rc<dyn Fn(Asked)> = Rc::new(move |_| {
                    used.set(used.get() + 1);
                    let mut cx = Context::from_waker(Waker::noop());
                    let mut nop = Box::pin(annulus::io::nop());
                    assert!(nop.as_mut().poll(&mut cx).is_pending());
                    let mut sleep = Box::pin(annulus::time::sleep(PATIENCE));
                    assert!(sleep.as_mut().poll(&mut cx).is_pending());
                    drop(annulus::spawn(nop));
                    assert!(other.try_write(b"x").is_ok());
                    timer.set(Some(sleep));
                });
                let buf = all.buffer(is_registered, &behave);
                drop(behave);
                assert!(!panics(async { operation(&all, buf).await }).await, "{name}");
                let uses = uses.get();
                assert!(uses > 1, "{name} asked nothing");
                assert_eq!(read_len(&far, uses).await.len(), uses);
                all.go_on().await;
            }
        }
    });
}

/// A runtime that ends while a buffer of one of its operations is asked where it lies, outside of its loop.
#[test]
fn a_buffer_may_end_its_runtime() {
    for nth in 0..4 {
        let _leaks = LeakGuard::new();
        let runtime = Runtime::new().unwrap();
        let (file, reader) = runtime.block_on(async {
            let (reader, writer) = packet_pipe();
            (DirectFile::from_std(writer).await.unwrap(), reader)
        });
        let runtime = Rc::new(RefCell::new(Some(runtime)));
        let ending = Rc::clone(&runtime);
        let asked = Cell::new(0);
        let drops = Rc::new(Cell::new(0));
        let dropped = Rc::clone(&drops);
        let behave: Rc<dyn Fn(Asked)> = Rc::new(move |question| {
            if question == Asked::Drop {
                dropped.set(dropped.get() + 1);
            }
            if asked.replace(asked.get() + 1) == nth {
                let runtime = ending.take().expect("it ends once");
                let start = Instant::now();
                assert_eq!(runtime.shutdown(PATIENCE), Ok(()), "nothing is in the kernel");
                assert!(start.elapsed() < PATIENCE / 2);
            }
        });
        let buf = Rude::new(AlignedBuf::zeroed(UNIT, UNIT), behave);
        let mut write = Box::pin(file.write_at(buf, 0));
        let mut cx = Context::from_waker(Waker::noop());
        // Refused, if it ended early enough; else it has nobody who could answer, and waits to be dropped.
        if let Poll::Ready(result) = write.as_mut().poll(&mut cx) {
            drop(result.expect_err("its runtime is gone"));
        }
        drop(write);
        drop(runtime.take());
        assert_eq!(drops.get(), 1, "question {nth}");
        drop((file, reader));
    }
}

/// A write that waits is cancelled where there is no time to wait for it, and the memory goes back to its pool.
#[test]
fn a_shutdown_without_time_gives_a_registered_buffer_back() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let (trap, behave) = Trap::new(usize::MAX);
    let (pool, file, write, _reader) = runtime.block_on(async {
        let (reader, writer) = packet_pipe();
        (&writer).write_all(&[0; 16 * UNIT]).unwrap();
        let file = Rc::new(DirectFile::from_std(writer).await.unwrap());
        let pool = RegisteredPool::new(UNIT, 1).unwrap();
        let mut bytes = pool.get().unwrap();
        bytes.resize(UNIT, 7);
        let (same, buf) = (Rc::clone(&file), Rude::new(bytes, behave));
        let mut write = Box::pin(async move { same.write_at(buf, 0).await });
        assert!(poll_once(&mut write).await.is_pending());
        turn().await;
        (pool, file, write, reader)
    });
    assert_eq!(runtime.shutdown(Duration::ZERO), Ok(()));
    assert_eq!((trap.drops.get(), pool.available()), (0, 0), "the future has it");
    drop(write);
    assert_eq!((trap.drops.get(), pool.available()), (1, 1));
    drop((pool, file));
}

/// An open whose cancel takes a moment, which a shutdown without time does not wait for: what the kernel still reads is
/// never freed, and the future says that it is over.
#[test]
fn what_a_shutdown_without_time_leaves_behind_is_never_freed() {
    let _leaks = LeakGuard::new();
    let folder = Folder::new();
    for round in 0..20 {
        let runtime = Runtime::new().unwrap();
        let path = folder.join(format!("pipe-{round}"));
        make_fifo(&path);
        let mut open = Box::pin(async move {
            // A kernel's thread makes it, and waits for who reads.
            OpenOptions::new().write(true).create(true).open(path).await.map(drop)
        });
        runtime.block_on(async {
            assert!(poll_once(&mut open).await.is_pending());
            for _ in 0..round % 4 {
                turn().await;
            }
        });
        match runtime.shutdown(Duration::ZERO) {
            Ok(()) => {}
            Err(leaked) => assert_eq!(leaked.kinds, [("open", 1)], "{leaked}"),
        }
        match open.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => drop(result.expect_err("nobody reads")),
            Poll::Pending => panic!("round {round}: its runtime is gone"),
        }
    }
}
