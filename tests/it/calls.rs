//! Which system calls the loop makes, and how many for what happens at once.
#![allow(unsafe_code, reason = "a descriptor goes to another thread as a number")]

use std::cell::Cell;
use std::io::{self, Read};
use std::net::TcpStream as StdStream;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::metrics;
use annulus::time::sleep;

use crate::support::filter::{Calls, Question, ask_for};
use crate::support::settled::{
    PATIENCE, content, pair, run, settle, std_pair, turn, until, without_switched_off, write_now,
};
use crate::support::skip::skip;

/// No more than one call brings, which are 20 completions.
const BATCH: usize = 16;

/// The bare ring takes two calls for a batch: one brings the requests, the next submits the answers, which the kernel
/// sends in that call, and brings word of that.
const BARE_RING: u64 = 2;

#[test]
fn a_batch_of_ready_connections_takes_one_call_more_than_the_bare_ring_at_most() {
    run(async || {
        let (streams, clients): (Vec<_>, Vec<_>) = (0..BATCH).map(|_| pair()).unzip();
        let served = Rc::new(Cell::new(0));
        for stream in streams {
            let served = Rc::clone(&served);
            drop(annulus::spawn(async move {
                // Until the client is gone.
                while let Ok(Some(chunk)) = stream.recv().await {
                    stream.send_all(chunk).await.expect("an answer");
                    served.set(served.get() + 1);
                }
            }));
        }
        let message = content(0, 0, 64);
        for round in 1..=20 {
            // Until every receive is armed, and nothing is under way.
            for _ in 0..4 {
                turn().await;
            }
            // All requests are in the sockets before the loop turns.
            clients.iter().for_each(|client| write_now(client, &message));
            let before = metrics().enters;
            for _ in 0..100 {
                turn().await;
            }
            assert_eq!(served.get(), round * BATCH, "round {round}");
            let enters = metrics().enters - before;
            assert!(enters <= BARE_RING + 1, "round {round}: {enters} calls for {BATCH} requests");
        }
        drop(clients);
        until(|| metrics().live_tasks == 0).await;
    });
}

const CONNECTIONS: usize = 16;

async fn echo(stream: TcpStream) {
    // Until the client is gone.
    while let Ok(Some(chunk)) = stream.recv().await {
        stream.send_all(chunk).await.expect("an answer");
    }
}

/// An echo service beside tasks that wait for what does not come. The first byte on `control` begins the watch, whose
/// descriptor, or error as a negative number, goes to `watch`: from then on a call would wait for its answer, and how
/// else to say so? The end of `control` ends the service.
async fn serve(servers: Vec<StdStream>, control: StdStream, watch: &AtomicI32) {
    let own = |stream| TcpStream::from_std(stream).expect("a socket");
    servers.into_iter().for_each(|stream| drop(annulus::spawn(echo(own(stream)))));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let accept = annulus::spawn(async move { listener.accept().await.map(drop) });
    let timer = annulus::spawn(sleep(Duration::from_secs(3600)));
    let control = own(control);
    control.read_exact(&mut [0]).await.expect("the beginning");
    let errno = |error: io::Error| -error.raw_os_error().expect("an error of the kernel's");
    let fd = ask_for(Calls::All).map_or_else(errno, IntoRawFd::into_raw_fd);
    watch.store(fd, Ordering::Release);
    assert_eq!(control.read(&mut [0]).await.expect("the end"), 0);
    accept.abort();
    timer.abort();
}

/// The calls that were noted.
type Noted = Mutex<Vec<libc::c_long>>;

/// Runs [`serve`] on a thread whose calls are noted once it is warm, and `load` as its clients.
fn watched(load: impl FnOnce(&[StdStream], &Noted)) -> io::Result<()> {
    const NOT_YET: i32 = i32::MIN;
    let (servers, clients): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| std_pair()).unzip();
    let (control, begin) = std_pair();
    let watch = AtomicI32::new(NOT_YET);
    let noted = Noted::default();
    thread::scope(|scope| {
        // They end the service when they are dropped, also in a panic.
        let (clients, begin) = (clients, begin);
        scope.spawn(|| {
            let builder = without_switched_off(Builder::new());
            let runtime = builder.build().expect("this machine has io_uring");
            runtime.block_on(serve(servers, control, &watch));
            settle(&runtime);
            assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        });
        clients
            .iter()
            .for_each(|client| client.set_read_timeout(Some(PATIENCE)).expect("a socket"));
        (0..20).for_each(|_| exchange(&clients));
        write_now(&begin, b"b");
        let start = Instant::now();
        while watch.load(Ordering::Acquire) == NOT_YET {
            assert!(start.elapsed() < PATIENCE, "the service hangs");
            thread::sleep(Duration::from_millis(1));
        }
        let fd = watch.load(Ordering::Acquire);
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        // SAFETY: the service gave it away, to us.
        let listener = unsafe { OwnedFd::from_raw_fd(fd) };
        scope.spawn(|| note_all(listener, &noted));
        load(&clients, &noted);
        Ok(())
    })?;
    // The end of the thread at least is a call of another kind: the watch sees such.
    let noted = noted.into_inner().expect("no panic");
    assert!(noted.iter().any(|call| *call != libc::SYS_io_uring_enter), "{noted:?}");
    Ok(())
}

/// Lets every call happen, and notes it, until the thread that makes them has ended.
fn note_all(listener: OwnedFd, noted: &Noted) {
    while let Some(question) = Question::next(&listener) {
        noted.lock().expect("no panic").push(question.call);
        question.allow();
    }
}

/// A request on every connection, and then all answers.
fn exchange(clients: &[StdStream]) {
    let message = content(0, 0, 64);
    clients.iter().for_each(|client| write_now(client, &message));
    let mut answer = [0; 64];
    for mut client in clients {
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, message[..]);
    }
}

/// Whether the clock is read without a call, as on real processors, but not in an emulator without their counter.
fn clock_needs_no_call() -> bool {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(path).unwrap_or_default();
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"].contains(&source.trim())
}

#[test]
fn a_server_in_steady_state_makes_no_call_but_enter() {
    const REQUESTS: usize = 1000;
    let outcome = watched(|clients, noted| {
        // All connections at once, then one at a time.
        (0..REQUESTS / 2 / CONNECTIONS).for_each(|_| exchange(clients));
        (0..REQUESTS / 2).for_each(|nth| exchange(&clients[nth % CONNECTIONS..][..1]));
        let noted = noted.lock().expect("no panic").clone();
        let is_clock = |call| call == libc::SYS_clock_gettime && !clock_needs_no_call();
        let other =
            noted.iter().find(|call| **call != libc::SYS_io_uring_enter && !is_clock(**call));
        assert_eq!(other, None, "this call is not io_uring_enter");
        // One brings a lonely request at the least.
        assert!(noted.len() >= REQUESTS / 2, "only {} calls", noted.len());
    });
    if let Err(error) = outcome {
        skip!("no filters that ask: {error}");
    }
}

#[test]
fn an_idle_runtime_makes_no_call() {
    let outcome = watched(|clients, noted| {
        let count = || noted.lock().expect("no panic").len();
        exchange(clients);
        // It goes to sleep, which takes a call or two, at a time that other work on the machine decides. One that calls
        // again and again while nothing is to be done never leaves out so long a time.
        let start = Instant::now();
        loop {
            let before = count();
            thread::sleep(Duration::from_millis(300));
            if before > 0 && count() == before {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{before} calls, and no end");
        }
    });
    if let Err(error) = outcome {
        skip!("no filters that ask: {error}");
    }
}
