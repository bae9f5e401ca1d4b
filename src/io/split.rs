//! Any stream as two halves, so that one task reads while another writes.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{AsyncRead, AsyncWrite, write_as};
use crate::buf::Chunk;

/// Splits any stream into halves that can go to different tasks of this thread.
///
/// Sockets have an `into_split` of their own, whose writing half ends the outgoing direction when it is dropped, and
/// implement the traits by reference, too; here the stream is dropped with the last half.
///
/// While a method of the one half runs, it has the stream for itself: it is an error, and a panic, if that calls the
/// other half, as only a stream of the user's could.
pub fn split<S: AsyncRead + AsyncWrite>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(RefCell::new(stream));
    (ReadHalf(Rc::clone(&stream)), WriteHalf(stream))
}

/// The reading half of a stream; made by [`split`].
pub struct ReadHalf<S>(Rc<RefCell<S>>);

/// The writing half of a stream; made by [`split`].
pub struct WriteHalf<S>(Rc<RefCell<S>>);

impl<S> ReadHalf<S> {
    /// The halves of one stream, put together again.
    ///
    /// # Errors
    ///
    /// Both halves, if they are of different streams.
    pub fn unsplit(self, other: WriteHalf<S>) -> Result<S, (Self, WriteHalf<S>)> {
        if !Rc::ptr_eq(&self.0, &other.0) {
            return Err((self, other));
        }
        drop(other);
        match Rc::try_unwrap(self.0) {
            Ok(stream) => Ok(stream.into_inner()),
            Err(_) => unreachable!("a stream has two halves"),
        }
    }
}

impl<S: AsyncRead> AsyncRead for ReadHalf<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        self.0.borrow_mut().poll_recv(cx)
    }
}

impl<S: AsyncWrite> AsyncWrite for WriteHalf<S> {
    write_as!(self => self.0.borrow_mut());
}

impl<S> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf").finish_non_exhaustive()
    }
}
