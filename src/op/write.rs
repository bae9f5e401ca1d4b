//! WRITE of a caller's buffer at a file's own position, one at a time a line. Once in the kernel it is not cancelled,
//! unless the line was dropped and its time is over.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBuf`), from an
//!    offset that is below its length, and the descriptor, which the turn's line keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::entry_len;
use super::line::Line;
use super::send::Turn;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Key, Landed, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

#[derive(Debug)]
struct Write<B> {
    turn: Turn,
    buf: B,
    /// Bytes of the buffer that were written before.
    offset: usize,
    /// The turn goes on after this write.
    keeps_turn: bool,
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for Write<B> {
    type Output = (BufResult<usize, B>, Turn);

    const KIND: &'static str = "write";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const LANDED: Landed<Self> = Some(|this, actions| {
        if !this.keeps_turn {
            this.turn.landed(actions);
        }
    });

    fn prepare(&mut self) -> Sqe {
        let rest = &self.buf.as_bytes()[self.offset..];
        let target = self.turn.line().fd.target();
        io_uring::opcode::Write::new(target, rest.as_ptr(), entry_len(rest.len()))
            .offset(u64::MAX)
            .build()
    }

    fn orphaned(self, outcome: Outcome) {
        // How much of it was written nobody asks any more.
        self.turn.orphaned(outcome, || 0);
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        let result = match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        };
        (result, self.turn)
    }
}

/// A write of a part of one buffer, at its line's turn, which goes on or ends with it. Dropped, it leaves the write to
/// finish. With the result it gives the turn, which has ended unless it was to go on.
#[derive(Debug)]
struct Writing<'a, B: IoBuf> {
    line: &'a Rc<Line>,
    /// The buffer, until it moves into the operation.
    waiting: Option<B>,
    offset: usize,
    in_flight: Option<Key>,
    /// The turn that it has, and is to keep.
    turn: Option<Turn>,
    keeps_turn: bool,
    /// Of the turn that was taken for it.
    number: u32,
}

// The buffer moves into the operation before the kernel sees it; nothing here is ever pinned.
impl<B: IoBuf> Unpin for Writing<'_, B> {}

impl<'a, B: IoBuf> Writing<'a, B> {
    /// Of the bytes from `offset` on, which is below the buffer's length.
    fn new(line: &'a Rc<Line>, buf: B, offset: usize) -> Self {
        Self::with(line, None, buf, offset)
    }

    /// As [`new`](Self::new), in a turn that is not to end with it.
    fn within(line: &'a Rc<Line>, turn: Turn, buf: B, offset: usize) -> Self {
        Self::with(line, Some(turn), buf, offset)
    }

    fn with(line: &'a Rc<Line>, turn: Option<Turn>, buf: B, offset: usize) -> Self {
        let (waiting, keeps_turn) = (Some(buf), turn.is_some());
        Self { line, waiting, offset, in_flight: None, turn, keeps_turn, number: 0 }
    }

    fn poll_submit(&mut self, cx: &Context<'_>) -> Poll<(BufResult<usize, B>, Option<Turn>)> {
        let turn = match self.turn.take() {
            Some(turn) => Ok(turn),
            None => ready!(Turn::poll(self.line, cx)),
        };
        let buf = self.waiting.take().expect("a write was polled after it gave its result");
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => return Poll::Ready((Err(BufError { error, buf }), None)),
        };
        self.number = turn.number();
        let write = Write { turn, buf, offset: self.offset, keeps_turn: self.keeps_turn };
        match self.line.fd.driver().submit(write, Some(cx.waker().clone())) {
            Ok(key) => {
                self.in_flight = Some(key);
                if let Some(file) = &self.line.file {
                    file.writing.set(Some(key));
                }
                Poll::Pending
            }
            Err(write) => {
                let (result, turn) = write.complete(Outcome::gone());
                Poll::Ready((result, Some(turn)))
            }
        }
    }
}

impl<B: IoBuf> Future for Writing<'_, B> {
    type Output = (BufResult<usize, B>, Option<Turn>);

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(key) = this.in_flight else {
            return this.poll_submit(cx);
        };
        let (result, turn) = ready!(this.line.fd.driver().poll_operation::<Write<B>>(key, cx));
        this.in_flight = None;
        Poll::Ready((result, Some(turn)))
    }
}

impl<B: IoBuf> Drop for Writing<'_, B> {
    fn drop(&mut self) {
        if let Some(key) = self.in_flight {
            self.line.outbox.orphan_turn(self.number);
            self.line.fd.driver().abandon(key);
        }
    }
}

/// Writes some bytes of a buffer, from `offset` on, at the line's turn.
pub(crate) async fn write<B: IoBuf>(line: &Rc<Line>, buf: B, offset: usize) -> BufResult<usize, B> {
    Writing::new(line, buf, offset).await.0
}

/// As [`write()`], in a turn that goes on afterwards.
pub(crate) async fn write_within<B: IoBuf>(
    line: &Rc<Line>,
    turn: Turn,
    buf: B,
    offset: usize,
) -> (BufResult<usize, B>, Turn) {
    let (result, turn) = Writing::within(line, turn, buf, offset).await;
    (result, turn.expect("a turn that was given comes back"))
}

/// Ends a write under way, whose line nobody holds any more. The kernel says when it is over.
pub(crate) fn cancel(line: &Line) {
    let key = line.file.as_ref().and_then(|file| file.writing.get());
    if let Some(key) = key.filter(|_| line.outbox.is_busy()) {
        line.fd.driver().cancel(key);
    }
}
