//! What is read and written over any stream, and the streams that are no socket and no file at an offset: pipes, the
//! standard streams, any descriptor.
//!
//! [`AsyncRead`] and [`AsyncWrite`] are what every stream of this crate does, so that code need not know which it has.
//! [`BufReader`] reads lines and lengths, [`BufWriter`] gathers, [`copy`](fn@copy) and [`copy_bidirectional`] pass on,
//! [`Timeout`] ends waits, [`Framing`] cuts a stream into messages, [`split`](fn@split) makes halves, and
//! [`duplex`](fn@duplex) makes streams within a core.
//!
//! Reads and writes of a descriptor go through the ring, whatever lies behind the descriptor, so nothing here sets
//! `O_NONBLOCK` on an open file that others may share, as the shell that lends its terminal; and nothing blocks the
//! core.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `pipe::Receiver` and [`Stdin`]: `recv`, `read`, `read_owned` | nothing is lost: the next read gets the bytes, in order; the buffer given to `read_owned` is dropped |
//! | the same: `read_exact`, `read_to_end` | the bytes that it had copied are in the caller's buffer and gone from the pipe |
//! | `pipe::Sender`, [`Stdout`] and [`Stderr`]: `write`, `write_owned` | before its first turn of the loop: nothing is written; afterwards the bytes may or may not be written, in order; the next write waits for them and reports their error |
//! | the same: `write_all`, `write_all_owned` | as `write`; how much was written is not known |
//! | the same: `flush` | nothing happened |
//! | `into_fd` of both | the descriptor is closed, with the bytes that it held |
//! | [`AsyncReadExt`]: `recv`, `read` | nothing is lost: the next read gets the bytes |
//! | the same: `read_exact`, `read_to_end` | the bytes that it had copied are in the caller's buffer and gone from the reader |
//! | [`BufReader`]: `line`, `until`, `exact`, `read_line`, `read_until`, `read_exact`, `fill_buf` | nothing is lost, whatever had come: the next read gets it, and the caller's buffer is as before |
//! | [`Lines::next_line`], [`Split::next_segment`], [`FrameReader::next`] | nothing is lost: the next one gets the line or message, whole |
//! | [`AsyncWriteExt`]: `write` | nothing was accepted; what was accepted before leaves all the same |
//! | the same: `write_all` | how much was accepted is not known |
//! | the same: `send` | the buffer is dropped, and nothing of it was accepted, unless the writer takes copies of parts |
//! | the same: `flush`, `shutdown` | nothing happened yet; what was accepted leaves all the same, but not what a [`BufWriter`] gathers |
//! | [`FrameWriter`]: `feed`, `send` | the message was accepted whole or not at all; `feed` that is dropped accepted nothing |
//! | [`copy`](fn@copy), [`copy_bidirectional`] | of each direction at most one chunk is lost, which the writer had no room for |
//! | [`AsyncFd`]: `ready`, `readable`, `writable`, `ready_mut`, `readable_mut`, `writable_mut` | nothing is lost |
//! | [`AsyncFd::async_io`] | the closure was not called, or its last call would have blocked |
//! | [`nop`] | nothing |

mod async_fd;
mod buf_reader;
mod buf_writer;
mod copy;
mod duplex;
mod error;
mod frames;
mod front;
mod interest;
mod lines;
pub mod pipe;
mod read;
pub(crate) mod reader;
mod readiness;
mod ready_guard;
mod split;
mod stdio;
mod timeout;
mod write;
pub(crate) mod writer;

use std::io;

pub use async_fd::AsyncFd;
pub use buf_reader::BufReader;
pub use buf_writer::BufWriter;
pub use copy::{CopyError, copy, copy_bidirectional};
pub use duplex::{DuplexStream, SimplexReader, SimplexWriter, duplex, simplex};
pub use error::TooLong;
pub use frames::{FrameReader, FrameWriter, Framing};
pub use interest::{Interest, Ready};
pub use lines::{Lines, Split};
pub use pipe::pipe;
pub(crate) use read::read_by_reference;
pub use read::{AsyncRead, AsyncReadExt};
pub use ready_guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard, TryIoError};
pub use split::{ReadHalf, WriteHalf, split};
pub use stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use timeout::Timeout;
pub use write::{AsyncWrite, AsyncWriteExt};
pub(crate) use write::{write_as, write_by_reference};

use crate::driver::{self, Op};
use crate::op::nop::Nop;

/// A round trip through the ring without effect: the cost of an operation as such. Dropping the future has no effect.
///
/// # Errors
///
/// That the runtime is gone.
///
/// # Panics
///
/// Outside a runtime.
pub async fn nop() -> io::Result<()> {
    Op::new(driver::current::expect("annulus::io::nop"), Nop).await
}
