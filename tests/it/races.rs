//! Accepts and receives that are dropped again and again while the other side is busy: not one connection and not
//! one byte is lost, and all come in order.
//!
//! Some attempts are polled once, some get no time, some a little and some enough, so that both outcomes happen. The
//! ordinary run is short; `ANNULUS_LONG=1` makes it long.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::unix::net::UnixStream as UnixStd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::buf::Chunk;
use annulus::net::{ListenOptions, TcpListener, TcpStream, UdpSocket, UnixListener};
use annulus::runtime::Feature;
use annulus::time::timeout;

use crate::support::names::abstract_name;
use crate::support::settled::{
    Either, PATIENCE, assert_content, byte, content, poll_and_drop, rounds, run_with, select,
    std_pair, turn, until,
};

/// How many connections or messages a race has.
fn count() -> usize {
    rounds(2_000, 100_000)
}

/// How often an attempt was dropped, and how often it brought something.
#[derive(Debug, Default)]
struct Outcomes {
    dropped: usize,
    taken: usize,
}

impl Outcomes {
    fn note<T>(&mut self, outcome: Option<T>) -> Option<T> {
        match outcome {
            None => self.dropped += 1,
            Some(_) => self.taken += 1,
        }
        outcome
    }

    fn assert_both(&self) {
        assert!(self.dropped > 0 && self.taken > 0, "a race needs both outcomes: {self:?}");
    }
}

/// Runs a future in one of the ways to give it little time; nothing if it was dropped.
async fn attempt<F: Future>(way: u8, future: F) -> Option<F::Output> {
    match way % 5 {
        0 => poll_and_drop(future).await,
        1 => timeout(Duration::ZERO, future).await.ok(),
        2 => timeout(Duration::from_micros(30), future).await.ok(),
        3 => match select(future, turn()).await {
            Either::First(output) => Some(output),
            Either::Second(()) => None,
        },
        _ => timeout(Duration::from_millis(5), future).await.ok(),
    }
}

/// Connects `count` times, sends the number of the connection on each, and waits for its end.
fn connect_all(address: SocketAddr, count: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut open = VecDeque::new();
        for number in 0..count {
            let mut client = StdStream::connect(address).expect("the backlog has room");
            client.write_all(&(number as u32).to_be_bytes()).expect("the socket's buffer has room");
            open.push_back(client);
            // Now a burst and now one by one.
            while open.len() > usize::from(byte(number / 64, 0)) / 4 {
                let mut client = open.pop_front().expect("not empty");
                let _ = client.read(&mut [0]);
            }
        }
        open.into_iter().for_each(|mut client| _ = client.read(&mut [0]));
    })
}

async fn take_all(listener: TcpListener, count: usize) {
    let mut outcomes = Outcomes::default();
    let mut expected = 0;
    for round in 0.. {
        if expected == count {
            break;
        }
        let accepted = attempt(byte(1, round), listener.accept_stream()).await;
        let Some(stream) = outcomes.note(accepted) else {
            continue;
        };
        let stream = stream.expect("the listener is whole");
        let mut number = [0; 4];
        stream.read_exact(&mut number).await.expect("it was sent");
        assert_eq!(u32::from_be_bytes(number) as usize, expected, "none is lost, all in order");
        // A reset leaves no port in TIME_WAIT.
        stream.abort();
        expected += 1;
    }
    outcomes.assert_both();
}

fn race_accepts(builder: Builder) {
    run_with(builder, async || {
        let listener = ListenOptions::new().bind("127.0.0.1:0").await.expect("bind");
        let clients = connect_all(listener.local_addr().expect("bound"), count());
        take_all(listener, count()).await;
        clients.join().expect("all were served");
    });
}

#[test]
fn accepts_against_timeouts() {
    race_accepts(Builder::new());
}

#[test]
fn accepts_against_timeouts_one_by_one() {
    race_accepts(Builder::new().disable(Feature::MultishotAccept));
}

#[test]
fn accepts_against_timeouts_with_a_bound_that_is_always_reached() {
    race_accepts(Builder::new().untaken_max(2));
}

#[test]
fn unix_accepts_against_timeouts() {
    run_with(Builder::new(), async || {
        let name = abstract_name();
        let listener = UnixListener::bind(&name).expect("bind");
        let address = listener.local_addr().expect("bound");
        let clients = thread::spawn(move || {
            for number in 0..count() {
                let mut client = UnixStd::connect_addr(&address).expect("it waits for room");
                client.write_all(&(number as u32).to_be_bytes()).expect("there is room");
                // Now a burst and now one by one.
                if byte(number / 64, 0) < 128 {
                    let _ = client.read(&mut [0]);
                }
            }
        });
        let mut outcomes = Outcomes::default();
        let mut expected = 0;
        for round in 0.. {
            if expected == count() {
                break;
            }
            let accepted = attempt(byte(2, round), listener.accept_stream()).await;
            let Some(stream) = outcomes.note(accepted) else {
                continue;
            };
            let stream = stream.expect("the listener is whole");
            let mut number = [0; 4];
            stream.read_exact(&mut number).await.expect("it was sent");
            assert_eq!(u32::from_be_bytes(number) as usize, expected, "none is lost, in order");
            expected += 1;
        }
        outcomes.assert_both();
        until(|| clients.is_finished()).await;
        clients.join().expect("all were served");
    });
}

