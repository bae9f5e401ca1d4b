//! The queue of a channel: a ring of slots that are there from the start, and a spill for what does not fit.
//!
//! A send and a receive take two thirds of the time that they take over a `RefCell<VecDeque>` (`local`,
//! `channel_self`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// How large the ring is at most.
const SLOTS_MAX: usize = 256;
const BYTES_MAX: usize = 16 * 1024;

pub(super) struct Ring<T> {
    /// A power of two; those from `head` to `tail` are full.
    slots: Box<[Cell<Option<T>>]>,
    head: Cell<usize>,
    tail: Cell<usize>,
    /// What came while the ring was full, and after that.
    spill: RefCell<VecDeque<T>>,
    /// Whether there is any.
    spilled: Cell<bool>,
}

impl<T> Ring<T> {
    /// For about `count` values at a time; takes any number.
    pub(super) fn new(count: usize) -> Self {
        let fit = (BYTES_MAX / size_of::<Option<T>>().max(1)).clamp(1, SLOTS_MAX);
        let count = count.min(fit).next_power_of_two();
        Self {
            slots: (0..count).map(|_| Cell::new(None)).collect(),
            head: Cell::new(0),
            tail: Cell::new(0),
            spill: RefCell::default(),
            spilled: Cell::new(false),
        }
    }

    #[inline]
    pub(super) fn push(&self, value: T) {
        let tail = self.tail.get();
        let is_full = tail.wrapping_sub(self.head.get()) == self.slots.len();
        if is_full || self.spilled.get() {
            return self.push_spill(value);
        }
        // Nothing is dropped: the slot is empty.
        self.slots[tail & (self.slots.len() - 1)].set(Some(value));
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let head = self.head.get();
        let value = self.slots[head & (self.slots.len() - 1)].take();
        if value.is_none() {
            return self.pop_spill();
        }
        self.head.set(head.wrapping_add(1));
        value
    }

    pub(super) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get()) + self.spill.borrow().len()
    }

    #[cold]
    fn push_spill(&self, value: T) {
        self.spilled.set(true);
        self.spill.borrow_mut().push_back(value);
    }

    /// The ring is empty: the spill is next, as much as fits moves to the ring.
    #[cold]
    fn pop_spill(&self) -> Option<T> {
        if !self.spilled.get() {
            return None;
        }
        let mut spill = self.spill.borrow_mut();
        let first = spill.pop_front();
        self.spilled.set(false);
        let moved = spill.len().min(self.slots.len());
        for value in spill.drain(..moved) {
            self.push(value);
        }
        self.spilled.set(!spill.is_empty());
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::Ring;

    /// Pushes and pops in runs of all lengths, so that the ring is full, empty and wrapped, with a spill and without.
    #[test]
    fn order_is_kept_through_the_spill() {
        for count in [1, 2, 3, 8] {
            let (ring, mut model) = (Ring::new(count), VecDeque::new());
            let mut next = 0;
            for run in 0..200 {
                for _ in 0..(run * 7) % 23 {
                    ring.push(next);
                    model.push_back(next);
                    next += 1;
                }
                for _ in 0..(run * 5) % 23 {
                    assert_eq!(ring.pop(), model.pop_front());
                }
                assert_eq!(ring.len(), model.len());
            }
        }
    }

    #[test]
    fn large_values_get_a_small_ring() {
        assert_eq!(Ring::<[u8; 4000]>::new(1000).slots.len(), 4);
        assert_eq!(Ring::<[u8; 40_000]>::new(1000).slots.len(), 1);
        assert_eq!(Ring::<u8>::new(1000).slots.len(), 256);
        assert_eq!(Ring::<()>::new(100).slots.len(), 128);
    }
}
