//! The futures that the cells await, the same for every runtime.

#![allow(unsafe_code, reason = "mallinfo2")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Wakes itself until it was polled `polls` times.
pub(super) async fn wake_self(polls: u64) {
    let mut left = polls;
    poll_fn(|context| {
        if left <= 1 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What two players share.
#[derive(Default)]
pub(super) struct Table {
    turn: Cell<usize>,
    wakers: RefCell<[Option<Waker>; 2]>,
}

/// One of two players: on its turn it wakes the other, `rounds` times. Its waker is stored once, since neither
/// moves to another task.
pub(super) async fn play(table: Rc<Table>, me: usize, rounds: u64) {
    let mut left = rounds;
    poll_fn(|context| {
        if table.wakers.borrow()[me].is_none() {
            table.wakers.borrow_mut()[me] = Some(context.waker().clone());
        }
        if table.turn.get() != me {
            return Poll::Pending;
        }
        table.turn.set(1 - me);
        if let Some(other) = &table.wakers.borrow()[1 - me] {
            other.wake_by_ref();
        }
        left -= 1;
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The process's memory: what malloc has handed out, and what is resident.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    heap_bytes: u64,
    resident_bytes: u64,
}

impl Memory {
    pub(super) fn now() -> Self {
        // SAFETY: the call takes nothing and returns a structure of numbers.
        let info = unsafe { libc::mallinfo2() };
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { heap_bytes: (info.uordblks + info.hblkhd) as u64, resident_bytes: pages * 4096 }
    }

    /// Growth since `earlier`, for each of `count` things.
    pub(super) fn growth(self, earlier: Self, count: u64) -> Vec<(&'static str, f64)> {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count as f64;
        vec![
            ("heap_bytes", each(self.heap_bytes, earlier.heap_bytes)),
            ("resident_bytes", each(self.resident_bytes, earlier.resident_bytes)),
        ]
    }
}
