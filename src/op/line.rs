//! A descriptor that bytes flow through, as its operations share it: what arrived, and whose turn it is to send.
//!
//! One allocation a connection. The stream holds it, and so does every operation on it; the descriptor is closed when
//! the last of them lets go.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::arrivals::Arrivals;
use super::close::Fd;
use super::receive::Heads;
use super::send::Outbox;
use crate::buf::Chunk;
use crate::driver::Key;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) fd: Fd,
    pub(crate) arrivals: Arrivals,
    pub(crate) outbox: Outbox,
    /// Of a line that is no socket, how it is read and written. In a box, because most lines are.
    pub(super) file: Option<Box<File>>,
    /// What came beside the bytes of a stream that asked for it.
    pub(super) heads: OnceCell<Box<Heads>>,
}

/// What a pipe, a terminal or a file has that a socket does without.
#[derive(Debug)]
pub(super) struct File {
    /// One armed read brings all that comes.
    pub(super) multishot: Cell<bool>,
    /// The last write; it is under way while the outbox is busy.
    pub(super) writing: Cell<Option<Key>>,
}

impl Line {
    pub(crate) fn new(fd: Fd) -> Rc<Self> {
        Self::with(fd, None)
    }

    /// A line that is read and written as a file, at its own position. With `ahead` a read stays armed once it was
    /// asked for, where the kernel can; otherwise each brings one answer.
    pub(crate) fn of_file(fd: Fd, ahead: bool) -> Rc<Self> {
        let multishot = Cell::new(ahead && fd.driver().features().multishot_read);
        Self::with(fd, Some(Box::new(File { multishot, writing: Cell::new(None) })))
    }

    /// Copies what fits of a chunk that arrived here, and puts the rest back; says how many bytes.
    pub(crate) fn copy_from(&self, chunk: Chunk, buf: &mut [u8]) -> usize {
        let count = chunk.len().min(buf.len());
        buf[..count].copy_from_slice(&chunk[..count]);
        self.arrivals.put_back(chunk, count);
        count
    }

    fn with(fd: Fd, file: Option<Box<File>>) -> Rc<Self> {
        let arrivals = Arrivals::new(fd.driver().limits().undelivered_max);
        Rc::new(Self { fd, arrivals, outbox: Outbox::default(), file, heads: OnceCell::new() })
    }
}
