//! Whether a core with busy channels looks for work before it sleeps.
//!
//! To be woken takes a core some ten microseconds. A sender at work fills a ring in less, and then has to wait itself;
//! so two cores that hand much to each other, and sleep whenever they wait, end up with one of them always asleep
//! (`mesh`, `spsc` and `spsc_64`, `annulus` against `annulus-sleep`). A core that looks for as long as a wake-up
//! takes, and then sleeps, spends at most twice what it would if it knew what comes.
//!
//! It looks only when asked, by an end that waits after it had moved many messages; and a look that found nothing
//! makes it sleep at once the next times, each further one about twice as often. So where messages come in bursts with
//! long gaps between, looking costs one burst in some sixty.

use std::cell::Cell;

/// Messages that an end has moved between two waits for its channel to be a busy one.
const BUSY: usize = 64;
/// Sleeps without a look after looks in vain, at most, as a power of two.
const FAILURES_MAX: u32 = 6;

crate::loom::thread_local! {
    /// A busy end has begun to wait.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// An end waits that is at `position` of its ring, and was at `last` when it last waited.
pub(super) fn wait_at(position: usize, last: usize) {
    if position.wrapping_sub(last) >= BUSY {
        ASKED.with(|asked| asked.set(true));
    }
}

/// What a core knows of its looks.
#[derive(Debug)]
pub(crate) struct AdaptiveSpin {
    most_ns: u64,
    /// Looks in vain since the last that found something.
    failures: Cell<u32>,
    /// Sleeps that go without a look.
    skips: Cell<u32>,
}

impl AdaptiveSpin {
    /// One that looks for that long; zero for never.
    pub(crate) fn new(most_ns: u64) -> Self {
        Self { most_ns, failures: Cell::new(0), skips: Cell::new(0) }
    }

    /// How long to look before this sleep; zero for not at all. After a look, [`tell`](Self::tell) is called.
    #[inline]
    pub(crate) fn wanted_ns(&self) -> u64 {
        if !ASKED.with(Cell::take) {
            return 0;
        }
        match self.skips.get() {
            0 => self.most_ns,
            skips => {
                self.skips.set(skips - 1);
                0
            }
        }
    }

    /// Whether the look has found something.
    pub(crate) fn tell(&self, found: bool) {
        if found {
            self.failures.set(0);
            return;
        }
        let failures = FAILURES_MAX.min(self.failures.get() + 1);
        self.failures.set(failures);
        self.skips.set((1 << failures) - 1);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{AdaptiveSpin, BUSY, FAILURES_MAX, wait_at};

    /// How many sleeps go by until one is looked before.
    fn sleeps_until_look(spin: &AdaptiveSpin) -> usize {
        let wanted = || {
            wait_at(BUSY, 0);
            spin.wanted_ns()
        };
        (0..).take_while(|_| wanted() == 0).count()
    }

    #[test]
    fn only_a_busy_end_asks_and_only_once() {
        let spin = AdaptiveSpin::new(7);
        assert_eq!(spin.wanted_ns(), 0);
        wait_at(BUSY - 1, 0);
        assert_eq!(spin.wanted_ns(), 0);
        wait_at(0, 0_usize.wrapping_sub(BUSY));
        assert_eq!(spin.wanted_ns(), 7);
        assert_eq!(spin.wanted_ns(), 0);
    }

    #[test]
    fn looks_in_vain_get_rare_and_one_that_finds_makes_up_for_them() {
        let spin = AdaptiveSpin::new(7);
        for failures in 1..=FAILURES_MAX + 2 {
            spin.tell(false);
            let sleeps = (1 << failures.min(FAILURES_MAX)) - 1;
            assert_eq!(sleeps_until_look(&spin), sleeps);
        }
        spin.tell(true);
        assert_eq!(sleeps_until_look(&spin), 0);
        spin.tell(false);
        assert_eq!(sleeps_until_look(&spin), 1);
    }
}
