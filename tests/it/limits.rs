//! The bounds of a core: what waits untaken, what a stream may hold, small pools and rings, and a fair tick.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::mem::ManuallyDrop;
use std::net::{TcpStream as StdStream, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annulus::buf::Chunk;
use annulus::net::udp::Datagram;
use annulus::net::{ListenOptions, TcpStream, UdpSocket};
use annulus::runtime::{Feature, metrics};
use annulus::task::yield_now;
use annulus::time::{sleep, timeout};
use annulus::{Builder, spawn};
use socket2::SockRef;

use crate::support::settled::{
    PATIENCE, assert_content, byte, content, is_switched_off, joined, pair, poll_and_drop,
    poll_once, run_with, std_pair, stream_pair, turn, until, write_now,
};
use crate::support::skip::skip;

// What waits untaken.

/// A sender of 8 MiB meets a reader that armed its receive and takes nothing; then the reader reads on.
fn full_window(builder: Builder) {
    const LEN: usize = 8 << 20;
    run_with(builder.undelivered_max(64 * 1024), async || {
        let (near, mut far) = std_pair();
        SockRef::from(&near).set_recv_buffer_size(64 * 1024).expect("a socket");
        SockRef::from(&far).set_send_buffer_size(64 * 1024).expect("a socket");
        let near = TcpStream::from_std(near).expect("a socket");
        let sent = Arc::new(AtomicUsize::new(0));
        let progress = Arc::clone(&sent);
        let writer = thread::spawn(move || {
            for at in (0..LEN).step_by(16 << 10) {
                far.write_all(&content(1, at, 16 << 10)).expect("somebody reads");
                progress.fetch_add(16 << 10, Ordering::SeqCst);
            }
        });
        assert!(poll_and_drop(near.recv()).await.is_none());
        let mut before = usize::MAX;
        while before != sent.load(Ordering::SeqCst) {
            before = sent.load(Ordering::SeqCst);
            sleep(Duration::from_millis(50)).await;
        }
        assert!(before < LEN / 4, "{before} bytes were taken in without a reader");
        assert!(metrics().lent_buffers <= 16, "no more than the share of a stream");
        let mut received = 0;
        while let Some(chunk) = near.recv().await.expect("the stream is whole") {
            assert_content(1, received, &chunk);
            received += chunk.len();
        }
        assert_eq!(received, LEN);
        writer.join().expect("all was taken");
    });
}

#[test]
fn a_stream_that_nobody_reads_stops_its_sender() {
    full_window(Builder::new());
}

#[test]
fn a_stream_that_nobody_reads_stops_its_sender_without_multishot() {
    full_window(Builder::new().disable(Feature::MultishotReceive));
}

#[test]
fn untaken_connections_stay_in_the_backlog() {
    if is_switched_off(Feature::MultishotAccept) {
        skip!("an accept at a time takes one connection ahead, not several");
    }
    run_with(Builder::new().untaken_max(4), async || {
        let listener = ListenOptions::new().bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound");
        assert!(poll_and_drop(listener.accept()).await.is_none());
        turn().await;
        let mut clients = Vec::new();
        for count in 1..=4 {
            clients.push(StdStream::connect(address).expect("connect"));
            until(|| listener.untaken() == count).await;
        }
        for _ in 0..20 {
            clients.push(StdStream::connect(address).expect("the backlog has room"));
            turn().await;
        }
        assert!(listener.untaken() <= 5, "{} untaken", listener.untaken());
        for client in &clients {
            let (_stream, peer) = listener.accept().await.expect("nothing is lost");
            assert_eq!(peer, client.local_addr().expect("connected"));
        }
    });
}

/// Connects 100 clients before the first accept and 100 after it; returns the most that were untaken.
fn burst(builder: Builder) -> usize {
    run_with(builder.untaken_max(4), async || {
        let listener = ListenOptions::new().bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound");
        let connect = || StdStream::connect(address).expect("the backlog has room");
        let mut clients: Vec<_> = (0..100).map(|_| connect()).collect();
        let first = listener.accept().await.expect("accept");
        assert_eq!(first.1, clients[0].local_addr().expect("connected"));
        turn().await;
        clients.extend((0..100).map(|_| connect()));
        turn().await;
        let untaken = listener.untaken();
        for client in &clients[1..] {
            let (_stream, peer) = listener.accept().await.expect("nothing is lost");
            assert_eq!(peer, client.local_addr().expect("connected"));
        }
        untaken
    })
}

#[test]
fn a_burst_from_the_backlog_is_the_most_that_comes_on_top() {
    assert!(burst(Builder::new()) < 100);
    assert!(burst(Builder::new().disable(Feature::MultishotAccept)) <= 1);
}

// What a stream may hold.

/// Sends a message that fills a part of a small buffer, and receives it.
async fn message(near: &TcpStream, far: &StdStream, number: usize) -> Chunk {
    write_now(far, &content(number, 0, 48));
    let chunk = near.recv().await.expect("the stream is whole").expect("the peer is there");
    assert_content(number, 0, &chunk);
    assert_eq!(chunk.len(), 48);
    chunk
}

#[test]
fn a_stream_past_its_share_gets_copies_and_the_others_do_not() {
    run_with(Builder::new().small_buffers(4096, 64).stream_share(4), async || {
        let (hoarder, far) = pair();
        let mut hoard = Vec::new();
        for number in 0..10 {
            hoard.push(message(&hoarder, &far, number).await);
        }
        assert_eq!(hoard.iter().filter(|chunk| chunk.is_pooled()).count(), 4);
        assert_eq!(metrics().lent_buffers, 4);
        assert_eq!(metrics().copied_messages, 6);
        let (other, far) = pair();
        assert!(message(&other, &far, 10).await.is_pooled());
        assert_eq!(metrics().copied_messages, 6);
        for (number, chunk) in hoard.iter().enumerate() {
            assert_content(number, 0, chunk);
        }
        drop(hoard);
        assert_eq!(metrics().lent_buffers, 0);
    });
}

/// The next chunk, by a future that is made anew each turn.
async fn recv_impatiently(stream: &TcpStream) -> Chunk {
    loop {
        if let Some(chunk) = poll_and_drop(stream.recv()).await {
            return chunk.expect("the stream is whole").expect("more");
        }
        yield_now().await;
    }
}

/// Of so many readers, whose numbers stand in the order in which they were served, none was ever further ahead of
/// another than this: one wake may bring all that lies in a ring of four.
fn assert_turns(served: &[usize], readers: usize, ahead: usize) {
    let count = |served: &[usize], number| served.iter().filter(|one| **one == number).count();
    let first = |number| served.iter().position(|one| *one == number).expect("served");
    let latest = (0..readers).map(first).max().expect("readers");
    let most = (0..readers).map(|number| count(&served[..latest], number)).max().expect("readers");
    assert!(most <= ahead, "{most} for one of {latest}, before another had any");
    let half = &served[..served.len() / 2];
    let shares: Vec<usize> = (0..readers).map(|number| count(half, number)).collect();
    let by = shares.iter().max().unwrap() - shares.iter().min().unwrap();
    assert!(by <= ahead, "each was served so often: {shares:?}");
}

#[test]
fn streams_that_find_no_buffer_take_turns() {
    const STREAMS: usize = 64;
    const BYTES: usize = 64 * 50;
    // Who drops its future between two turns takes what it comes upon, and yet is never far ahead.
    for (is_mixed, ahead) in [(false, 4), (true, 12)] {
        // The only one for bulk is kept back.
        let builder = Builder::new().small_buffers(64, 4).large_buffers(64, 4).bulk_buffers(64, 1);
        run_with(builder, async || {
            let served = Rc::new(RefCell::new(Vec::new()));
            let (mut tasks, mut peers) = (Vec::new(), Vec::new());
            for number in 0..STREAMS {
                let (near, far) = pair();
                write_now(&far, &content(number, 0, BYTES));
                peers.push(far);
                let served = Rc::clone(&served);
                tasks.push(spawn(async move {
                    let mut received = 0;
                    while received < BYTES {
                        let chunk = match is_mixed && number % 2 == 1 {
                            false => near.recv().await.expect("the stream is whole").expect("more"),
                            true => recv_impatiently(&near).await,
                        };
                        assert_content(number, received, &chunk);
                        received += chunk.len();
                        served.borrow_mut().push(number);
                    }
                }));
            }
            for task in tasks {
                task.await.expect("it ends");
            }
            assert_turns(&served.borrow(), STREAMS, ahead);
        });
    }
}

/// The next datagram, by a future that is made anew each turn.
async fn receive_impatiently(socket: &UdpSocket) -> Datagram {
    loop {
        if let Some(datagram) = poll_and_drop(socket.recv_datagram()).await {
            return datagram.expect("a socket");
        }
        yield_now().await;
    }
}

/// A core with large buffers for four datagrams.
fn four_datagrams() -> Builder {
    Builder::new().small_buffers(64, 4).large_buffers(512, 4)
}

/// A socket to which so many datagrams were sent, each with its number.
async fn flooded(datagrams: u8) -> UdpSocket {
    let near = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let far = StdUdpSocket::bind("127.0.0.1:0").expect("bind");
    far.connect(near.local_addr().expect("bound")).expect("connect");
    (0..datagrams).for_each(|number| assert_eq!(far.send(&[number]).expect("there is room"), 1));
    near
}

#[test]
fn sockets_of_messages_that_find_no_buffer_take_turns() {
    const SOCKETS: usize = 64;
    const DATAGRAMS: u8 = 50;
    run_with(four_datagrams(), async || {
        let (served, mut tasks) = (Rc::new(RefCell::new(Vec::new())), Vec::new());
        for number in 0..SOCKETS {
            let near = flooded(DATAGRAMS).await;
            let served = Rc::clone(&served);
            tasks.push(spawn(async move {
                for expected in 0..DATAGRAMS {
                    let datagram = match number % 2 {
                        0 => near.recv_datagram().await.expect("a socket"),
                        _ => receive_impatiently(&near).await,
                    };
                    assert_eq!(*datagram, [expected]);
                    served.borrow_mut().push(number);
                }
            }));
        }
        for task in tasks {
            task.await.expect("it ends");
        }
        assert_turns(&served.borrow(), SOCKETS, 8);
    });
}

#[test]
fn a_second_reader_in_the_queue_for_a_buffer_is_refused_and_the_first_goes_on() {
    run_with(Builder::new().small_buffers(64, 4).large_buffers(64, 4), async || {
        let (mut tasks, mut peers) = (Vec::new(), Vec::new());
        let (mut streams, mut refused) = (Vec::new(), 0);
        for number in 0..16 {
            let (near, far) = pair();
            write_now(&far, &content(number, 0, 64 * 50));
            peers.push(far);
            let near = Rc::new(near);
            streams.push(Rc::clone(&near));
            tasks.push(spawn(async move {
                let mut received = 0;
                while received < 64 * 50 {
                    let chunk = near.recv().await.expect("the stream is whole").expect("more");
                    assert_content(number, received, &chunk);
                    received += chunk.len();
                }
            }));
        }
        while tasks.iter().any(|task| !task.is_finished()) {
            yield_now().await;
            for stream in &streams {
                if let Some(Err(error)) = poll_and_drop(stream.readable()).await {
                    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                    refused += 1;
                }
            }
        }
        for task in tasks {
            task.await.expect("it ends");
        }
        assert!(refused > 0);
    });
}

#[test]
fn readers_that_go_while_they_wait_for_a_buffer_hold_up_nobody() {
    const STREAMS: usize = 64;
    run_with(Builder::new().small_buffers(64, 4).large_buffers(64, 4), async || {
        let (mut tasks, mut peers) = (Vec::new(), Vec::new());
        for number in 0..STREAMS {
            let (near, far) = pair();
            write_now(&far, &content(number, 0, 64 * 50));
            peers.push(far);
            tasks.push(spawn(async move {
                let mut received = 0;
                while received < 64 * 50 {
                    let chunk = near.recv().await.expect("the stream is whole").expect("more");
                    assert_content(number, received, &chunk);
                    received += chunk.len();
                }
            }));
        }
        // Long enough that all wait, and the last two behind all others.
        for _ in 0..4 {
            turn().await;
        }
        let last = tasks.split_off(STREAMS - 2);
        tasks.iter().for_each(annulus::task::JoinHandle::abort);
        for task in last {
            timeout(PATIENCE, task).await.expect("it gets its turn").expect("it ends");
        }
    });
}

#[test]
fn a_reader_that_goes_or_is_forgotten_takes_no_other_s_turn_for_a_buffer() {
    const SOCKETS: usize = 32;
    run_with(four_datagrams(), async || {
        let mut tasks = Vec::new();
        for _ in 0..SOCKETS {
            let near = Rc::new(flooded(20).await);
            let same = Rc::clone(&near);
            // The first to wait is never polled again, the second is dropped, and neither is awaited.
            tasks.push(spawn(async move {
                let mut forgotten = ManuallyDrop::new(Box::pin(same.recv_datagram()));
                let mut waits = u8::from(poll_once(&mut *forgotten).await.is_pending());
                for _ in 0..4 {
                    waits += u8::from(poll_and_drop(same.recv_datagram()).await.is_none());
                    turn().await;
                }
                assert!(waits > 0, "there was nothing to wait for");
            }));
            tasks.push(spawn(async move {
                let mut last = None;
                while last != Some(19) {
                    let datagram = near.recv_datagram().await.expect("a socket");
                    assert!(last < Some(datagram[0]), "{last:?} came before");
                    last = Some(datagram[0]);
                }
            }));
        }
        for task in tasks {
            timeout(PATIENCE, task).await.expect("it gets its turn").expect("it ends");
        }
    });
}

#[test]
fn below_low_water_all_get_copies() {
    run_with(Builder::new().small_buffers(64, 16).stream_share(100), async || {
        let (hoarder, far) = pair();
        let mut hoard = Vec::new();
        for number in 0..40 {
            hoard.push(message(&hoarder, &far, number).await);
        }
        assert_eq!(metrics().lent_buffers, 12, "a quarter is kept");
        let (other, far) = pair();
        assert!(!message(&other, &far, 40).await.is_pooled());
        hoard.retain(|chunk| !chunk.is_pooled());
        assert!(message(&other, &far, 41).await.is_pooled());
        for (number, chunk) in hoard.iter().enumerate() {
            assert_content(12 + number, 0, chunk);
        }
    });
}

#[test]
fn a_held_chunk_stalls_nobody_however_small_the_pool() {
    for count in [1, 2, 4] {
        let builder = Builder::new().small_buffers(64, count).large_buffers(64, count);
        run_with(builder, async || {
            let (near, far) = pair();
            let mut held = Vec::new();
            for number in 0..8 {
                held.push(message(&near, &far, number).await);
            }
            // An idle receive does not spin while chunks are held.
            let before = metrics().enters;
            assert!(timeout(Duration::from_millis(20), near.recv()).await.is_err());
            assert!(metrics().enters - before < 100, "{} enters", metrics().enters - before);
            drop(message(&near, &far, 8).await);
        });
    }
}

#[test]
fn many_streams_share_a_small_pool() {
    run_with(Builder::new().small_buffers(64, 16).large_buffers(1024, 4), async || {
        let mut readers = Vec::new();
        let mut ends = Vec::new();
        for stream in 0..50 {
            let (near, far) = pair();
            readers.push(spawn(async move {
                let mut received = 0;
                while let Some(chunk) = near.recv().await.expect("the stream is whole") {
                    assert_content(stream, received, &chunk);
                    received += chunk.len();
                }
                received
            }));
            ends.push(far);
        }
        turn().await;
        // More arrives between two turns than the pool holds.
        for (stream, far) in ends.iter().enumerate() {
            write_now(far, &content(stream, 0, 5000));
        }
        turn().await;
        for (stream, far) in ends.iter().enumerate() {
            write_now(far, &content(stream, 5000, 700));
        }
        drop(ends);
        assert_eq!(joined(readers).await, vec![5700; 50]);
    });
}

// Buffers of two sizes.

#[test]
fn traffic_of_changing_size_changes_the_buffers_and_keeps_its_bytes() {
    run_with(Builder::new(), async || {
        let (near, far) = stream_pair();
        let sending = spawn(async move {
            let mut sent = 0;
            for phase in 0..6 {
                // A bulk phase fills small buffers, a chatty one leaves large ones nearly empty.
                let (count, size) = if phase % 2 == 0 { (4, 150_000) } else { (150, 40) };
                for _ in 0..count {
                    far.send_all(content(5, sent, size)).await.expect("somebody reads");
                    sent += size;
                    yield_now().await;
                }
            }
            sent
        });
        let (mut received, mut largest) = (0, 0);
        while let Some(chunk) = near.recv().await.expect("the stream is whole") {
            assert_content(5, received, &chunk);
            received += chunk.len();
            largest = largest.max(chunk.len());
        }
        assert_eq!(received, sending.await.expect("all was taken"));
        assert!(largest > 4096, "bulk gets large buffers");
    });
}

// A fair tick.

#[test]
fn a_task_that_always_wakes_itself_starves_nobody() {
    for tick_budget in [1, 64] {
        run_with(Builder::new().tick_budget(tick_budget), async || {
            let busy: Vec<_> = (0..3)
                .map(|_| {
                    spawn(async {
                        loop {
                            turn().await;
                        }
                    })
                })
                .collect();
            let (near, far) = stream_pair();
            let echo = spawn(async move {
                while let Some(chunk) = far.recv().await.expect("the stream is whole") {
                    far.send_all(chunk).await.expect("the peer is there");
                }
            });
            for round in 0..200 {
                near.write_all(&[round]).await.expect("the peer is there");
                let mut answer = [0];
                near.read_exact(&mut answer).await.expect("the peer is there");
                assert_eq!(answer, [round]);
            }
            sleep(Duration::from_millis(1)).await;
            drop(near);
            echo.await.expect("it saw the end");
            busy.iter().for_each(|task| task.abort());
        });
    }
}

// A small ring.

fn small_ring() -> Builder {
    Builder::new().ring_entries(8, 16)
}

#[test]
fn thousands_of_operations_go_through_a_small_ring() {
    run_with(small_ring(), async || {
        let nops = (0..5000).map(|_| spawn(async { annulus::io::nop().await.is_ok() })).collect();
        assert!(joined(nops).await.into_iter().all(|ok| ok));
    });
}

#[test]
fn thousands_of_staged_operations_are_taken_back() {
    run_with(small_ring(), async || {
        for _ in 0..20 {
            let mut nops: Vec<_> = (0..200).map(|_| Box::pin(annulus::io::nop())).collect();
            for nop in &mut nops {
                assert!(poll_once(nop).await.is_pending());
            }
            // Every other one; the entries of the rest lie between blanks.
            let mut keep = false;
            nops.retain(|_| {
                keep = !keep;
                keep
            });
            for nop in nops {
                nop.await.expect("nop");
            }
        }
    });
}

/// More completions at once than the queue holds: the kernel keeps the rest, and ends what was armed.
fn overflow(builder: Builder) {
    const STREAMS: usize = 200;
    run_with(builder, async || {
        let mut readers = Vec::new();
        let mut ends = Vec::new();
        for stream in 0..STREAMS {
            let (near, far) = pair();
            readers.push(spawn(async move {
                let mut bytes = vec![0; 30];
                near.read_exact(&mut bytes).await.expect("the stream is whole");
                assert_content(stream, 0, &bytes);
                assert!(near.recv().await.expect("the end").is_none());
                stream
            }));
            ends.push(far);
        }
        turn().await;
        for round in 0..3 {
            for (stream, far) in ends.iter().enumerate() {
                write_now(far, &content(stream, round * 10, 10));
            }
            if byte(round, 0).is_multiple_of(2) {
                turn().await;
            }
        }
        drop(ends);
        assert_eq!(joined(readers).await, (0..STREAMS).collect::<Vec<_>>());
    });
}

#[test]
fn a_completion_queue_that_overflows_loses_nothing() {
    overflow(small_ring());
}

#[test]
fn a_completion_queue_that_overflows_loses_nothing_without_deferred_work() {
    overflow(small_ring().disable(Feature::DeferTaskrun));
}

#[test]
fn a_burst_of_connections_goes_through_a_small_ring() {
    run_with(small_ring(), async || {
        let listener = ListenOptions::new().bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("bound");
        let clients: Vec<_> = (0..200).map(|_| spawn(TcpStream::connect(address))).collect();
        let mut accepted = Vec::new();
        for _ in 0..200 {
            accepted.push(listener.accept_stream().await.expect("nothing is lost"));
        }
        for client in joined(clients).await {
            drop(client.expect("it was accepted"));
        }
        for stream in &accepted {
            let end = timeout(PATIENCE, stream.recv()).await.expect("the client is gone");
            assert!(end.map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |c| c.is_none()));
        }
    });
}
