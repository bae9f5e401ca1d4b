//! What is written over any stream: lines, lengths, copies, deadlines.

mod anything;
mod frames;
mod lines;
mod oracle;
mod passing;
mod races;

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use annulus::buf::Chunk;
use annulus::io::AsyncRead;

/// A reader that gives these pieces, one for each poll, and is pending where a piece is empty.
#[derive(Debug)]
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn new(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        Self(pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect())
    }

    /// `bytes` in pieces of `len`.
    fn of_len(bytes: &[u8], len: usize) -> Self {
        Self::new(bytes.chunks(len))
    }
}

impl AsyncRead for Pieces {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(mut piece) = self.0.pop_front() else {
            return Poll::Ready(Ok(0));
        };
        if piece.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = piece.split_off(buf.len().min(piece.len()));
        buf[..piece.len()].copy_from_slice(&piece);
        if !rest.is_empty() {
            self.0.push_front(rest);
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        match self.0.pop_front() {
            Some(piece) if piece.is_empty() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            piece => Poll::Ready(Ok(piece.map(Chunk::from))),
        }
    }
}
