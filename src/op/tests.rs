//! The first operations on the real ring, without a runtime around them.
#![allow(unsafe_code, reason = "a message family passes on a promise; a waker of the test's own")]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::{Duration, Instant};

use super::accept::Accepted;
use super::close::Fd;
use super::endpoint::Endpoint;
use super::line::Line;
use super::nop::Nop;
use super::open_file::{Hold, OpenFile};
use super::read_at::ReadAt;
use super::reading::Reading;
use super::receive_message::{Beside, Head, Receiving};
use super::send::{Send, Turn, poll_send};
use super::send_message::SendMessage;
use super::write_at::WriteAt;
use super::{receive, receive_message};
use crate::buf::IoBuf;
use crate::driver::tests::driver;
use crate::driver::{Driver, Op};
use crate::sys::files::{self, Lock};
use crate::sys::message::{Received, push_control};
use crate::sys::sockaddr::Target;

fn block_on<T>(driver: &Driver, mut future: impl Future<Output = T> + Unpin) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut cx) {
            return output;
        }
        driver.enter(1, Some(Duration::from_millis(100))).expect("enter");
        driver.reap();
        driver.act();
    }
    panic!("the operation did not end");
}

fn temporary_file(driver: &Rc<Driver>) -> Rc<OpenFile> {
    // Tests run side by side.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(format!("/tmp/annulus-driver-{}-{number}", std::process::id()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("a temporary file");
    std::fs::remove_file(path).expect("its name is not needed");
    OpenFile::new(Fd::new(Rc::clone(driver), OwnedFd::from(file)))
}

fn write(file: &Rc<OpenFile>, buf: &[u8], offset: u64) -> WriteAt<Vec<u8>> {
    let hold = Hold::new(file);
    WriteAt { hold, buf: buf.to_vec(), offset, whole: false, moves: false, durable: false }
}

fn read(file: &Rc<OpenFile>, len: usize) -> ReadAt<Vec<u8>> {
    ReadAt { hold: Hold::new(file), buf: Vec::with_capacity(len), offset: 0 }
}

#[test]
fn a_file_gives_back_what_was_written_and_the_buffers_too() {
    let driver = driver();
    block_on(&driver, Op::new(Rc::clone(&driver), Nop)).expect("nop");
    let file = temporary_file(&driver);
    let write = write(&file, b"some bytes", 3);
    let (written, buf) = block_on(&driver, Op::new(Rc::clone(&driver), write)).expect("write");
    assert_eq!((written, buf.as_slice()), (10, b"some bytes".as_slice()));
    let read = read(&file, 64);
    let (read, buf) = block_on(&driver, Op::new(Rc::clone(&driver), read)).expect("read");
    assert_eq!((read, buf.as_slice()), (13, b"\0\0\0some bytes".as_slice()));
    // The number says nothing: another test may have it as soon as it is closed. A lock goes with the open file.
    let other = std::fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("open");
    files::lock(file.as_fd(), Lock::Exclusive).expect("nobody else has it");
    let is_locked = || files::lock(other.as_fd(), Lock::Exclusive).is_err();
    assert!(is_locked());
    drop(file);
    assert_eq!(driver.live_operations(), 1, "the close");
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    assert_eq!(driver.live_operations(), 0);
    let start = Instant::now();
    while is_locked() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is still open");
    }
}

#[test]
fn ten_thousand_operations_of_one_poll_go_through_a_queue_of_eight() {
    let driver = driver();
    let mut operations: Vec<_> = (0..10_000).map(|_| Op::new(Rc::clone(&driver), Nop)).collect();
    let mut cx = Context::from_waker(Waker::noop());
    for operation in &mut operations {
        assert!(Pin::new(operation).poll(&mut cx).is_pending());
    }
    while driver.live_operations() > 0 {
        if driver.needs_enter() {
            driver.enter(0, None).expect("enter");
        }
        driver.reap();
        driver.act();
        operations.retain_mut(|operation| match Pin::new(operation).poll(&mut cx) {
            Poll::Ready(result) => result.is_err(),
            Poll::Pending => true,
        });
    }
    assert!(operations.is_empty());
    assert_eq!(driver.stray_completions(), 0);
}

