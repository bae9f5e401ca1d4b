//! Why a mesh ended: a shard that did not start, that failed, panicked, or did not leave.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

/// Why a mesh ended otherwise than well, with the shard that was the first to fail.
#[derive(Debug)]
#[non_exhaustive]
pub enum MeshError<E> {
    /// A shard could not start. Those that had started did nothing yet and were ended again.
    Start {
        /// Which; `None` if it never came to one, as when there are fewer processors than were asked for.
        shard: Option<usize>,
        /// What it was refused, and the cure.
        error: io::Error,
        /// The shards that had started.
        started: Vec<usize>,
    },
    /// The future of a shard gave an error. The others were asked to stop.
    Failed {
        /// Which.
        shard: usize,
        /// What it gave.
        error: E,
    },
    /// A shard panicked. The others were asked to stop.
    Panicked {
        /// Which.
        shard: usize,
        /// What the panic said, if that was text.
        message: String,
    },
    /// A shard was asked to stop, and its future did not end in the time to drain. It was dropped.
    Overdue {
        /// Which.
        shard: usize,
    },
}

impl<E> MeshError<E> {
    /// The shard that failed.
    pub fn shard(&self) -> Option<usize> {
        match self {
            Self::Start { shard, .. } => *shard,
            Self::Failed { shard, .. } | Self::Panicked { shard, .. } | Self::Overdue { shard } => {
                Some(*shard)
            }
        }
    }

    pub(super) fn refused(error: io::Error) -> Self {
        Self::Start { shard: None, error, started: Vec::new() }
    }
}

/// The text of a panic.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("what it carried is no text").to_owned()
}

impl<E: fmt::Display> fmt::Display for MeshError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { shard: None, error, .. } => write!(f, "the mesh did not start: {error}"),
            Self::Start { shard: Some(shard), error, started } => {
                write!(f, "shard {shard} did not start: {error}; ")?;
                match started.as_slice() {
                    [] => f.write_str("none had started"),
                    started => write!(f, "shards {started:?} had started and were ended again"),
                }
            }
            Self::Failed { shard, error } => write!(f, "shard {shard} failed: {error}"),
            Self::Panicked { shard, message } => write!(f, "shard {shard} panicked: {message}"),
            Self::Overdue { shard } => {
                write!(f, "shard {shard} was asked to stop and did not end in time")
            }
        }
    }
}

impl<E: Error + 'static> Error for MeshError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start { error, .. } => Some(error),
            Self::Failed { error, .. } => Some(error),
            Self::Panicked { .. } | Self::Overdue { .. } => None,
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + fmt::Display> From<MeshError<E>> for io::Error {
    /// The kind is that of the error of the start, `TimedOut` for an overdue shard, and `Other` for the rest. The
    /// text names the shard.
    fn from(error: MeshError<E>) -> Self {
        let kind = match &error {
            MeshError::Start { error, .. } => error.kind(),
            MeshError::Overdue { .. } => io::ErrorKind::TimedOut,
            MeshError::Failed { .. } | MeshError::Panicked { .. } => io::ErrorKind::Other,
        };
        Self::new(kind, error.to_string())
    }
}
