//! Why a task gave no output: it was cancelled, or it panicked.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::id::Id;
use super::name::name_of;

/// What a panic carried.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// The error of a [`JoinHandle`](super::JoinHandle): its task was cancelled or panicked.
pub struct JoinError {
    id: Id,
    cause: Cause,
}

enum Cause {
    Cancelled,
    /// Boxed, because each task has room for its error, and few panic.
    Panic(Box<Panicked>),
}

struct Panicked {
    /// The mutex is never locked for long; it makes the payload, and so the error, `Sync`.
    payload: Mutex<Payload>,
    name: Option<Arc<str>>,
}

const _: () =
    assert!(size_of::<JoinError>() <= 16, "an error grew: so does each task that returns little");

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> Self {
        Self { id, cause: Cause::Cancelled }
    }

    /// On the thread of the task, whose future is not dropped yet.
    pub(crate) fn panicked(id: Id, payload: Payload) -> Self {
        let panicked = Panicked { payload: Mutex::new(payload), name: name_of(id) };
        Self { id, cause: Cause::Panic(Box::new(panicked)) }
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
            Cause::Panic(panicked) => {
                Ok(panicked.payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            Cause::Cancelled => Err(self),
        }
    }

    /// The id of the task that gave this error.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The name of the task, if it was given one and panicked in a poll; see [`Builder::name`](super::Builder::name).
    pub fn name(&self) -> Option<&str> {
        match &self.cause {
            Cause::Panic(panicked) => panicked.name.as_deref(),
            Cause::Cancelled => None,
        }
    }

    /// The text of the panic, when it is text.
    fn with_message<R>(&self, f: impl FnOnce(Option<&str>) -> R) -> R {
        let Cause::Panic(panicked) = &self.cause else { return f(None) };
        let payload = panicked.payload.lock().unwrap_or_else(PoisonError::into_inner);
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
        write!(f, "task {}", self.id)?;
        if let Some(name) = self.name() {
            write!(f, " ({name})")?;
        }
        self.with_message(|message| match message {
            Some(message) => write!(f, " panicked with message {message:?}"),
            None => f.write_str(" panicked"),
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