#[test]
fn an_operation_dropped_before_the_enter_never_happens() {
    let driver = driver();
    let file = temporary_file(&driver);
    let write = write(&file, b"never", 0);
    let mut operation = Op::new(Rc::clone(&driver), write);
    assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(driver.live_operations(), 1);
    drop(operation);
    assert_eq!((driver.live_operations(), Rc::strong_count(&file)), (0, 1));
    block_on(&driver, Op::new(Rc::clone(&driver), Nop)).expect("the ring goes on");
    let read = read(&file, 8);
    let (count, _) = block_on(&driver, Op::new(Rc::clone(&driver), read)).expect("read");
    assert_eq!(count, 0, "the file is still empty");
}

#[test]
fn after_the_end_an_operation_says_that_the_runtime_is_gone() {
    let driver = driver();
    driver.close(Duration::from_secs(1)).expect("nothing is stuck");
    let result = block_on(&driver, Op::new(Rc::clone(&driver), Nop));
    assert!(result.expect_err("gone").to_string().contains("shut down"));
}

/// A message that has room for two descriptors only.
#[derive(Debug)]
struct Narrow(Beside);

impl Head for Narrow {
    const NAME_MAX: usize = 112;
    const CONTROL_MAX: usize = 24;

    unsafe fn read(received: &Received<'_>, driver: &Rc<Driver>) -> Self {
        // SAFETY: passed on by our caller.
        Self(unsafe { Beside::read(received, driver) })
    }
}

/// Every copy of a pipe's writing end that was sent is closed in the end: the reading end says so.
#[test]
fn descriptors_for_which_there_is_no_room_are_closed() {
    let driver = driver();
    for form in [None, Some(70_000)] {
        let pair = UnixDatagram::pair().expect("a pair");
        let [near, far] = [pair.0, pair.1].map(|socket| {
            Endpoint::<Narrow>::new(Fd::new(Rc::clone(&driver), OwnedFd::from(socket)), 1)
        });
        far.inbox.expect(form, &driver);
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut control = Vec::new();
        let number = writer.as_raw_fd().to_ne_bytes();
        push_control(&mut control, libc::SOL_SOCKET, libc::SCM_RIGHTS, &number.repeat(5));
        let pass = block_on(&driver, poll_fn(|cx| near.poll_pass(cx)));
        let send = SendMessage::new(pass, "five", Target::Connected, control);
        block_on(&driver, Op::new(Rc::clone(&driver), send)).expect("sent");
        drop(writer);
        let mut receiving = Receiving::new(&far);
        let message = block_on(&driver, poll_fn(|cx| receiving.poll_take(cx))).expect("a message");
        assert!(message.head.0.local.is_control_truncated);
        assert_eq!((&*message.payload, message.head.0.descriptors.len()), (&b"five"[..], 2));
        drop(message);
        // The closes go with the next turn.
        block_on(&driver, Op::new(Rc::clone(&driver), Nop)).expect("a turn");
        let mut rest = Vec::new();
        assert_eq!(reader.read_to_end(&mut rest).expect("the end"), 0);
        far.inbox.close(&driver);
    }
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
}

/// A waker that panics instead of being cloned.
static UNCLONABLE: RawWakerVTable =
    RawWakerVTable::new(|_| panic!("no clone today"), |_| (), |_| (), |_| ());

