//! The cells of work that is handed to a thread that sleeps, which then wakes the core that sleeps.
//!
//! `thread` is the floor: a mutex and a condition variable one way, an eventfd the other, which the core reads; and of
//! calls between cores that are awake, a cache line each way.

use std::fs::File;
use std::hint::spin_loop;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use annulus::{Runtime, spawn_blocking};

use super::{Run, Sample, Stopwatch, pin};

pub(super) static CELLS: &[(&str, Run)] = &[("blocking", bare), ("call_spinning", two_lines)];

/// A number on lines of its own.
#[repr(align(128))]
struct Line(AtomicU64);

/// There and back through two cache lines, one each way: what the processors take for it, and nothing else.
fn two_lines(operations: u64) -> Sample {
    let lines = [Line(AtomicU64::new(0)), Line(AtomicU64::new(0))];
    let wait = |line: &Line, number| {
        while line.0.load(Ordering::Acquire) != number {
            spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            for number in 1..=operations {
                wait(&lines[0], number);
                lines[1].0.store(number, Ordering::Release);
            }
        });
        let asking = scope.spawn(|| {
            pin(0);
            let watch = Stopwatch::start();
            for number in 1..=operations {
                lines[0].0.store(number, Ordering::Release);
                wait(&lines[1], number);
            }
            watch.stop(operations)
        });
        asking.join().expect("no panic")
    })
}

fn bare(operations: u64) -> Sample {
    // The number of jobs that were handed over.
    let jobs = Arc::new((Mutex::new(0), Condvar::new()));
    // SAFETY: a plain call that touches no memory of ours.
    #[allow(unsafe_code, reason = "std has no eventfd")]
    let eventfd = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let (mut done, tell) = (File::from(eventfd), Arc::clone(&jobs));
    let descriptor = done.as_raw_fd();
    let working = thread::spawn(move || {
        pin(1);
        for job in 1..=operations {
            let mut count = tell.0.lock().expect("no panic");
            while *count < job {
                count = tell.1.wait(count).expect("no panic");
            }
            drop(count);
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes; the descriptor is open until this thread was joined.
            #[allow(unsafe_code, reason = "the descriptor is the other thread's")]
            let written = unsafe { libc::write(descriptor, one.as_ptr().cast(), one.len()) };
            assert_eq!(written, 8, "an eventfd takes a number");
        }
    });
    pin(0);
    let watch = Stopwatch::start();
    for job in 1..=operations {
        *jobs.0.lock().expect("no panic") = job;
        jobs.1.notify_one();
        done.read_exact(&mut [0; 8]).expect("the thread tells");
    }
    let sample = watch.stop(operations);
    working.join().expect("no panic");
    sample
}

pub(super) fn annulus_blocking(operations: u64) -> Sample {
    // The pool's threads run where its maker may: not on the core's processor.
    pin(1);
    let pool = annulus::blocking::Pool::builder().threads_max(1).build();
    pin(0);
    match Runtime::builder().blocking_pool(&pool).build() {
        Ok(runtime) => runtime.block_on(async {
            let watch = Stopwatch::start();
            for _ in 0..operations {
                spawn_blocking(|| ()).await.expect("no panic");
            }
            watch.stop(operations)
        }),
        Err(error) => panic!("annulus did not start: {error}"),
    }
}

pub(super) fn tokio_blocking(operations: u64) -> Sample {
    pin(0);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    match builder.max_blocking_threads(1).on_thread_start(|| pin(1)).build() {
        Ok(runtime) => runtime.block_on(async {
            let watch = Stopwatch::start();
            for _ in 0..operations {
                tokio::task::spawn_blocking(|| ()).await.expect("no panic");
            }
            watch.stop(operations)
        }),
        Err(error) => panic!("tokio did not start: {error}"),
    }
}
