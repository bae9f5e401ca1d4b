//! Interruptions and refusals of the one call that the loop makes, at a high rate while I/O of every kind runs.
//!
//! # Safety rules
//!
//! 1. The signal has a handler that does nothing, and nobody else here uses it.
//! 2. Structures passed to the kernel are locals that live across the call, zeroed where it asks for that.
//! 3. A thread that is signalled has joined the thread that signals it before it ends.
#![allow(unsafe_code, reason = "signals are sent by system calls")]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::fs::File;
use annulus::net::{TcpListener, TcpStream};
use annulus::time::sleep;

use crate::support::files::nameless_file;
use crate::support::filter::{Calls, Question, ask_for};
use crate::support::settled::{PATIENCE, content, run_with, stream_pair};
use crate::support::skip::skip;

/// One of everything: a message there and back, a write and a read of a file, a connection, a sleep.
async fn some_of_all(round: usize, file: &File, streams: &(TcpStream, TcpStream)) {
    let message = content(0, round * 100, 100);
    streams.0.write_all(&message).await.unwrap();
    let mut back = vec![0; 100];
    streams.1.read_exact(&mut back).await.unwrap();
    assert_eq!(back, message);

    let (count, _) = file.write_at(message.clone(), round as u64 * 100).await.unwrap();
    assert_eq!(count, 100);
    let (count, read) = file.read_at(vec![0; 100], round as u64 * 100).await.unwrap();
    assert_eq!((count, &read), (100, &message));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let far = listener.accept_stream().await.unwrap();
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut back[..5]).await.unwrap();
    // A reset leaves no port in TIME_WAIT.
    far.abort();

    let start = Instant::now();
    sleep(Duration::from_micros(300)).await;
    assert!(start.elapsed() >= Duration::from_micros(300));
}

async fn work_until(is_over: impl Fn(usize) -> bool) {
    let file = File::from_std(nameless_file());
    let streams = stream_pair();
    let mut round = 0;
    while !is_over(round) {
        some_of_all(round, &file, &streams).await;
        round += 1;
    }
}

/// How often the handler ran.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_it(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Signals this thread without a pause, from another one, while `work` runs; says how many signals were sent.
fn under_fire(work: impl FnOnce(&AtomicUsize)) -> usize {
    let handler = count_it as extern "C" fn(libc::c_int);
    // SAFETY: rules 1 and 2; the zeroed rest is an empty mask and no SA_RESTART, so calls end with EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
    }
    // SAFETY: a plain question.
    let target = unsafe { libc::pthread_self() };
    let (sent, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // SAFETY: rule 3.
                unsafe { libc::pthread_kill(target, libc::SIGUSR2) };
                sent.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        // Also when the work panics, or the scope waits for ever.
        let _stop = StopWhenDropped(&over);
        work(&sent);
    });
    sent.into_inner()
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_storm_of_signals_is_not_seen() {
    const SIGNALS: usize = 2000;
    let before = HANDLED.load(Ordering::Relaxed);
    let sent = under_fire(|sent| {
        run_with(Builder::new(), async || {
            work_until(|round| round >= 100 && sent.load(Ordering::Relaxed) >= SIGNALS).await;
        });
    });
    let handled = HANDLED.load(Ordering::Relaxed) - before;
    assert!(handled > 0 && handled <= sent, "{handled} of {sent}");
}

/// Calls to be refused. Each, and each between, is two switches of threads, which take their time on a busy machine.
const REFUSED: usize = 60;

/// What the third call and each seventh after it is refused with, in turn.
const REFUSALS: [i32; 4] = [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];

/// Answers for the kernel until the asking thread has ended; counts the calls it refused.
fn answer(asked: Receiver<OwnedFd>, refused: &AtomicUsize) {
    let Ok(listener) = asked.recv() else { return };
    for call in 0.. {
        let Some(question) = Question::next(&listener) else { return };
        if call >= 3 && (call - 3) % 7 == 0 {
            question.refuse(REFUSALS[refused.fetch_add(1, Ordering::Relaxed) % REFUSALS.len()]);
        } else {
            question.allow();
        }
    }
}

#[test]
fn a_call_that_is_refused_for_a_moment_is_made_again() {
    let refused = Arc::new(AtomicUsize::new(0));
    let (give, asked) = mpsc::channel();
    let count = Arc::clone(&refused);
    // Started before the filter, which holds for the threads that come after it.
    let answers = std::thread::spawn(move || answer(asked, &count));
    let count = Arc::clone(&refused);
    let worker = std::thread::spawn(move || {
        give.send(ask_for(Calls::Only(libc::SYS_io_uring_enter))?).expect("it waits");
        run_with(Builder::new(), async || {
            let start = Instant::now();
            work_until(|_| count.load(Ordering::Relaxed) >= REFUSED || start.elapsed() > PATIENCE)
                .await;
        });
        io::Result::Ok(())
    });
    if let Err(error) = worker.join().expect("nothing of it is seen") {
        skip!("no filters that ask: {error}");
    }
    answers.join().expect("no panic");
    assert!(refused.load(Ordering::Relaxed) >= REFUSED, "{refused:?}");
}