#[test]
fn a_waker_that_panics_when_cloned_leaves_the_buffer_and_gives_the_turn_up() {
    let driver = driver();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let line = Line::new(Fd::new(Rc::clone(&driver), OwnedFd::from(near)));
    let mut buf = Some(b"whole".to_vec());
    // SAFETY: the functions do nothing with the data, and may be called on any thread.
    let waker = unsafe { Waker::new(ptr::null(), &UNCLONABLE) };
    let mut cx = Context::from_waker(&waker);
    let unwound = AssertUnwindSafe(|| poll_send(&line, &cx, &mut buf, 0, true).is_ready());
    assert!(catch_unwind(unwound).is_err());
    assert!(buf.is_some() && !line.outbox.is_busy());
    cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok((key, _))) = poll_send(&line, &cx, &mut buf, 0, true) else {
        panic!("nobody holds the turn");
    };
    assert!(buf.is_none() && line.outbox.is_busy());
    let landed = poll_fn(|cx| driver.poll_operation::<Send<Vec<u8>>>(key, cx));
    assert_eq!(block_on(&driver, landed).expect("sent").0, 5);
    drop(line);
    let mut bytes = Vec::new();
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    far.read_to_end(&mut bytes).expect("the end");
    assert_eq!(bytes, b"whole");
}

type PollEnded<'a> = &'a dyn Fn(&Context<'_>) -> Poll<()>;

#[test]
fn a_waker_that_panics_when_cloned_does_not_keep_a_receive_from_being_ended() {
    let driver = driver();
    // SAFETY: the functions do nothing with the data, and may be called on any thread.
    let waker = unsafe { Waker::new(ptr::null(), &UNCLONABLE) };
    let (near, _far) = UnixStream::pair().expect("a pair");
    let line = Line::new(Fd::new(Rc::clone(&driver), OwnedFd::from(near)));
    let (near, _far) = UnixDatagram::pair().expect("a pair");
    let endpoint = Endpoint::<Narrow>::new(Fd::new(Rc::clone(&driver), OwnedFd::from(near)), 1);
    receive::ensure_armed(&line).expect("a receive");
    receive_message::ensure_armed(&endpoint).expect("a receive");
    let ended: [PollEnded<'_>; 2] = [&|cx| line.arrivals.poll_disarmed(&driver, cx), &|cx| {
        endpoint.inbox.poll_disarmed(&driver, cx)
    }];
    for poll_ended in ended {
        let mut cx = Context::from_waker(&waker);
        assert!(catch_unwind(AssertUnwindSafe(|| poll_ended(&cx))).is_err());
        cx = Context::from_waker(Waker::noop());
        let start = Instant::now();
        while poll_ended(&cx).is_pending() {
            assert!(start.elapsed() < Duration::from_secs(30), "nobody has cancelled it");
            driver.enter(1, Some(Duration::from_millis(100))).expect("enter");
            driver.reap();
            driver.act();
        }
    }
    drop((line, endpoint));
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
}

/// A waker that panics when it is dropped.
static UNDROPPABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &UNDROPPABLE),
    |_| (),
    |_| (),
    |_| panic!("no drop today"),
);

#[test]
fn wakers_that_panic_when_dropped_do_not_keep_a_resource_from_ending() {
    let driver = driver();
    // SAFETY: the functions do nothing with the data, and may be called on any thread.
    let wakers = [1, 2].map(|data| unsafe {
        ManuallyDrop::new(Waker::new(ptr::without_provenance(data), &UNDROPPABLE))
    });
    let socket = |fd: OwnedFd| Fd::new(Rc::clone(&driver), fd);
    let (near, _far) = UnixStream::pair().expect("a pair");
    let line = Line::new(socket(near.into()));
    let (near, _far) = UnixDatagram::pair().expect("a pair");
    let endpoint = Endpoint::<Narrow>::new(socket(near.into()), 1);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let (listener, accepted) = (Rc::new(socket(listener.into())), Accepted::new(4));
    for waker in &wakers {
        // Leaked, lest they take their wakers with them.
        let mut cx = Context::from_waker(waker);
        assert!(ManuallyDrop::new(Receiving::new(&endpoint)).poll_take(&cx).is_pending());
        let mut taking = ManuallyDrop::new(accepted.next(&listener));
        assert!(Pin::new(&mut *taking).poll(&mut cx).is_pending());
    }
    let mut reading = ManuallyDrop::new(Reading::new(&line));
    assert!(reading.poll_take(&Context::from_waker(&wakers[0])).is_pending());
    driver.enter(0, None).expect("enter");
    line.arrivals.close(&driver);
    endpoint.inbox.close(&driver);
    accepted.close(&listener);
    assert_eq!(driver.caught_panics(), 5);
    drop((line, endpoint, listener));
    let start = Instant::now();
    while driver.live_operations() > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "one stands in the kernel for ever");
        driver.enter(1, Some(Duration::from_millis(100))).expect("enter");
        driver.reap();
        driver.act();
    }
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
}

