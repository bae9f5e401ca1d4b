//! Why something that a peer sent is refused.

use std::error::Error;
use std::fmt;
use std::io;

/// More than the limit of a reader: a line whose end does not come, or a frame that says that it is so long.
///
/// It is inside of an `io::Error` of kind `InvalidData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    limit: usize,
}

impl TooLong {
    pub(super) fn error(limit: usize) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self { limit })
    }

    /// Whether this is what an error is about.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than the limit of {} bytes", self.limit)
    }
}

impl Error for TooLong {}
