//! The cells of the mesh bench, and who runs them.
//!
//! A contestant of a cell has two threads, on the first two processors that the bench may use. A cell is one row of
//! `CELLS`; who runs it names it in the list of its own file.

mod annulus_cells;
mod channel_cells;
mod game;
mod handover_cells;
mod ring_cells;
mod tokio_cells;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::contest::{Cell, Contestant, Run, Sample, Stopwatch};
use crate::support::cpu;
use game::Game;

pub(crate) static CELLS: &[Cell] = &[
    Cell {
        name: "wake_asleep",
        about: "two cores that sleep wake each other; per wake, one way",
        operations: 20_000,
        counted: 0,
    },
    Cell {
        name: "wake_awake",
        about: "wake tasks of a core that is busy; per wake, as the waker sees it",
        operations: 400_000,
        counted: 0,
    },
    Cell {
        name: "call_self",
        about: "a core calls itself: the same way without another processor; per round trip",
        operations: 200_000,
        counted: 10_000,
    },
    Cell {
        name: "call_asleep",
        about: "call another core, both asleep before; per round trip",
        operations: 10_000,
        counted: 0,
    },
    Cell {
        name: "call_spinning",
        about: "call another core, both looking for work instead of sleeping; per round trip",
        operations: 200_000,
        counted: 0,
    },
    Cell {
        name: "call_busy",
        about: "call another core, both with a task that is always ready; per round trip",
        operations: 50_000,
        counted: 0,
    },
    Cell {
        name: "spsc",
        about: "numbers from one core to another, one by one, bounded by 1024; per number",
        operations: 4_000_000,
        counted: 0,
    },
    Cell { name: "spsc_64", about: "the same in batches of 64", operations: 8_000_000, counted: 0 },
    Cell {
        name: "spsc_plain",
        about: "as spsc, between threads without a runtime: with a fence each",
        operations: 1_000_000,
        counted: 0,
    },
    Cell {
        name: "spsc_fed",
        about: "as spsc, from a thread without a runtime to a core",
        operations: 1_000_000,
        counted: 0,
    },
    Cell {
        name: "mpsc",
        about: "as spsc, through a channel that may have many senders",
        operations: 2_000_000,
        counted: 0,
    },
    Cell {
        name: "blocking",
        about: "have a thread do nothing and tell the core; per round trip",
        operations: 10_000,
        counted: 0,
    },
];

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "eventfd", cells: ring_cells::EVENTFD },
    Contestant { name: "eventfd-poll", cells: ring_cells::EVENTFD_POLL },
    Contestant { name: "eventfd-ring", cells: ring_cells::EVENTFD_RING },
    Contestant { name: "msg-ring", cells: ring_cells::MSG_RING },
    Contestant { name: "msg-now", cells: ring_cells::MSG_NOW },
    Contestant { name: "send-msg", cells: ring_cells::SEND_MSG },
    Contestant { name: "rtrb", cells: channel_cells::RTRB },
    Contestant { name: "flume", cells: channel_cells::FLUME },
    Contestant { name: "async-channel", cells: channel_cells::ASYNC_CHANNEL },
    Contestant { name: "annulus-spin", cells: channel_cells::ANNULUS_SPINNING },
    Contestant { name: "annulus-sleep", cells: channel_cells::ANNULUS_SLEEPING },
    Contestant { name: "thread", cells: handover_cells::CELLS },
    Contestant { name: "tokio", cells: tokio_cells::CELLS },
    Contestant { name: "annulus", cells: annulus_cells::CELLS },
];

/// The processors of the two threads; one for both where there is no other. First asked before a thread is pinned.
pub(crate) fn processors() -> [usize; 2] {
    static PROCESSORS: OnceLock<[usize; 2]> = OnceLock::new();
    *PROCESSORS.get_or_init(|| match cpu::allowed().as_slice() {
        [first, second, ..] => [*first, *second],
        [first] => [*first, *first],
        [] => panic!("no processor is allowed"),
    })
}

/// Ties the calling thread to the first or the second of them.
fn pin(player: usize) {
    if let Err(error) = cpu::pin_to(processors()[player]) {
        panic!("a processor that was allowed is not: {error}");
    }
}

/// Tasks of a busy core, woken in batches from another: what the waker spends.
struct Volley {
    wakers: std::sync::Mutex<Vec<Waker>>,
    /// How often each task may run.
    permits: AtomicU64,
    /// Polls of all tasks that found a permit.
    polled: AtomicU64,
}

/// Tasks that are woken at once.
const VOLLEY: u64 = 256;

impl Volley {
    fn new() -> Self {
        Self { wakers: Default::default(), permits: AtomicU64::new(0), polled: AtomicU64::new(0) }
    }

    /// One of the tasks.
    async fn target(&self, volleys: u64) {
        let mut seen = 0;
        std::future::poll_fn(|cx| {
            if seen == 0 {
                self.wakers.lock().expect("no panic").push(cx.waker().clone());
                seen = 1;
            }
            if self.permits.load(Ordering::Acquire) >= seen {
                seen += 1;
                self.polled.fetch_add(1, Ordering::Release);
            }
            if seen > volleys { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Wakes all of them, again and again, and times only that.
    fn fire(&self, volleys: u64) -> Sample {
        let count = || self.wakers.lock().expect("no panic").len() as u64;
        wait_until(|| count() == VOLLEY);
        let wakers = std::mem::take(&mut *self.wakers.lock().expect("no panic"));
        let mut wall_ns = 0;
        for volley in 1..=volleys {
            self.permits.store(volley, Ordering::Release);
            let start = Instant::now();
            wakers.iter().for_each(Waker::wake_by_ref);
            wall_ns += start.elapsed().as_nanos() as u64;
            wait_until(|| self.polled.load(Ordering::Acquire) == volley * VOLLEY);
        }
        Sample { operations: volleys * VOLLEY, wall_ns, cpu_ns: wall_ns, extras: Vec::new() }
    }
}

/// Looks again and again, and gives up after a while.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "the other core does not answer");
        std::hint::spin_loop();
    }
}
