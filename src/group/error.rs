//! Why a group failed: everything that went wrong in it.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::resume_unwind;

use crate::task::JoinError;

/// The error of a [`task_group`](super::task_group()): each failure of its body and its children, in order.
///
/// There is at least one. After the first the others were cancelled, so most often there is no second: those are of
/// children that failed on their way out or before they could be stopped. A child that was cancelled is none.
pub struct GroupError<E> {
    failures: Vec<Failure<E>>,
}

/// How one child of a group failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// It returned this error.
    Error(E),
    /// It panicked, in a poll or when its future was dropped.
    Panic(JoinError),
}

impl<E> GroupError<E> {
    /// `failures` is not empty.
    pub(super) fn new(failures: Vec<Failure<E>>) -> Self {
        debug_assert!(!failures.is_empty());
        Self { failures }
    }

    /// The failure that ended the group.
    pub fn first(&self) -> &Failure<E> {
        &self.failures[0]
    }

    /// All failures, the first in time first.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// All failures, the first in time first; never none.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The error that came first; the others are dropped.
    ///
    /// For a function whose errors have no place for more than one.
    ///
    /// # Panics
    ///
    /// With the payload of the first panic, if there is one among the failures: a panic is a bug, and not to be lost
    /// among errors.
    pub fn into_error(self) -> E {
        let mut first = None;
        for failure in self.failures {
            match failure {
                Failure::Error(error) => first = first.or(Some(error)),
                Failure::Panic(error) => resume_unwind(error.into_panic()),
            }
        }
        first.expect("a group error holds a failure")
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task group failed: {}", self.first())?;
        self.failures[1..].iter().try_for_each(|failure| write!(f, "; then: {failure}"))
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupError").field(&self.failures).finish()
    }
}

impl<E: Error + 'static> Error for GroupError<E> {
    /// The first failure.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self.first() {
            Failure::Error(error) => error,
            Failure::Panic(error) => error,
        })
    }
}

impl<E: Error + Send + Sync + 'static> From<GroupError<E>> for io::Error {
    /// An error of kind `Other` that carries the `GroupError`.
    fn from(error: GroupError<E>) -> Self {
        Self::other(error)
    }
}
