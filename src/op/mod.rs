//! One file per operation: what the kernel is shown, how its answer is read, what becomes of an orphan.
//!
//! A file here has a struct that owns all the kernel will see and its `Operation` or `Standing`; nothing else
//! knows the operation's entry. The other files are what operations share: `line` those of a connection, with
//! `arrivals` and `reading`, what came and who reads it; `endpoint` those of a socket of messages, `open_file` and
//! `position` those of a file, with `changes`, which threads make of it; `place` those that name a path, `parts` those
//! with several buffers; `waiting` is who waits for any of these, `queued` where a receive waits for a buffer.

pub(crate) mod accept;
mod armed;
pub(crate) mod arrivals;
pub(crate) mod bell;
pub(crate) mod cancel_all;
pub(crate) mod changes;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod endpoint;
pub(crate) mod exit;
pub(crate) mod fadvise;
pub(crate) mod fallocate;
pub(crate) mod fsync;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod mkdir;
pub(crate) mod nop;
pub(crate) mod open;
pub(crate) mod open_file;
pub(crate) mod parts;
pub(crate) mod place;
pub(crate) mod poll;
pub(crate) mod position;
mod queued;
mod read;
pub(crate) mod read_at;
pub(crate) mod read_direct;
pub(crate) mod read_vectored;
pub(crate) mod reading;
pub(crate) mod receive;
pub(crate) mod receive_message;
pub(crate) mod rename;
pub(crate) mod send;
pub(crate) mod send_message;
pub(crate) mod send_to;
pub(crate) mod send_vectored;
pub(crate) mod signal;
pub(crate) mod statx;
pub(crate) mod symlink;
#[cfg(test)]
mod tests;
pub(crate) mod timeout;
pub(crate) mod unlink;
mod waiting;
pub(crate) mod write;
pub(crate) mod write_at;
pub(crate) mod write_direct;
pub(crate) mod write_vectored;

/// The most bytes that one read or write is asked for; the kernel's own bound, and below `i32::MAX`.
const LEN_MAX: usize = 0x7fff_f000;

/// The length for an entry: a longer buffer is read or written in part.
#[inline]
fn entry_len(len: usize) -> u32 {
    len.min(LEN_MAX) as u32
}

/// `IORING_RECVSEND_POLL_FIRST`: wait for readiness instead of trying at once, which keeps busy sockets from
/// being served ahead of those whose completions wait.
const POLL_FIRST: u16 = 1;

/// Not the end of a stream nor a failure of what is asked: no buffer was free, we cancelled, or the kernel wants it
/// asked again.
fn is_passing(code: i32) -> bool {
    is_to_be_asked_again(code) || matches!(code, libc::ENOBUFS | libc::ENOMEM)
}

/// We cancelled, or the kernel wants it asked again.
fn is_to_be_asked_again(code: i32) -> bool {
    matches!(code, libc::ECANCELED | libc::EINTR | libc::EAGAIN)
}
