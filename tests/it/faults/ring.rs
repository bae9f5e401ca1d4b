//! Rings under stress: signals, few entries, a closed descriptor.
#![allow(
    unsafe_code,
    reason = "signals and descriptors of others are sent and closed by system calls"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use annulus::fs::File;
use annulus::net::TcpStream;
use annulus::runtime::{Feature, metrics};
use annulus::time::sleep;
use annulus::{Builder, Runtime};

use crate::support::child::{assert_passed, in_child};
use crate::support::files::nameless_file;
use crate::support::settled::{
    PATIENCE, assert_content, byte, content, joined, pair, poll_once, read_to_end, run_with,
    stream_pair, turn, write_now,
};

async fn echo(rounds: usize) {
    let (near, far) = stream_pair();
    let server = annulus::spawn(async move {
        while let Some(chunk) = far.recv().await.unwrap() {
            far.send_all(chunk).await.unwrap();
        }
    });
    for round in 0..rounds {
        let message = content(0, round * 100, 100);
        near.write_all(&message).await.unwrap();
        let mut back = vec![0; 100];
        near.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message);
    }
    drop(near);
    server.await.unwrap();
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// Interrupts this thread again and again until the guard is dropped.
struct Storm {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Storm {
    fn new() -> Self {
        let handler = ignore as extern "C" fn(libc::c_int);
        // SAFETY: a handler that does nothing, for a signal that nobody else uses; without SA_RESTART calls end with
        // EINTR. The zeroed rest is an empty mask.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        // SAFETY: a plain question.
        let target = unsafe { libc::pthread_self() };
        let (over, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stop, count) = (Arc::clone(&over), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: the target lives until it has joined this thread.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        Self { over, sent, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn interruptions_are_not_seen() {
    run_with(Builder::new(), async || {
        let storm = Storm::new();
        echo(300).await;
        let start = Instant::now();
        sleep(Duration::from_millis(30)).await;
        assert!(start.elapsed() >= Duration::from_millis(30));
        while storm.sent.load(Ordering::Relaxed) < 200 {
            echo(10).await;
        }
    });
}

#[test]
fn more_operations_than_entries_are_all_done() {
    run_with(Builder::new().ring_entries(8, 32), async || {
        const COUNT: usize = 10_000;
        let file = File::from_std(nameless_file());
        let mut writes: Vec<_> =
            (0..COUNT).map(|at| Box::pin(file.write_at(vec![byte(0, at)], at as u64))).collect();
        for write in &mut writes {
            assert!(poll_once(write).await.is_pending());
        }
        for write in writes {
            assert_eq!(write.await.unwrap().0, 1);
        }
        let mut reads: Vec<_> =
            (0..COUNT).map(|at| Box::pin(file.read_at(Vec::with_capacity(1), at as u64))).collect();
        for read in &mut reads {
            assert!(poll_once(read).await.is_pending());
        }
        for (at, read) in reads.into_iter().enumerate() {
            let (count, buf) = read.await.unwrap();
            assert_eq!((count, buf[0]), (1, byte(0, at)));
        }
    });
}

#[test]
fn many_dropped_operations_fit_through_few_entries() {
    run_with(Builder::new().ring_entries(8, 32), async || {
        let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
        let mut reads: Vec<_> = pairs.iter().map(|(near, _)| Box::pin(near.recv())).collect();
        for read in &mut reads {
            assert!(poll_once(read).await.is_pending());
        }
        turn().await;
        drop(reads);
        for (near, far) in pairs {
            drop(near);
            assert_eq!(read_to_end(&far).await.unwrap(), b"");
        }
    });
}

#[test]
fn completions_that_overflow_the_queue_are_not_lost() {
    run_with(Builder::new().ring_entries(4, 8), async || {
        let mut tasks = Vec::new();
        let mut peers = Vec::new();
        for stream in 0..200 {
            let (near, far) = pair();
            peers.push(far);
            tasks.push(annulus::spawn(async move {
                let mut buf = [0; 10];
                near.read_exact(&mut buf).await.unwrap();
                assert_content(stream, 0, &buf);
                near.read_exact(&mut buf).await.unwrap();
                assert_content(stream, 10, &buf);
            }));
        }
        for offset in [0, 10] {
            turn().await;
            turn().await;
            for (stream, far) in peers.iter().enumerate() {
                write_now(far, &content(stream, offset, 10));
            }
            // The core is kept from the ring while 200 completions come to 8 places.
            std::thread::sleep(Duration::from_millis(20));
        }
        joined(tasks).await;
    });
}

#[test]
fn a_receive_that_ends_with_bytes_goes_on_where_it_ended() {
    // Buffers of one byte: each byte is a completion, and the queue has room for eight.
    let builder = Builder::new().ring_entries(4, 8).small_buffers(1, 256).large_buffers(1, 256);
    run_with(builder, async || {
        let (near, far) = pair();
        assert!(poll_once(&mut Box::pin(near.recv())).await.is_pending());
        turn().await;
        for round in 0..20 {
            write_now(&far, &content(0, round * 200, 200));
            std::thread::sleep(Duration::from_millis(1));
            let mut buf = [0; 200];
            near.read_exact(&mut buf).await.unwrap();
            assert_content(0, round * 200, &buf);
        }
        drop(far);
        assert!(near.recv().await.unwrap().is_none());
    });
}

/// The descriptor of this thread's only ring.
fn ring_fd() -> i32 {
    let is_ring = |fd: &i32| {
        let link = std::fs::read_link(format!("/proc/thread-self/fd/{fd}"));
        link.is_ok_and(|link| link.to_string_lossy().contains("io_uring"))
    };
    (3..64).find(is_ring).expect("a ring is open")
}

#[test]
fn a_ring_closed_behind_our_back_is_a_panic_that_says_so() {
    let Some(output) = in_child!(|| {
        let runtime = Builder::new()
            .disable(Feature::RegisteredRing)
            .shutdown_deadline(Duration::from_millis(200))
            .build()
            .unwrap();
        runtime.block_on(sleep_a_little());
        // SAFETY: the fault under test.
        unsafe { libc::close(ring_fd()) };
        let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(sleep_a_little())));
        let payload = result.expect_err("there is no ring to sleep in");
        let text = payload.downcast_ref::<String>().expect("a text");
        assert!(text.contains("Bad file descriptor"), "{text}");
        let start = Instant::now();
        drop(runtime);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        // Other cores are not concerned.
        Runtime::new().unwrap().block_on(echo(10));
    }) else {
        return;
    };
    assert_passed(&output);
}

async fn sleep_a_little() {
    sleep(Duration::from_millis(5)).await;
}

#[test]
fn a_registered_ring_lives_on_when_its_descriptor_is_closed() {
    let Some(output) = in_child!(|| {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(echo(10));
        // SAFETY: the fault under test.
        unsafe { libc::close(ring_fd()) };
        runtime.block_on(echo(10));
        let start = Instant::now();
        drop(runtime);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }) else {
        return;
    };
    assert_passed(&output);
}

#[test]
fn a_peer_that_floods_does_not_starve_a_timer() {
    run_with(Builder::new(), async || {
        let (near, far) = pair();
        far.set_nonblocking(false).unwrap();
        let near = TcpStream::from_std(near.into_std().await.unwrap().0).unwrap();
        let over = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&over);
        let writer = std::thread::spawn(move || {
            let block = vec![0; 64 * 1024];
            while !stop.load(Ordering::Relaxed) {
                write_now(&far, &block);
            }
        });
        let reader = annulus::spawn(async move {
            while near.recv().await.unwrap().is_some() {}
            near
        });
        for _ in 0..20 {
            let start = Instant::now();
            sleep(Duration::from_millis(5)).await;
            // Linux 6.1 goes on receiving for one stream as long as data comes; an emulator makes that seconds.
            assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        drop(reader.await.unwrap());
        writer.join().unwrap();
        assert!(metrics().enters > 0);
    });
}