/// Sends `count` messages of a stream, now at once and now with pauses, and then ends it.
fn send_all(
    mut socket: StdStream,
    stream: usize,
    count: usize,
    size_max: usize,
) -> JoinHandle<usize> {
    thread::spawn(move || {
        let mut sent = 0;
        for message in 0..count {
            let size = 1 + (usize::from(byte(stream, message)) * size_max) / 256;
            socket.write_all(&content(stream, sent, size)).expect("somebody reads");
            sent += size;
            if byte(message, stream).is_multiple_of(4) {
                thread::sleep(Duration::from_micros(20));
            }
        }
        sent
    })
}

/// What one attempt to read took; none if it was dropped or took nothing.
async fn read_somehow(stream: &TcpStream, way: u8, check: impl Fn(&[u8])) -> Option<Vec<u8>> {
    let mut buf = [0; 700];
    let size = 1 + usize::from(way) * 2;
    let kind = way / 16 % 5;
    match kind {
        0 => {
            let chunk = attempt(way, stream.recv()).await?.expect("the stream is whole");
            Some(chunk.map_or_else(Vec::new, Chunk::into_bytes))
        }
        1 => {
            let count = attempt(way, stream.read(&mut buf[..size])).await?;
            Some(buf[..count.expect("the stream is whole")].to_vec())
        }
        2 => {
            let buf = Vec::with_capacity(size);
            let (count, buf) =
                attempt(way, stream.read_owned(buf)).await?.expect("the stream is whole");
            assert_eq!(count, buf.len());
            Some(buf)
        }
        3 => {
            let count = attempt(way, stream.peek(&mut buf[..size])).await?;
            check(&buf[..count.expect("the stream is whole")]);
            None
        }
        _ => {
            attempt(way, stream.readable()).await?.expect("nobody else reads");
            let count = stream.try_read(&mut buf[..size]).expect("it is readable");
            Some(buf[..count].to_vec())
        }
    }
}

async fn receive_all(near: TcpStream, stream: usize) -> usize {
    let mut outcomes = Outcomes::default();
    let mut received = 0;
    for round in 0.. {
        let check = |bytes: &[u8]| assert_content(stream, received, bytes);
        let read = read_somehow(&near, byte(stream + 100, round), check).await;
        match outcomes.note(read) {
            None => {}
            Some(bytes) if bytes.is_empty() => break,
            Some(bytes) => {
                assert_content(stream, received, &bytes);
                received += bytes.len();
            }
        }
    }
    outcomes.assert_both();
    received
}

/// Several streams at once, in tasks of one core.
fn race_receives(builder: Builder, streams: usize, size_max: usize) {
    run_with(builder, async || {
        let mut readers = Vec::new();
        let mut writers = Vec::new();
        for stream in 0..streams {
            let (near, far) = std_pair();
            let near = TcpStream::from_std(near).expect("a socket");
            writers.push(send_all(far, stream, count() / streams, size_max));
            readers.push(annulus::spawn(receive_all(near, stream)));
        }
        for (reader, writer) in readers.into_iter().zip(writers) {
            let received = reader.await.expect("nothing is lost");
            assert_eq!(received, writer.join().expect("all was taken"));
        }
    });
}

#[test]
fn receives_against_timeouts() {
    race_receives(Builder::new(), 4, 64);
}

#[test]
fn receives_against_timeouts_one_by_one() {
    race_receives(Builder::new().disable(Feature::MultishotReceive), 4, 64);
}

#[test]
fn receives_of_many_sizes_against_timeouts_with_few_buffers() {
    let builder = Builder::new().small_buffers(64, 16).large_buffers(2048, 4).stream_share(2);
    race_receives(builder.undelivered_max(4096), 4, 3000);
}

#[test]
fn receives_of_many_sizes_against_timeouts_one_by_one_with_few_buffers() {
    let builder = Builder::new().small_buffers(64, 16).large_buffers(2048, 4).stream_share(2);
    race_receives(builder.disable(Feature::MultishotReceive), 4, 3000);
}

