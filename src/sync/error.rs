//! What the locks refuse with. The errors of channels lie beside these.

use std::fmt;

/// The lock is held, or somebody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryLockError(pub(super) ());

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is held")
    }
}

impl std::error::Error for TryLockError {}

/// The semaphore is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcquireError(pub(super) ());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl std::error::Error for AcquireError {}

/// Why permits could not be had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore is closed.
    Closed,
    /// Not enough permits are free, or somebody waits for them.
    NoPermits,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the semaphore is closed",
            Self::NoPermits => "not enough permits are free",
        })
    }
}

impl std::error::Error for TryAcquireError {}

/// More permits would have been released than the semaphore has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseError {
    pub(super) released: usize,
    pub(super) room: usize,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { released, room } = self;
        write!(
            f,
            "{released} permits were released that nobody had acquired; there is room for {room}"
        )
    }
}

impl std::error::Error for ReleaseError {}
