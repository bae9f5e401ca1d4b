//! Runs a body on a runtime and asserts that nothing is left of it: no descriptor, no operation, task, timer or
//! buffer, and a shutdown with nothing to leak. With it, the small steps that tests of cancellation take.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdpSocket};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use annulus::buf::AlignedBuf;
use annulus::net::udp::Transmit;
use annulus::net::{TcpStream, UdpSocket};
use annulus::runtime::{Feature, Metrics, metrics};
use annulus::time::sleep;
use annulus::{Builder, Runtime};
use socket2::SockRef;

use super::buffer::Counted;
use super::leak::LeakGuard;

/// How long something that must happen may take before the test gives up. Never waited for when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The operations that the loop itself keeps in the kernel: its bell and its alarm.
const OWN_OPERATIONS: usize = 2;

/// Runs `body` on a runtime with the defaults; see the head of the file.
pub(crate) fn run<T>(body: impl AsyncFnOnce() -> T) -> T {
    run_with(Builder::new(), body)
}

/// Runs `body` on a runtime of `builder`; see the head of the file.
pub(crate) fn run_with<T>(builder: Builder, body: impl AsyncFnOnce() -> T) -> T {
    let _leaks = LeakGuard::new();
    let runtime = without_switched_off(builder).build().expect("this machine has io_uring");
    let output = runtime.block_on(body());
    settle(&runtime);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    output
}

/// True if the tests run with this feature forced off; a test that is about the feature says SKIP then.
pub(crate) fn is_switched_off(feature: Feature) -> bool {
    std::env::var("ANNULUS_OFF").is_ok_and(|name| format!("{feature:?}") == name)
}

/// Forces off the feature that `ANNULUS_OFF` names: so one kernel stands in for many.
pub(crate) fn without_switched_off(builder: Builder) -> Builder {
    let Ok(name) = std::env::var("ANNULUS_OFF") else {
        return builder;
    };
    let feature = Feature::ALL.into_iter().find(|feature| format!("{feature:?}") == name);
    builder.disable(feature.unwrap_or_else(|| panic!("ANNULUS_OFF={name} is no feature")))
}

/// Turns the loop until nothing is under way.
#[track_caller]
pub(crate) fn settle(runtime: &Runtime) {
    let start = Instant::now();
    while !is_settled(&runtime.metrics()) {
        assert!(start.elapsed() < PATIENCE, "left behind: {:?}", runtime.metrics());
        runtime.block_on(async { sleep(Duration::from_micros(200)).await });
    }
    assert_eq!(runtime.metrics().stray_completions, 0, "{:?}", runtime.metrics());
    assert_eq!(runtime.metrics().caught_panics, 0, "{:?}", runtime.metrics());
}

fn is_settled(metrics: &Metrics) -> bool {
    metrics.live_operations <= OWN_OPERATIONS
        && metrics.live_tasks == 0
        && metrics.live_timers == 0
        && metrics.lent_buffers == 0
        && metrics.lingering_streams == 0
}

/// Waits until nothing is under way but `operations` and the loop's own; for use inside a body.
pub(crate) async fn until_operations(operations: usize) {
    until(|| metrics().live_operations <= operations + OWN_OPERATIONS).await;
}

/// Lets the loop turn once: all that was staged is in the kernel then, and what had completed was reaped.
pub(crate) async fn turn() {
    let mut turned = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut turned, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Turns the loop until `condition` holds.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < PATIENCE,
                "{caller}: it did not come to pass: {:?}",
                metrics()
            );
            sleep(Duration::from_micros(100)).await;
        }
    }
}

/// Polls once, with the waker of the task.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Polls once and drops the future; its output, if it was ready.
pub(crate) async fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    match poll_once(&mut Box::pin(future)).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The first of two futures to be ready; the other is dropped.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two futures, looking at `a` first, and drops the other.
pub(crate) async fn select<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

/// A waker that only notes that it was called.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::new(Self::default());
        (flag.clone(), Waker::from(flag))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls once with a waker that notes that it was called.
pub(crate) fn poll_flagged<F: Future + Unpin>(future: &mut F) -> (Poll<F::Output>, Arc<Flag>) {
    let (flag, waker) = Flag::new();
    (Pin::new(future).poll(&mut Context::from_waker(&waker)), flag)
}

/// Polls once, lets `provoke` act, and waits until the kernel has something for the future, which is not taken.
pub(crate) async fn until_done<F: Future + Unpin>(future: &mut F, provoke: impl AsyncFnOnce()) {
    let (poll, flag) = poll_flagged(future);
    assert!(poll.is_pending());
    provoke().await;
    until(|| flag.is_set()).await;
}

/// A connection: a stream of ours, and the other end as a plain socket that does not block.
pub(crate) fn pair() -> (TcpStream, StdStream) {
    let (near, far) = std_pair();
    far.set_nonblocking(true).expect("a socket");
    (TcpStream::from_std(near).expect("a socket"), far)
}

