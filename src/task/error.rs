//! Why a task gave no output: it was cancelled, or it panicked.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::id::Id;

/// What a panic carried.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// The error of a [`JoinHandle`](super::JoinHandle): its task was cancelled or panicked.
pub struct JoinError {
    id: Id,
    cause: Cause,
}

enum Cause {
    Cancelled,
    /// The mutex is never locked for long; it makes the payload, and so this error, `Sync`.
    Panic(Mutex<Payload>),
}

impl JoinError {
    pub(super) fn cancelled(id: Id) -> Self {
        Self { id, cause: Cause::Cancelled }
    }

    pub(crate) fn panicked(id: Id, payload: Payload) -> Self {
        Self { id, cause: Cause::Panic(Mutex::new(payload)) }
    }

    /// Whether the task was aborted, or dropped by the end of its runtime, before it finished.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Cancelled)
    }

    /// Whether the task panicked, in a poll or when its cancelled future was dropped.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panic(_))
    }

    /// What the panic carried, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// When the task was cancelled: see [`try_into_panic`](Self::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic: {error}; ask is_panic first"),
        }
    }

    /// What the panic carried.
    ///
    /// # Errors
    ///
    /// When the task was cancelled: the error, unchanged.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.cause {
            Cause::Panic(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            Cause::Cancelled => Err(self),
        }
    }

    /// The id of the task that gave this error.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The text of the panic, when it is text.
    fn with_message<R>(&self, f: impl FnOnce(Option<&str>) -> R) -> R {
        let Cause::Panic(payload) = &self.cause else { return f(None) };
        let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
        f(payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str)))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cancelled() {
            return write!(f, "task {} was cancelled", self.id);
        }
        self.with_message(|message| match message {
            Some(message) => write!(f, "task {} panicked with message {message:?}", self.id),
            None => write!(f, "task {} panicked", self.id),
        })
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cancelled() {
            return write!(f, "JoinError::Cancelled({:?})", self.id);
        }
        self.with_message(|message| match message {
            Some(message) => write!(f, "JoinError::Panic({:?}, {message:?}, ...)", self.id),
            None => write!(f, "JoinError::Panic({:?}, ...)", self.id),
        })
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    /// An error of kind `Other` that carries the `JoinError`.
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}
