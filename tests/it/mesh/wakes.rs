//! What it takes to wake a core that sleeps: one write, and no other system call.

use std::future::poll_fn;
use std::hint::spin_loop;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use annulus::Builder;

use crate::faults::start::allow_only;
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::skip::{print, skip};
use crate::support::thread::{this_thread, wait_until_asleep};

const WAKES: usize = 50;

/// What the three threads have done so far. Only one of them has something to do at a time, so the lock is free
/// whenever it is taken, and costs no system call.
struct Game {
    waker: Mutex<Option<Waker>>,
    /// The core has given its waker.
    given: AtomicUsize,
    /// The core sleeps.
    asleep: AtomicUsize,
    /// The waker was called.
    called: AtomicUsize,
    /// The thread that wakes; -1 if the kernel gives no filters.
    thread: AtomicI32,
}

static GAME: Game = Game {
    waker: Mutex::new(None),
    given: AtomicUsize::new(0),
    asleep: AtomicUsize::new(0),
    called: AtomicUsize::new(0),
    thread: AtomicI32::new(0),
};

/// The calls of `write` that a thread of this process has made; `None` where the kernel does not count them.
fn writes_of(thread: i32) -> Option<usize> {
    let counts = std::fs::read_to_string(format!("/proc/self/task/{thread}/io")).ok()?;
    counts.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse().ok()
}

/// Calls each waker, and makes no other system call than that takes: another ends the process.
fn wake_all() {
    let number = this_thread();
    let filtered = allow_only(libc::SYS_write);
    // Nothing may follow that ends or blocks the thread: it ends with the process.
    GAME.thread.store(if filtered.is_ok() { number } else { -1 }, Ordering::SeqCst);
    for wake in 1.. {
        while GAME.asleep.load(Ordering::SeqCst) < wake {
            spin_loop();
        }
        if let Some(waker) = GAME.waker.lock().expect("no panic").take() {
            waker.wake();
        }
        GAME.called.store(wake, Ordering::SeqCst);
    }
}

/// Says so whenever the core has given a waker and then sleeps.
fn watch(core: i32) {
    for wake in 1..=WAKES {
        wait_until_asleep(core, || GAME.given.load(Ordering::SeqCst) == wake);
        GAME.asleep.store(wake, Ordering::SeqCst);
    }
}

async fn sleep_and_be_woken(wake: usize) {
    poll_fn(|cx| {
        if GAME.called.load(Ordering::SeqCst) >= wake {
            return Poll::Ready(());
        }
        if GAME.given.load(Ordering::SeqCst) < wake {
            *GAME.waker.lock().expect("no panic") = Some(cx.waker().clone());
            GAME.given.store(wake, Ordering::SeqCst);
        } else {
            // Woken before the other thread has said so.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

#[test]
fn a_wake_of_a_sleeping_core_is_one_write_and_no_other_call() {
    let output = in_child!(|| {
        let core = this_thread();
        std::thread::spawn(wake_all);
        while GAME.thread.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let thread = GAME.thread.load(Ordering::SeqCst);
        let Some(before) = writes_of(thread) else {
            print("wakes", format_args!("no filters, or no counts"));
            return;
        };
        let watching = std::thread::spawn(move || watch(core));
        run_alone(Builder::new(), async || {
            for wake in 1..=WAKES {
                sleep_and_be_woken(wake).await;
            }
        });
        watching.join().expect("it sleeps each time");
        assert_eq!(writes_of(thread).map(|writes| writes - before), Some(WAKES));
    });
    if let Some(output) = output {
        assert_passed(&output);
        if String::from_utf8_lossy(&output.stdout).contains("SKIP") {
            skip!("no seccomp filters here, or no count of a thread's writes");
        }
    }
}
