//! How many operations on disks are in the kernel at once, and those that wait for their turn, first come first served.
//!
//! What waits is an entry whose operation lies in its slot already, not a task: when one ends, the loop stages the next
//! by itself, also that of a future that is not polled meanwhile. Nobody can hold up the others, and a future that is
//! dropped leaves nothing behind.

use std::collections::VecDeque;

use super::slots::Key;
use crate::sys::Sqe;

/// The number of an entry that waits here: the kernel has not seen it.
pub(super) const HELD: u64 = u64::MAX;

/// See the head of the file.
pub(super) struct Depth {
    max: usize,
    /// Operations that are staged or in the kernel.
    under_way: usize,
    held: VecDeque<(Key, Sqe)>,
}

impl Depth {
    pub(super) fn new(max: usize) -> Self {
        Self { max, under_way: 0, held: VecDeque::new() }
    }

    /// Gives the entry back, to be staged, if there is room for its operation; keeps it otherwise.
    #[inline]
    pub(super) fn enter(&mut self, key: Key, entry: Sqe) -> Option<Sqe> {
        if self.under_way >= self.max {
            self.held.push_back((key, entry));
            return None;
        }
        self.under_way += 1;
        Some(entry)
    }

    /// So many operations ended.
    pub(super) fn leave(&mut self, count: usize) {
        self.under_way -= count;
    }

    /// The first that waits, if there is room for it, to be staged.
    pub(super) fn next(&mut self) -> Option<(Key, Sqe)> {
        if self.under_way >= self.max {
            return None;
        }
        let next = self.held.pop_front()?;
        self.under_way += 1;
        Some(next)
    }

    /// It waits no more.
    #[cold]
    pub(super) fn take_back(&mut self, key: Key) {
        self.held.retain(|(held, _)| *held != key);
    }

    /// From now on there is room for all.
    pub(super) fn lift(&mut self) {
        self.max = usize::MAX;
    }
}

impl std::fmt::Debug for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Depth");
        debug.field("max", &self.max).field("under_way", &self.under_way);
        debug.field("held", &self.held.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    #[test]
    fn those_that_wait_come_in_order_and_one_that_is_taken_back_does_not() {
        let keys: Vec<Key> = (0..6).map(Key::first).collect();
        let mut depth = Depth::new(2);
        let entered: Vec<bool> =
            keys.iter().map(|key| depth.enter(*key, entry()).is_some()).collect();
        assert_eq!(entered, [true, true, false, false, false, false]);
        assert!(depth.next().is_none());
        depth.take_back(keys[3]);
        depth.leave(1);
        assert_eq!(depth.next().map(|(key, _)| key), Some(keys[2]));
        assert!(depth.next().is_none());
        depth.leave(2);
        assert_eq!(depth.next().map(|(key, _)| key), Some(keys[4]));
        depth.lift();
        assert_eq!(depth.next().map(|(key, _)| key), Some(keys[5]));
        assert!(depth.next().is_none());
        depth.leave(2);
        assert_eq!(depth.under_way, 0);
    }
}