/// A byte that panics when it is asked for its length once too often.
struct Shy {
    byte: &'static [u8],
    answers: Cell<usize>,
}

// SAFETY: the byte is static.
unsafe impl IoBuf for Shy {
    fn buf_ptr(&self) -> *const u8 {
        self.byte.as_ptr()
    }

    fn buf_len(&self) -> usize {
        let answers = self.answers.get().checked_sub(1).expect("asked once too often");
        self.answers.set(answers);
        self.byte.len()
    }
}

#[test]
fn the_error_of_a_dropped_send_is_told_whatever_its_buffer_does() {
    let driver = driver();
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    for size in [4096, 1] {
        while (&near).write(&vec![0; size]).is_ok() {}
    }
    near.set_nonblocking(false).expect("a socket");
    let line = Line::new(Fd::new(Rc::clone(&driver), OwnedFd::from(near)));
    let cx = Context::from_waker(Waker::noop());
    let mut buf = Some(Shy { byte: b"!", answers: Cell::new(1) });
    let Poll::Ready(Ok((key, turn))) = poll_send(&line, &cx, &mut buf, 0, true) else {
        panic!("nobody else sends");
    };
    driver.enter(0, None).expect("enter");
    line.outbox.orphan_turn(turn);
    driver.abandon(key);
    drop(far);
    block_on(&driver, poll_fn(|cx| Turn::poll(&line, cx).map(Result::err)))
        .expect("the error of the dropped send");
    drop(line);
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    assert_eq!(driver.caught_panics(), 0);
}

/// A write that nobody reads: its future is gone, its policy is to finish, and it never will.
#[test]
fn the_end_cancels_in_time_what_would_never_finish() {
    let driver = driver();
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&[0; 65536]).expect("room for as much as a pipe holds");
    let file = OpenFile::new(Fd::new(Rc::clone(&driver), OwnedFd::from(writer)));
    let mut operation = Op::new(Rc::clone(&driver), write(&file, &[1; 10], 0));
    drop(file);
    assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    driver.enter(0, None).expect("enter");
    drop(operation);
    assert_eq!(driver.live_operations(), 1);
    let start = Instant::now();
    driver.close(Duration::from_millis(600)).expect("cancelled, not leaked");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300), "it had time to finish: {took:?}");
    drop(reader);
}

/// As above, where there is no time at all: what can be ended at once is, and its memory comes back.
#[test]
fn an_end_without_time_cancels_what_ends_at_once() {
    let driver = driver();
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&[0; 65536]).expect("room for as much as a pipe holds");
    let file = OpenFile::new(Fd::new(Rc::clone(&driver), OwnedFd::from(writer)));
    let mut operation = Op::new(Rc::clone(&driver), write(&file, &[1; 10], 0));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    driver.enter(0, None).expect("enter");
    driver.close(Duration::ZERO).expect("cancelled, not leaked");
    let Poll::Ready(Err(failed)) = Pin::new(&mut operation).poll(&mut cx) else {
        panic!("it was cancelled");
    };
    assert_eq!(failed.buf, [1; 10]);
    drop(reader);
}
