//! The error of a transfer that may have been done in part.

use std::fmt;
use std::io;

use crate::buf::BufError;

/// A transfer of a whole buffer that failed, how far it had come, and the buffer that was lent to it.
///
/// It converts into [`io::Error`], dropping the rest, so `?` works in functions that return one.
#[derive(Debug)]
#[non_exhaustive]
pub struct TransferError<B> {
    /// What went wrong.
    pub error: io::Error,
    /// Bytes that were read or written before, without a gap from the offset on.
    pub transferred: usize,
    /// The caller's buffer.
    pub buf: B,
}

impl<B> TransferError<B> {
    pub(super) fn new(failed: BufError<B>, transferred: usize) -> Self {
        Self { error: failed.error, transferred, buf: failed.buf }
    }
}

impl<B> From<TransferError<B>> for io::Error {
    fn from(failed: TransferError<B>) -> Self {
        failed.error
    }
}

impl<B> fmt::Display for TransferError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} bytes", self.error, self.transferred)
    }
}

impl<B: fmt::Debug> std::error::Error for TransferError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