/// As [`pair`], with small buffers in the kernel: a few hundred KiB do not fit.
pub(crate) fn narrow_pair() -> (TcpStream, StdStream) {
    let (near, far) = pair();
    SockRef::from(&near).set_send_buffer_size(64 * 1024).expect("a socket");
    SockRef::from(&far).set_recv_buffer_size(64 * 1024).expect("a socket");
    (near, far)
}

/// A connection with both ends ours.
pub(crate) fn stream_pair() -> (TcpStream, TcpStream) {
    let (near, far) = std_pair();
    (TcpStream::from_std(near).expect("a socket"), TcpStream::from_std(far).expect("a socket"))
}

/// A connection between two plain sockets.
pub(crate) fn std_pair() -> (StdStream, StdStream) {
    let listener = StdListener::bind("127.0.0.1:0").expect("bind");
    let near = StdStream::connect(listener.local_addr().expect("bound")).expect("connect");
    let (far, _) = listener.accept().expect("accept");
    near.set_nodelay(true).expect("a socket");
    far.set_nodelay(true).expect("a socket");
    (near, far)
}

/// Reads what a plain socket has, without waiting. True at the end of the stream.
pub(crate) fn read_some(socket: &StdStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        match (&mut &*socket).read(&mut buf) {
            Ok(0) => return Ok(true),
            Ok(count) => bytes.extend_from_slice(&buf[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Reads `len` bytes from a plain socket that does not block, turning the loop meanwhile.
pub(crate) async fn read_len(socket: &StdStream, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ended = Cell::new(false);
    until(|| {
        ended.set(read_some(socket, &mut bytes).expect("the stream is whole"));
        ended.get() || bytes.len() >= len
    })
    .await;
    assert_eq!(bytes.len(), len, "ended: {}", ended.get());
    bytes
}

/// Reads a plain socket that does not block to its end, turning the loop meanwhile.
pub(crate) async fn read_to_end(socket: &StdStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut result = Ok(());
    until(|| match read_some(socket, &mut bytes) {
        Ok(ended) => ended,
        Err(error) => {
            result = Err(error);
            true
        }
    })
    .await;
    result.map(|()| bytes)
}

/// Writes to a plain socket that does not block; what is written must fit.
pub(crate) fn write_now(socket: &StdStream, bytes: &[u8]) {
    (&mut &*socket).write_all(bytes).expect("the socket's buffer has room");
}

/// Has a send of this socket go through the ring: behind another, because one alone is sent by a system call.
pub(crate) async fn through_the_ring<T>(near: &UdpSocket, send: impl Future<Output = T>) -> T {
    let sink = StdUdpSocket::bind("127.0.0.1:0").expect("bind");
    let ahead = Transmit::to(sink.local_addr().expect("bound"));
    annulus::join!(near.send_message("ahead", &ahead), send).1
}

/// What lies at `offset` of a stream: two streams differ, and so do two places of one.
pub(crate) fn byte(stream: usize, offset: usize) -> u8 {
    let mixed = (stream as u64 ^ 0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .wrapping_add(offset as u64)
        .wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 56) as u8
}

/// The bytes of a stream from `offset` on.
pub(crate) fn content(stream: usize, offset: usize, len: usize) -> Vec<u8> {
    (offset..offset + len).map(|offset| byte(stream, offset)).collect()
}

/// Asserts that `bytes` are those of the stream at `offset`.
#[track_caller]
pub(crate) fn assert_content(stream: usize, offset: usize, bytes: &[u8]) {
    let wrong = bytes.iter().enumerate().find(|(at, found)| **found != byte(stream, offset + at));
    if let Some((at, found)) = wrong {
        panic!("stream {stream}: at {} lies {found:#x}", offset + at);
    }
}

/// Runs a task that must end well, as part of a body.
pub(crate) async fn joined<T: Debug>(tasks: Vec<annulus::task::JoinHandle<T>>) -> Vec<T> {
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.expect("the task ended well"));
    }
    outputs
}

/// How often a race is run: `short`, or `long` when the environment says `ANNULUS_LONG=1`.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("ANNULUS_LONG").is_some_and(|value| value == "1") { long } else { short }
}

/// Buffers of a test, and how many of them were dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }

    /// A buffer with this content that counts its end here.
    pub(crate) fn buffer(&self, bytes: Vec<u8>) -> Counted {
        let mut buf = AlignedBuf::new(bytes.len(), 1);
        buf.extend_from_slice(&bytes);
        self.counted(buf)
    }

    /// A buffer that counts its end here.
    pub(crate) fn counted(&self, buf: AlignedBuf) -> Counted {
        Counted::new(buf, Rc::clone(&self.0))
    }
}