/// A reader that polls each read once, against a writer that never pauses.
fn race_a_busy_writer(builder: Builder) {
    run_with(builder, async || {
        let (near, mut far) = std_pair();
        let near = TcpStream::from_std(near).expect("a socket");
        let len = rounds(2 << 20, 64 << 20);
        let (start, started) = std::sync::mpsc::channel::<()>();
        let writer = thread::spawn(move || {
            let _ = started.recv();
            for at in (0..len).step_by(64 << 10) {
                far.write_all(&content(9, at, 64 << 10)).expect("somebody reads");
            }
        });
        let mut outcomes = Outcomes::default();
        let mut received = 0;
        // Before the writer begins, so that at least one is dropped however slow the machine is.
        outcomes.note(poll_and_drop(near.recv()).await);
        drop(start);
        while received < len {
            let first = match select(near.recv(), turn()).await {
                Either::First(chunk) => Some(chunk.expect("the stream is whole")),
                Either::Second(()) => None,
            };
            if let Some(chunk) = outcomes.note(first) {
                let chunk = chunk.expect("the writer goes on");
                assert_content(9, received, &chunk);
                received += chunk.len();
            }
        }
        outcomes.assert_both();
        assert!(near.recv().await.expect("the end").is_none());
        writer.join().expect("all was taken");
    });
}

#[test]
fn a_drop_loop_against_a_busy_writer() {
    race_a_busy_writer(Builder::new());
}

#[test]
fn a_drop_loop_against_a_busy_writer_one_by_one() {
    race_a_busy_writer(Builder::new().disable(Feature::MultishotReceive));
}

/// Packets that the kernel's queues had no room for, of all sockets: what other tests send may fill the queue of a
/// processor, and then a datagram is lost on its way.
fn dropped_by_the_kernel() -> usize {
    let queues = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let column = |line: &str| usize::from_str_radix(line.split(' ').nth(1)?, 16).ok();
    queues.lines().filter_map(column).sum()
}

/// Sends numbered datagrams to a socket whose reads are dropped again and again; a window keeps the socket's queue from
/// being full.
fn race_datagrams(builder: Builder) {
    const WINDOW: usize = 32;
    run_with(builder, async || {
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let far = StdUdp::bind("127.0.0.1:0").expect("bind");
        far.connect(near.local_addr().expect("bound")).expect("connect");
        let (taken, window) = std::sync::mpsc::channel::<()>();
        (0..WINDOW).for_each(|_| taken.send(()).expect("the sender is there"));
        // The sender may be done.
        let open_window = |count: usize| (0..count).for_each(|_| _ = taken.send(()));
        let sent = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&sent);
        let sender = thread::spawn(move || {
            for number in 0..count() {
                window.recv().expect("the reader is there");
                let mut datagram = content(7, number, usize::from(byte(8, number)));
                datagram.extend_from_slice(&(number as u32).to_be_bytes());
                far.send(&datagram).expect("the socket's buffer has room");
                counted.store(number + 1, Ordering::SeqCst);
            }
        });
        let mut outcomes = Outcomes::default();
        let (mut expected, mut lost) = (0, 0);
        let before = dropped_by_the_kernel();
        let mut last = Instant::now();
        for round in 0.. {
            if expected == count() {
                break;
            }
            let way = byte(9, round);
            let batch = match way / 16 % 4 {
                0 => attempt(way, near.recv_batch(5)).await,
                1 => {
                    let peeked = attempt(way, near.peek(&mut [0; 8])).await;
                    peeked.map(|count| count.map(|_| Vec::new()))
                }
                _ => attempt(way, near.recv_datagram()).await.map(|one| one.map(|one| vec![one])),
            };
            for datagram in outcomes.note(batch).unwrap_or(Ok(Vec::new())).expect("it is whole") {
                let (text, number) = datagram.split_at(datagram.len() - 4);
                let number = u32::from_be_bytes(number.try_into().expect("four bytes")) as usize;
                assert!(number >= expected, "{number} after {expected}: all in order");
                lost += number - expected;
                assert_content(7, number, text);
                open_window(number + 1 - expected);
                (expected, last) = (number + 1, Instant::now());
            }
            // Nothing follows that would show the loss where it is the last ones that are lost, or all of a window.
            if last.elapsed() > PATIENCE / 6 {
                let sent = sent.load(Ordering::SeqCst);
                lost += sent - expected;
                open_window(sent - expected);
                (expected, last) = (sent, Instant::now());
            }
        }
        outcomes.assert_both();
        let dropped = dropped_by_the_kernel() - before;
        assert!(lost <= dropped, "{lost} are lost, and the kernel dropped {dropped}");
        sender.join().expect("all was taken");
    });
}

#[test]
fn datagrams_against_timeouts() {
    race_datagrams(Builder::new());
}

#[test]
fn datagrams_against_timeouts_one_by_one() {
    race_datagrams(Builder::new().disable(Feature::MultishotReceive));
}

#[test]
fn datagrams_against_timeouts_with_few_buffers_and_a_bound_that_is_always_reached() {
    race_datagrams(Builder::new().large_buffers(1024, 4).stream_share(2).undelivered_max(600));
}
