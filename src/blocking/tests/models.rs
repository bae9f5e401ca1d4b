//! Loom models of what crosses threads: a job to a thread of the pool, its result back, and either end let go of.

use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::blocking::crew::{Crew, Settings};
use crate::blocking::future::{Wait, WhenDropped};

/// The bell of a core that sleeps.
struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        *self.rung.lock().expect("not poisoned") = true;
        self.condition.notify_one();
    }
}

/// Polls until it is done, and sleeps between: loom reports a wake-up that is lost as a deadlock.
fn block_on<T>(mut future: impl Future<Output = T> + Unpin) -> T {
    let bell = StdArc::new(Bell { rung: Mutex::new(false), condition: Condvar::new() });
    let waker = Waker::from(StdArc::clone(&bell));
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut rung = bell.rung.lock().expect("not poisoned");
        while !*rung {
            rung = bell.condition.wait(rung).expect("not poisoned");
        }
        *rung = false;
    }
}

fn crew(threads_max: usize) -> StdArc<Crew> {
    let name = String::new();
    let idle_timeout = Duration::from_secs(1);
    Crew::new(Settings { name, threads_max, queue_max: 1, idle_timeout, stack_size: None })
}

fn end(crew: &Crew) {
    crew.close();
    assert_eq!(crew.wait(Instant::now() + Duration::from_secs(600)), 0);
}

/// Counts how often it was dropped, by whichever thread.
struct Canary(StdArc<StdAtomicUsize>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, StdOrdering::SeqCst);
    }
}

#[test]
fn loom_a_job_and_its_result_are_handed_over() {
    loom::model(|| {
        let crew = crew(1);
        let seen = Arc::new(AtomicUsize::new(1));
        let inside = Arc::clone(&seen);
        // Relaxed on purpose: the hand-over has to publish it, both ways.
        let job = move || inside.fetch_add(1, Ordering::Relaxed);
        let output = block_on(Wait::new(&crew, job, WhenDropped::Run)).expect("it was run");
        assert_eq!((output, seen.load(Ordering::Relaxed)), (1, 2));
        end(&crew);
    });
}

#[test]
fn loom_jobs_that_wait_for_room_get_it() {
    loom::model(|| {
        let crew = crew(1);
        let waits: [_; 3] = [1, 2, 3].map(|number| {
            let mut wait = Wait::new(&crew, move || number, WhenDropped::Run);
            wait.submit(Waker::noop());
            wait
        });
        for (index, wait) in waits.into_iter().enumerate() {
            assert_eq!(block_on(wait).expect("it was run"), index + 1);
        }
        end(&crew);
    });
}

#[test]
fn loom_a_job_is_taken_back_or_run_and_dropped_once() {
    for when_dropped in [WhenDropped::TakeBack, WhenDropped::Run] {
        loom::model(move || {
            let crew = crew(1);
            let (dropped, runs) =
                (StdArc::new(StdAtomicUsize::new(0)), StdArc::new(StdAtomicUsize::new(0)));
            let (canary, counted) = (Canary(StdArc::clone(&dropped)), StdArc::clone(&runs));
            let job = move || {
                counted.fetch_add(1, StdOrdering::SeqCst);
                canary
            };
            let mut wait = Wait::new(&crew, job, when_dropped);
            let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
            drop(wait);
            crew.close();
            assert_eq!(crew.wait(Instant::now() + Duration::from_secs(600)), 0);
            assert_eq!(dropped.load(StdOrdering::SeqCst), 1);
            assert!(runs.load(StdOrdering::SeqCst) <= 1);
        });
    }
}

#[test]
fn loom_a_close_ends_every_wait() {
    loom::model(|| {
        let crew = crew(1);
        let closing = StdArc::clone(&crew);
        let thread = thread::spawn(move || closing.close());
        let waits = [(); 2].map(|()| {
            let mut wait = Wait::new(&crew, || 5, WhenDropped::Run);
            wait.submit(Waker::noop());
            wait
        });
        for wait in waits {
            // Begun before the close, or refused by it.
            match block_on(wait) {
                Ok(output) => assert_eq!(output, 5),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
            }
        }
        thread.join().expect("no panic");
        end(&crew);
    });
}
