//! A timer wheel of one level and nothing else: the least that creating and cancelling a timer can cost.

use std::task::Waker;

const SLOTS: usize = 4096;
const TICK_NS: u64 = 1 << 20;
const NONE: u32 = u32::MAX;

struct Timer {
    previous: u32,
    next: u32,
    slot: u32,
    due_ns: u64,
    waker: Option<Waker>,
}

pub(super) struct Wheel {
    heads: Vec<u32>,
    timers: Vec<Timer>,
    free: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { heads: vec![NONE; SLOTS], timers: Vec::new(), free: NONE }
    }

    #[inline]
    pub(super) fn insert(&mut self, due_ns: u64, waker: Waker) -> u32 {
        let slot = (due_ns / TICK_NS) as u32 % SLOTS as u32;
        let next = self.heads[slot as usize];
        let timer = Timer { previous: NONE, next, slot, due_ns, waker: Some(waker) };
        let index = self.free;
        let index = if index == NONE {
            self.timers.push(timer);
            self.timers.len() as u32 - 1
        } else {
            self.free = self.timers[index as usize].next;
            self.timers[index as usize] = timer;
            index
        };
        if next != NONE {
            self.timers[next as usize].previous = index;
        }
        self.heads[slot as usize] = index;
        index
    }

    /// Unlinks a timer and returns when it was due.
    #[inline]
    pub(super) fn cancel(&mut self, index: u32) -> u64 {
        let free = self.free;
        let timer = &mut self.timers[index as usize];
        let Timer { previous, next, slot, due_ns, .. } = *timer;
        timer.waker = None;
        timer.next = free;
        self.free = index;
        if previous == NONE {
            self.heads[slot as usize] = next;
        } else {
            self.timers[previous as usize].next = next;
        }
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        due_ns
    }
}
