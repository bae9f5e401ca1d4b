//! A runtime's one source of time: the monotonic clock, or one that stands still until it is moved.
//!
//! Everything in this room asks the clock, so that a test which pauses it sees hours of sleeps,
//! intervals and timeouts in microseconds, and the same way each run. Readings are nanoseconds
//! since the clock was made and never go back, whether it is paused, moved or resumed.

use std::cell::Cell;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Clock {
    /// Where the readings count from.
    epoch: Instant,
    mode: Cell<Mode>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// At `since` the reading was `base_ns`; it runs from there.
    Running {
        since: Instant,
        base_ns: u64,
    },
    Paused {
        now_ns: u64,
    },
}

impl Clock {
    /// A running clock that reads 0 now.
    pub(super) fn new() -> Self {
        let epoch = Instant::now();
        Self { epoch, mode: Cell::new(Mode::Running { since: epoch, base_ns: 0 }) }
    }

    pub(super) fn now_ns(&self) -> u64 {
        match self.mode.get() {
            Mode::Running { since, base_ns } => {
                base_ns.saturating_add(saturating_ns(since.elapsed()))
            }
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
        self.mode.set(Mode::Running { since: Instant::now(), base_ns: self.now_ns() });
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

    /// How long after the clock was made real time will bring the reading to `ns`; `None` while it
    /// is paused.
    pub(super) fn real_ns_since_epoch(&self, ns: u64) -> Option<u64> {
        let Mode::Running { since, base_ns } = self.mode.get() else { return None };
        let since_ns = saturating_ns(since - self.epoch);
        Some(since_ns.saturating_add(ns.saturating_sub(base_ns)))
    }
}

/// The nanoseconds of `duration`; `None` above `u64::MAX`, 584 years.
pub(super) fn checked_ns(duration: Duration) -> Option<u64> {
    duration.as_secs().checked_mul(1_000_000_000)?.checked_add(duration.subsec_nanos().into())
}

fn saturating_ns(duration: Duration) -> u64 {
    checked_ns(duration).unwrap_or(u64::MAX)
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
        assert_eq!(clock.real_ns_since_epoch(u64::MAX), None);

        clock.resume();
        let resumed_ns = clock.now_ns();
        assert!(resumed_ns >= paused_ns + 5_000_000_000 && !clock.is_paused());
        clock.advance_to(u64::MAX);
        assert!(clock.now_ns() < resumed_ns + 60_000_000_000, "a running clock is not moved");

        // A second of the clock is a second of real time, counted from when it was resumed.
        let real_ns = clock.real_ns_since_epoch(resumed_ns).unwrap();
        assert!((1_000_000..60_000_000_000).contains(&real_ns));
        assert_eq!(
            clock.real_ns_since_epoch(resumed_ns + 1_000_000_000),
            Some(real_ns + 1_000_000_000)
        );
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
