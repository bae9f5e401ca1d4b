//! Descriptors and buffers that run out: nobody spins, nothing is lost, and it goes on when there are some again.
#![allow(unsafe_code, reason = "a limit is set by a system call")]

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::mpsc;
use std::time::Duration;

use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::{Feature, metrics};
use annulus::time::{sleep, timeout};
use annulus::{Builder, Runtime};

use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    assert_content, content, joined, pair, run_with, stream_pair, turn, until, write_now,
};

const LIMIT: usize = 96;
const CLIENTS: usize = 40;

/// Lowers the number of descriptors that each table of this process may have.
fn limit_descriptors() {
    let limit = libc::rlimit { rlim_cur: LIMIT as u64, rlim_max: LIMIT as u64 };
    // SAFETY: the limit is read during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// Takes every descriptor that is left but `free`.
fn fillers(free: usize) -> Vec<File> {
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - free);
    files
}

/// Connects `CLIENTS` times, in a descriptor table of its own, and reads each greeting.
fn clients(address: SocketAddr) -> (mpsc::Receiver<()>, std::thread::JoinHandle<()>) {
    let (connected, all) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _leaks = LeakGuard::new();
        let connect = |_| StdStream::connect(address).expect("the backlog has room");
        let clients: Vec<StdStream> = (0..CLIENTS).map(connect).collect();
        connected.send(()).expect("the server waits");
        for mut client in clients {
            let mut greeting = [0; 5];
            client.read_exact(&mut greeting).expect("each is served");
            assert_eq!(&greeting, b"hello");
        }
    });
    (all, thread)
}

async fn greet(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept_stream().await.expect("only the listener's own errors");
    stream.write_all(b"hello").await.expect("the client waits");
    stream
}

async fn serve_with_few_descriptors() {
    const FREE: usize = 12;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (connected, thread) = clients(listener.local_addr().unwrap());
    until(|| connected.try_recv().is_ok()).await;
    let mut fillers = fillers(FREE);
    let mut streams = Vec::new();
    for _ in 0..FREE {
        streams.push(greet(&listener).await);
    }
    let before = metrics().enters;
    let waiting = timeout(Duration::from_millis(700), greet(&listener)).await;
    assert!(waiting.is_err(), "there was no descriptor for it");
    let enters = metrics().enters - before;
    assert!(enters < 100, "{enters} calls while nothing could happen");
    let error = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    let error = Runtime::new().expect_err("there is no descriptor for a ring");
    assert!(error.to_string().contains("ulimit -n"), "{error}");
    // A descriptor of the core's own is seen at once, one of others at the next attempt.
    streams.pop();
    streams.push(greet(&listener).await);
    drop(fillers.split_off(fillers.len() - 3));
    for _ in 0..3 {
        streams.push(greet(&listener).await);
    }
    while streams.pop().is_some() {}
    for _ in FREE + 4..CLIENTS {
        drop(greet(&listener).await);
    }
    until(|| thread.is_finished()).await;
    thread.join().unwrap();
}

#[test]
fn connections_wait_for_descriptors_without_a_spin_and_are_all_served() {
    let Some(output) = in_child!(|| {
        limit_descriptors();
        run_with(Builder::new(), serve_with_few_descriptors);
        let one_shot = Builder::new().disable(Feature::MultishotAccept);
        run_with(one_shot, serve_with_few_descriptors);
    }) else {
        return;
    };
    assert_passed(&output);
}

/// One message there and back, again and again.
async fn chat(stream: usize, rounds: usize) {
    let (near, far) = stream_pair();
    let server = annulus::spawn(async move {
        while let Some(chunk) = far.recv().await.unwrap() {
            far.send_all(chunk).await.unwrap();
        }
    });
    for round in 0..rounds {
        let message = content(stream, round * 50, 50);
        near.write_all(&message).await.unwrap();
        let mut back = [0; 50];
        near.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message.as_slice());
    }
    drop(near);
    server.await.unwrap();
}

#[test]
fn a_stalled_reader_and_a_hoarder_do_not_stop_the_others() {
    const LEN: usize = 1 << 20;
    for builder in [Builder::new(), Builder::new().disable(Feature::MultishotReceive)] {
        let builder = builder.small_buffers(512, 16).large_buffers(4096, 16);
        run_with(builder, async || {
            let (stalled, far) = pair();
            far.set_nonblocking(false).unwrap();
            let flood = std::thread::spawn(move || write_now(&far, &content(999, 0, LEN)));
            stalled.readable().await.unwrap();
            let (hoarding, far) = pair();
            let mut hoard = Vec::new();
            for at in 0..100 {
                write_now(&far, &content(998, at, 1));
                hoard.push(hoarding.recv().await.unwrap().unwrap());
            }
            let active = (0..50).map(|stream| annulus::spawn(chat(stream, 40))).collect();
            joined(active).await;
            for (at, chunk) in hoard.iter().enumerate() {
                assert_content(998, at, chunk);
            }
            let mut all = vec![0; LEN];
            stalled.read_exact(&mut all).await.unwrap();
            assert_content(999, 0, &all);
            flood.join().unwrap();
        });
    }
}

#[test]
fn chunks_that_are_held_never_take_the_last_buffer() {
    for count in [1, 2, 4] {
        let builder = Builder::new().small_buffers(64, count).large_buffers(64, count);
        run_with(builder, async || {
            let (near, far) = pair();
            let mut held = Vec::new();
            for at in 0..20 {
                write_now(&far, &content(0, at, 1));
                let received = timeout(Duration::from_secs(10), near.recv()).await;
                held.push(received.expect("a buffer is left for it").unwrap().unwrap());
            }
            for (at, chunk) in held.iter().enumerate() {
                assert_content(0, at, chunk);
            }
            let before = metrics().enters;
            assert_eq!(near.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            sleep(Duration::from_millis(100)).await;
            let enters = metrics().enters - before;
            assert!(enters < 20, "{enters} calls while nothing came");
        });
    }
}

#[test]
fn more_streams_than_buffers_all_get_their_message() {
    for builder in [Builder::new(), Builder::new().disable(Feature::MultishotReceive)] {
        let builder = builder.small_buffers(64, 4).large_buffers(64, 4);
        run_with(builder, async || {
            let mut tasks = Vec::new();
            let mut peers = Vec::new();
            for stream in 0..100 {
                let (near, far) = pair();
                peers.push(far);
                tasks.push(annulus::spawn(async move {
                    let mut buf = [0; 300];
                    near.read_exact(&mut buf).await.unwrap();
                    assert_content(stream, 0, &buf);
                }));
            }
            turn().await;
            turn().await;
            for (stream, far) in peers.iter().enumerate() {
                write_now(far, &content(stream, 0, 300));
            }
            joined(tasks).await;
        });
    }
}
