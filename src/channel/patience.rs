//! How long an end looks at the ring before it waits.
//!
//! To wait and be woken costs some microseconds, and both cores their rhythm. Where the other end is at work it is
//! about to come, so looking for less than that pays; where it is not, looking is wasted. Which of the two it is,
//! the last waits tell.
//!
//! Nor does it pay to look at once, not even where something is there. Each look takes a line from an end that is at
//! work, and to fetch it for a few messages costs both more than the messages. So the pauses between looks grow while
//! each brings some, and shrink where messages come one by one, each after an answer, or where enough of them come
//! (`mesh`, `spsc`).

use std::hint;

use super::adaptive_spin;

/// Pauses that are always made: they find an end that is at work, and cost next to nothing otherwise.
const MIN: u32 = if cfg!(loom) { 0 } else { 4 };
/// Pauses that are made at most: one to four microseconds, by what the processor takes for one.
const MAX: u32 = if cfg!(loom) { 0 } else { 64 };
/// Pauses before one look, at most.
const STEP_MAX: u32 = 32;

/// Messages that are worth a look.
const ENOUGH: usize = 128;

/// What an end knows of the other's haste.
#[derive(Debug)]
pub(super) struct Patience {
    pauses: u32,
    /// Pauses before each look.
    step: u32,
    /// Where in the ring the end last waited.
    position: usize,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { pauses: MIN, step: 1, position: 0 }
    }

    /// Looks a few times, until something is seen; whether it was. `seen` says how much there is.
    pub(super) fn look(&mut self, mut seen: impl FnMut() -> usize) -> bool {
        let mut made = 0;
        while made < self.pauses {
            (0..self.step).for_each(|_| hint::spin_loop());
            made += self.step;
            let count = seen();
            if count > 0 {
                self.pauses = MAX.min(self.pauses * 2);
                self.learn(count, ENOUGH);
                return true;
            }
        }
        self.pauses = MIN.max(self.pauses / 2);
        self.step = 1;
        false
    }

    /// Looks once, after a while in which messages of a busy sender may gather.
    pub(super) fn gather(&mut self, capacity: usize, mut seen: impl FnMut() -> usize) {
        (1..self.step).for_each(|_| hint::spin_loop());
        let count = seen();
        self.learn(count, ENOUGH.min(capacity / 8));
    }

    fn learn(&mut self, count: usize, enough: usize) {
        self.step = match count {
            2.. if count < enough => STEP_MAX.min(self.step * 2),
            2.. if count <= enough * 2 => self.step,
            _ => 1.max(self.step / 2),
        };
    }

    /// The end waits, at this position of the ring: its core may be of more patience.
    pub(super) fn wait_at(&mut self, position: usize) {
        adaptive_spin::wait_at(position, self.position);
        self.position = position;
    }
}
