//! Locks between those who open the same file, in this process or another.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::File;
use crate::sys::files::{self, Lock};
use crate::time::sleep;

/// Why a lock was not given at once, as in std.
#[derive(Debug)]
pub enum TryLockError {
    /// The call failed.
    Error(io::Error),
    /// Another one's lock is in the way.
    WouldBlock,
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::WouldBlock => f.write_str("another one's lock on the file is in the way"),
        }
    }
}

impl std::error::Error for TryLockError {}

impl From<TryLockError> for io::Error {
    fn from(error: TryLockError) -> Self {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        }
    }
}

/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Locks of `flock(2)`, as std's: they bind only those who lock too, belong to the open file with all its clones, and
/// end with the last of them.
///
/// Waiting for one is trying again and again, every millisecond at first and every 50 later: the kernel's own wait
/// would hold a thread that nothing could call back.
impl File {
    /// Waits for the only lock of the file.
    ///
    /// If the future is dropped, the lock is not taken.
    ///
    /// # Errors
    ///
    /// As `flock(2)`.
    pub async fn lock(&self) -> io::Result<()> {
        self.wait_for(Lock::Exclusive).await
    }

    /// Waits for a lock that others can share.
    ///
    /// If the future is dropped, the lock is not taken.
    ///
    /// # Errors
    ///
    /// As `flock(2)`.
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.wait_for(Lock::Shared).await
    }

    /// Takes the only lock of the file, if nobody has one. A system call that does not block.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if somebody has one; otherwise as `flock(2)`.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.try_for(Lock::Exclusive)
    }

    /// Takes a lock that others can share, if nobody has the only one. A system call that does not block.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if somebody has it; otherwise as `flock(2)`.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.try_for(Lock::Shared)
    }

    /// Gives the lock up, if there is one. A system call that does not block.
    ///
    /// # Errors
    ///
    /// As `flock(2)`.
    pub fn unlock(&self) -> io::Result<()> {
        files::lock(self.as_fd(), Lock::None)
    }

    fn try_for(&self, lock: Lock) -> Result<(), TryLockError> {
        files::lock(self.as_fd(), lock).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => TryLockError::WouldBlock,
            _ => TryLockError::Error(error),
        })
    }

    async fn wait_for(&self, lock: Lock) -> io::Result<()> {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.try_for(lock) {
                Err(TryLockError::WouldBlock) => sleep(pause).await,
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
            pause = (pause * 2).min(longest);
        }
    }
}
