//! What it takes to wake a core that sleeps: one message, or one write, and no other system call.
#![allow(unsafe_code, reason = "a descriptor goes to another thread as a number")]

use std::future::poll_fn;
use std::hint::spin_loop;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use annulus::Builder;
use annulus::runtime::Feature;

use crate::support::bell::by_message;
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::filter::{Calls, Question, ask_for};
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
    /// Where the calls of the thread that wakes are asked for; zero before, -1 if the kernel gives no filters.
    filter: AtomicI32,
    /// Those calls.
    noted: Mutex<Vec<libc::c_long>>,
}

static GAME: Game = Game {
    waker: Mutex::new(None),
    given: AtomicUsize::new(0),
    asleep: AtomicUsize::new(0),
    called: AtomicUsize::new(0),
    filter: AtomicI32::new(0),
    noted: Mutex::new(Vec::new()),
};

/// Calls each waker, and does nothing else that would be a call.
fn wake_all() {
    let filter = ask_for(Calls::All).map_or(-1, IntoRawFd::into_raw_fd);
    // Nothing may follow that ends or blocks the thread: it ends with the process.
    GAME.filter.store(filter, Ordering::SeqCst);
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

/// Lets the calls of that thread happen, and notes them.
fn note_all(filter: i32) {
    // SAFETY: the thread gave it away, to us.
    let listener = unsafe { OwnedFd::from_raw_fd(filter) };
    while let Some(question) = Question::next(&listener) {
        GAME.noted.lock().expect("no panic").push(question.call);
        question.allow();
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

/// The calls that wake a core of this builder are this one, each time.
fn count_calls(builder: Builder, expected: libc::c_long) {
    let core = this_thread();
    std::thread::spawn(wake_all);
    while GAME.filter.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let filter = GAME.filter.load(Ordering::SeqCst);
    if filter < 0 {
        print("wakes", format_args!("no filters"));
        return;
    }
    std::thread::spawn(move || note_all(filter));
    let watching = std::thread::spawn(move || watch(core));
    // The descriptor of the filter is there before and after.
    run_alone(builder, async || {
        for wake in 1..=WAKES {
            sleep_and_be_woken(wake).await;
        }
    });
    watching.join().expect("it sleeps each time");
    assert_eq!(*GAME.noted.lock().expect("no panic"), [expected; WAKES]);
}

fn had_filters(output: &Output) -> bool {
    assert_passed(output);
    !String::from_utf8_lossy(&output.stdout).contains("SKIP")
}

#[test]
fn a_wake_of_a_sleeping_core_is_one_message_and_no_other_call() {
    if !by_message() {
        skip!("cores are rung by an eventfd here");
    }
    let output = in_child!(|| count_calls(Builder::new(), libc::SYS_io_uring_register));
    if output.is_some_and(|output| !had_filters(&output)) {
        skip!("no seccomp filters that ask");
    }
}

#[test]
fn a_wake_by_an_eventfd_is_one_write_and_no_other_call() {
    let builder = || Builder::new().disable(Feature::RingMessage);
    let output = in_child!(|| count_calls(builder(), libc::SYS_write));
    if output.is_some_and(|output| !had_filters(&output)) {
        skip!("no seccomp filters that ask");
    }
}
