//! How long an end looks at the ring before it waits.
//!
//! To wait and be woken costs some microseconds, and both cores their rhythm. Where the other end is at work it is
//! about to come, so looking for less than that pays; where it is not, looking is wasted. Which of the two it is,
//! the last waits tell.

use std::hint;

/// Looks that are always made: what finds an end that is at work, and costs next to nothing otherwise.
const LOOKS_MIN: u32 = if cfg!(loom) { 0 } else { 4 };
/// Looks that are made at most: one to three microseconds, by what the processor takes for a pause.
const LOOKS_MAX: u32 = if cfg!(loom) { 0 } else { 32 };

/// What an end knows of the other's haste.
#[derive(Debug)]
pub(super) struct Patience {
    looks: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { looks: LOOKS_MIN }
    }

    /// Looks a few times; whether it was seen.
    pub(super) fn look(&mut self, mut is_seen: impl FnMut() -> bool) -> bool {
        for _ in 0..self.looks {
            if is_seen() {
                self.looks = LOOKS_MAX.min(self.looks * 2);
                return true;
            }
            hint::spin_loop();
        }
        self.looks = LOOKS_MIN.max(self.looks / 2);
        false
    }
}
