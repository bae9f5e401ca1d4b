//! One file per operation: what the kernel is shown, how its answer is read, what becomes of an orphan.
//!
//! A file here has a struct that owns all the kernel will see and its `Operation` or `Standing`; nothing else
//! knows the operation's entry.

pub(crate) mod accept;
pub(crate) mod bell;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod line;
pub(crate) mod nop;
pub(crate) mod read_at;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod send_vectored;
pub(crate) mod signal;
#[cfg(test)]
mod tests;
pub(crate) mod timeout;
pub(crate) mod write_at;

/// The most bytes that one read or write is asked for; the kernel's own bound, and below `i32::MAX`.
const LEN_MAX: usize = 0x7fff_f000;

/// The length for an entry: a longer buffer is read or written in part.
#[inline]
fn entry_len(len: usize) -> u32 {
    len.min(LEN_MAX) as u32
}
