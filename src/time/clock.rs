//! A runtime's one source of time: a clock of the kernel's, or one that stands still until it is moved.
//!
//! Everything in this room asks the clock, so that a test which pauses it sees hours of sleeps,
//! intervals and timeouts in microseconds, and the same way each run. Readings are nanoseconds
//! since the clock was made and never go back, whether it is paused, moved or resumed.
//!
//! It reads the kernel's as a plain number. Through `std::time::Instant`, a reading of
//! `CLOCK_MONOTONIC` took 80 instructions more (`micro`, `timer_create_cancel`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::sys::plain::{ClockId, clock_ns};

#[derive(Debug)]
pub(super) struct Clock {
    /// The kernel's, by which this one runs.
    id: ClockId,
    /// The instant that is taken to read 0. It was a little before that, by what lay between two
    /// looks at the clock, so an instant's reading is never too early.
    epoch: Instant,
    mode: Cell<Mode>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// When the kernel's clock said `since_ns` the reading was `base_ns`; it runs from there.
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
    pub(super) fn new(id: ClockId) -> Self {
        let mut best = (u64::MAX, Instant::now(), clock_ns(id));
        for _ in 0..ATTEMPTS {
            let before_ns = clock_ns(id);
            let epoch = Instant::now();
            let since_ns = clock_ns(id);
            let gap_ns = since_ns - before_ns;
            if gap_ns < best.0 {
                best = (gap_ns, epoch, since_ns);
            }
            if gap_ns < GAP_MAX_NS {
                break;
            }
        }
        let (_, epoch, since_ns) = best;
        Self { id, epoch, mode: Cell::new(Mode::Running { since_ns, base_ns: 0 }) }
    }

    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        // Read first, though a paused clock does without: what is needed after the call need not be kept across it.
        let kernel_ns = self.kernel_ns();
        match self.mode.get() {
            Mode::Running { since_ns, base_ns } => {
                // A sum that does not wait for the test of it.
                let ended = kernel_ns - since_ns > u64::MAX - base_ns;
                let now_ns = kernel_ns.wrapping_add(base_ns.wrapping_sub(since_ns));
                if ended { end_of_time() } else { now_ns }
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
        self.mode.set(Mode::Running { since_ns: self.kernel_ns(), base_ns: self.now_ns() });
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

    pub(super) fn id(&self) -> ClockId {
        self.id
    }

    /// What the kernel's clock says now.
    #[inline]
    pub(super) fn kernel_ns(&self) -> u64 {
        clock_ns(self.id)
    }

    /// What the kernel's clock says when the reading comes to `ns`; `None` while the clock is paused.
    pub(super) fn kernel_ns_at(&self, ns: u64) -> Option<u64> {
        let Mode::Running { since_ns, base_ns } = self.mode.get() else { return None };
        Some(since_ns.saturating_add(ns.saturating_sub(base_ns)))
    }
}

/// After so many years.
#[cold]
#[inline(never)]
fn end_of_time() -> u64 {
    u64::MAX
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
        let clock = Clock::new(ClockId::Monotonic);
        let first_ns = clock.now_ns();
        clock.pause();
        let paused_ns = clock.now_ns();
        assert!(first_ns <= paused_ns && clock.is_paused());
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(clock.now_ns(), paused_ns);

        clock.advance_to(paused_ns + 5_000_000_000);
        clock.advance_to(0);
        assert_eq!(clock.now_ns(), paused_ns + 5_000_000_000);
        assert_eq!(clock.kernel_ns_at(u64::MAX), None);

        clock.resume();
        let resumed_ns = clock.now_ns();
        assert!(resumed_ns >= paused_ns + 5_000_000_000 && !clock.is_paused());
        clock.advance_to(u64::MAX);
        assert!(clock.now_ns() < resumed_ns + 60_000_000_000, "a running clock is not moved");

        // A second of the clock is a second of real time, counted from when it was resumed.
        let at_ns = clock.kernel_ns_at(resumed_ns).unwrap();
        assert!((at_ns..at_ns + 60_000_000_000).contains(&clock.kernel_ns()));
        assert_eq!(clock.kernel_ns_at(resumed_ns + 1_000_000_000), Some(at_ns + 1_000_000_000));
        assert_eq!(clock.kernel_ns_at(u64::MAX), Some(at_ns.saturating_add(u64::MAX - resumed_ns)));
    }

    #[test]
    fn a_clock_resumed_at_its_end_stays_there() {
        let clock = Clock::new(ClockId::Monotonic);
        clock.pause();
        clock.advance_to(u64::MAX);
        clock.resume();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(clock.now_ns(), u64::MAX);
    }

    #[test]
    fn an_instant_is_not_read_as_an_earlier_one() {
        let clock = Clock::new(ClockId::Monotonic);
        for _ in 0..100 {
            let before_ns = clock.now_ns();
            let read_ns = clock.ns_at(Instant::now()).unwrap();
            let after_ns = clock.now_ns();
            assert!(before_ns <= read_ns && read_ns < after_ns + 60_000_000_000);
        }
    }

    #[test]
    fn instants_and_readings_convert_both_ways() {
        let clock = Clock::new(ClockId::Monotonic);
        assert_eq!(clock.ns_at(clock.instant_at(12_345)), Some(12_345));
        assert_eq!(clock.ns_at(clock.instant_at(u64::MAX)), Some(u64::MAX));
        assert_eq!(clock.ns_at(clock.instant_at(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(clock.ns_at(clock.epoch - Duration::from_nanos(1)), Some(0));
    }

    #[test]
    fn each_clock_of_the_kernels_is_read_by_its_name() {
        for (id, raw) in
            [(ClockId::Monotonic, libc::CLOCK_MONOTONIC), (ClockId::Boottime, libc::CLOCK_BOOTTIME)]
        {
            assert_eq!(id as libc::clockid_t, raw);
            let clock = Clock::new(id);
            assert_eq!((clock.id(), clock.now_ns() < 60_000_000_000), (id, true));
            let at_ns = clock.kernel_ns_at(clock.now_ns()).unwrap();
            assert!((at_ns..at_ns + 60_000_000_000).contains(&clock_ns(id)));
        }
        let monotonic_ns = clock_ns(ClockId::Monotonic);
        assert!(clock_ns(ClockId::Boottime) >= monotonic_ns);
    }

    #[test]
    fn what_the_kernels_clock_jumps_the_reading_jumps_and_nothing_else_does() {
        // As `CLOCK_BOOTTIME` when the machine wakes up: an hour more has passed since then.
        const HOUR_NS: u64 = 3_600_000_000_000;
        let clock = Clock::new(ClockId::Boottime);
        let deadline_ns = clock.now_ns() + HOUR_NS / 2;
        let Mode::Running { since_ns, base_ns } = clock.mode.get() else { panic!("it runs") };
        let at_ns = clock.kernel_ns_at(deadline_ns).unwrap();
        clock.mode.set(Mode::Running { since_ns: since_ns - HOUR_NS.min(since_ns), base_ns });
        let jumped_ns = HOUR_NS.min(since_ns);
        assert!(clock.now_ns() >= jumped_ns && clock.now_ns() < jumped_ns + 60_000_000_000);
        assert_eq!(clock.kernel_ns_at(deadline_ns), Some(at_ns - jumped_ns));
    }

    #[test]
    fn nanoseconds_are_refused_only_when_they_do_not_fit() {
        assert_eq!(checked_ns(Duration::ZERO), Some(0));
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX)), Some(u64::MAX));
        assert_eq!(checked_ns(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(checked_ns(Duration::MAX), None);
    }
}
