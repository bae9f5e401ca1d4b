//! What broadcasting fails with.

use std::fmt;

use crate::sync::send_error::send_error;

send_error! {
    /// There is no receiver; holds what was not sent.
    "the channel has no receiver"
}

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// All were received, and all senders are dropped.
    Closed,
    /// The receiver was too slow, and missed so many.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the channel is empty, and nobody will send"),
            Self::Lagged(missed) => write!(f, "the receiver was too slow, and missed {missed}"),
        }
    }
}

impl std::error::Error for RecvError {}

/// Why there is no message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// None was sent yet.
    Empty,
    /// All were received, and all senders are dropped.
    Closed,
    /// The receiver was too slow, and missed so many.
    Lagged(u64),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel is empty"),
            Self::Closed => RecvError::Closed.fmt(f),
            Self::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
        }
    }
}

impl std::error::Error for TryRecvError {}
