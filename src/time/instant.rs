//! A point in time by the runtime's clock, in the shape of `std::time::Instant`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use super::timers::Timers;

/// A point in time by the runtime's clock; opaque, and of use only with [`Duration`] and other
/// instants.
///
/// The clock is CLOCK_MONOTONIC: it never goes back, and it stands still while the machine is
/// suspended. With [`Builder::boottime`](crate::Builder::boottime) it runs on meanwhile, and instants are ahead of
/// `std::time::Instant::now()` by as much. Where a test has [paused](super::pause()) the clock, they follow the paused
/// one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// The present instant by the current runtime's clock, or by the system's outside a runtime.
    #[must_use]
    pub fn now() -> Self {
        match Timers::current() {
            Some(timers) => Self(timers.clock().instant_at(timers.now_ns())),
            None => Self(std::time::Instant::now()),
        }
    }

    /// The same point as an instant of the standard library's.
    #[must_use]
    pub fn from_std(instant: std::time::Instant) -> Self {
        Self(instant)
    }

    /// The same point as the standard library's instant.
    #[must_use]
    pub fn into_std(self) -> std::time::Instant {
        self.0
    }

    /// The time since `earlier`, or zero if that is later.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time since `earlier`, or `None` if that is later.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// The time since `earlier`, or zero if that is later; the same as
    /// [`duration_since`](Self::duration_since).
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time since this instant by the current clock, or zero if it is still to come.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// The instant `duration` later, or `None` if there is no such instant.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// The instant `duration` earlier, or `None` if there is no such instant.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If there is no such instant: see [`Instant::checked_add`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If there is no such instant: see [`Instant::checked_sub`].
    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(instant: std::time::Instant) -> Self {
        Self(instant)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_downwards_and_checks_both_ways() {
        let early = Instant::now();
        let late = early + Duration::from_secs(2);
        assert_eq!(late - early, Duration::from_secs(2));
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(early.checked_duration_since(late), None);
        assert_eq!(late - Duration::from_secs(2), early);
        assert_eq!(early.checked_add(Duration::MAX), None);
        assert_eq!(early.checked_sub(Duration::MAX), None);
        assert_eq!(Instant::from_std(late.into_std()), late);
    }

    #[test]
    fn outside_a_runtime_it_is_the_systems_clock() {
        let before = std::time::Instant::now();
        let now = Instant::now().into_std();
        assert!(before <= now && now <= std::time::Instant::now());
    }
}
