//! A runtime's one source of time: the monotonic clock, or one that stands still until it is moved.
//!
//! Everything in this room asks the clock, so that a test which pauses it sees hours of sleeps,
//! intervals and timeouts in microseconds, and the same way each run. Readings are nanoseconds
//! since the clock was made and never go back, whether it is paused, moved or resumed.
//!
//! It reads `CLOCK_MONOTONIC` as a plain number. Through `std::time::Instant`, which is the same
//! clock, a reading took 80 instructions more (`micro`, `timer_create_cancel`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::sys::plain::monotonic_ns;

#[derive(Debug)]
pub(super) struct Clock {
    /// The instant that is taken to read 0. It was a little before that, by what lay between two
    /// looks at the clock, so an instant's reading is never too early.
    epoch: Instant,
    mode: Cell<Mode>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// When the monotonic clock said `since_ns` the reading was `base_ns`; it runs from there.
    Running {
        since_ns: u64,
        base_ns: u64,
    },
    Paused {
        now_ns: u64,
    },
}

/// A gap between two looks at the clock that is no longer than it takes.
const GAP_MAX_NS: u64 = 5_000;
const ATTEMPTS: u32 = 8;

impl Clock {
    /// A running clock that reads 0 now.
    ///
    /// A thread that lost the processor between the two looks takes them again.
    pub(super) fn new() -> Self {
        let mut best = (u64::MAX, Instant::now(), monotonic_ns());
        for _ in 0..ATTEMPTS {
            let before_ns = monotonic_ns();
            let epoch = Instant::now();
            let since_ns = monotonic_ns();
            let gap_ns = since_ns - before_ns;
            if gap_ns < best.0 {
                best = (gap_ns, epoch, since_ns);
            }
            if gap_ns < GAP_MAX_NS {
                break;
            }
        }
        let (_, epoch, since_ns) = best;
        Self { epoch, mode: Cell::new(Mode::Running { since_ns, base_ns: 0 }) }
    }

    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        if let Mode::Paused { now_ns } = self.mode.get() {
            return now_ns;
        }
        // Read first: what is needed after the call need not be kept across it.
        let monotonic_ns = monotonic_ns();
        match self.mode.get() {
            Mode::Running { since_ns, base_ns } => base_ns.saturating_add(monotonic_ns - since_ns),
            Mode::Paused { now_ns } => now_ns,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.mode.get(), Mode::Paused { .. })
    }

    /// Stops the clock at its present reading.
    pub(super) fn pause(&self) {
        self.mode.set(Mode::Paused { now_ns: self.now_ns() });
    }

    /// Lets the clock run on from its present reading.
    pub(super) fn resume(&self) {
        self.mode.set(Mode::Running { since_ns: monotonic_ns(), base_ns: self.now_ns() });
    }

    /// Moves a paused clock forward to `to_ns`; an earlier time, or a clock that runs, is left as
    /// it is.
    pub(super) fn advance_to(&self, to_ns: u64) {
        if let Mode::Paused { now_ns } = self.mode.get() {
            self.mode.set(Mode::Paused { now_ns: now_ns.max(to_ns) });
        }
    }

    /// The reading at `instant`: 0 if it is before the clock was made, `None` if 584 years after.
    pub(super) fn ns_at(&self, instant: Instant) -> Option<u64> {
        checked_ns(instant.saturating_duration_since(self.epoch))
    }

    /// The instant of a reading.
    pub(super) fn instant_at(&self, ns: u64) -> Instant {
        self.epoch + Duration::from_nanos(ns)
    }

    /// What `CLOCK_MONOTONIC` says when the reading comes to `ns`; `None` while the clock is paused.
    pub(super) fn monotonic_at(&self, ns: u64) -> Option<u64> {
        let Mode::Running { since_ns, base_ns } = self.mode.get() else { return None };
        Some(since_ns.saturating_add(ns.saturating_sub(base_ns)))
    }
}

/// The nanoseconds of `duration`; `None` above `u64::MAX`, 584 years.
#[inline]
pub(super) fn checked_ns(duration: Duration) -> Option<u64> {
    u64::try_from(duration.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_stands_moves_and_runs_on_without_going_back() {
        let clock = Clock::new();
        let first_ns = clock.now_ns();
        clock.pause();
        let paused_ns = clock.now_ns();
        assert!(first_ns <= paused_ns && clock.is_paused());
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(clock.now_ns(), paused_ns);

        clock.advance_to(paused_ns + 5_000_000_000);
        clock.advance_to(0);
        assert_eq!(clock.now_ns(), paused_ns + 5_000_000_000);
        assert_eq!(clock.monotonic_at(u64::MAX), None);

        clock.resume();
        let resumed_ns = clock.now_ns();
        assert!(resumed_ns >= paused_ns + 5_000_000_000 && !clock.is_paused());
        clock.advance_to(u64::MAX);
        assert!(clock.now_ns() < resumed_ns + 60_000_000_000, "a running clock is not moved");

        // A second of the clock is a second of real time, counted from when it was resumed.
        let at_ns = clock.monotonic_at(resumed_ns).unwrap();
        assert!((at_ns..at_ns + 60_000_000_000).contains(&monotonic_ns()));
        assert_eq!(clock.monotonic_at(resumed_ns + 1_000_000_000), Some(at_ns + 1_000_000_000));
        assert_eq!(clock.monotonic_at(u64::MAX), Some(at_ns.saturating_add(u64::MAX - resumed_ns)));
    }

    #[test]
    fn a_clock_resumed_at_its_end_stays_there() {
        let clock = Clock::new();
        clock.pause();
        clock.advance_to(u64::MAX);
        clock.resume();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(clock.now_ns(), u64::MAX);
    }

    #[test]
    fn an_instant_is_not_read_as_an_earlier_one() {
        let clock = Clock::new();
        for _ in 0..100 {
            let before_ns = clock.now_ns();
            let read_ns = clock.ns_at(Instant::now()).unwrap();
            let after_ns = clock.now_ns();
            assert!(before_ns <= read_ns && read_ns < after_ns + 60_000_000_000);
        }
    }

    #[test]
    fn instants_and_readings_convert_both_ways() {
        let clock = Clock::new();
        assert_eq!(clock.ns_at(clock.instant_at(12_345)), Some(12_345));
        assert_eq!(clock.ns_at(clock.instant_at(u64::MAX)), Some(u64::MAX));
        assert_eq!(clock.ns_at(clock.instant_at(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(clock.ns_at(clock.epoch - Duration::from_nanos(1)), Some(0));
    }

    #[test]
    fn nanoseconds_are_refused_only_when_they_do_not_fit() {
        assert_eq!(checked_ns(Duration::ZERO), Some(0));
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX)), Some(u64::MAX));
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(checked_ns(Duration::MAX), None);
    }
}
