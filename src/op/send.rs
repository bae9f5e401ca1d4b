//! SEND of a caller's buffer, and the turn that keeps one send in flight per stream.
//!
//! Once in the kernel a send is never cancelled: its bytes leave whole and in order, also if its future is dropped;
//! the next write waits for it and reports its error.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBuf`), and the
//!    descriptor, which `socket` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::close::Fd;
use super::entry_len;
use super::receive::busy;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Actions, Operation, Outcome, WhenDropped};
use crate::sys::{Cqe, Sqe};

/// No signal on a closed connection; for `send_all` the kernel goes on after a part.
const FLAGS: i32 = libc::MSG_NOSIGNAL;

/// Whose turn it is to send on a stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    busy: bool,
    /// Counts the turns: a future that ends late must not speak for the send of another.
    number: u64,
    /// The future of the send in flight was dropped: the next write waits instead of being refused.
    orphaned: bool,
    /// Of a send whose future was dropped, for the next write.
    error: Option<i32>,
    waiting: Vec<Waker>,
}

impl Outbox {
    /// Waits until an orphaned send is out; fails with its error, or because another task is sending.
    pub(crate) async fn turn(self: &Rc<Self>) -> io::Result<Turn> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if !state.busy {
                if let Some(code) = state.error.take() {
                    return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
                }
                state.busy = true;
                state.orphaned = false;
                state.number += 1;
                let (outbox, number) = (Rc::clone(self), state.number);
                return Poll::Ready(Ok(Turn { outbox, number, held: true }));
            }
            if !state.orphaned {
                return Poll::Ready(Err(busy("another task is writing to this stream")));
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Waits until nothing is being sent; fails with the error of an orphaned send.
    pub(crate) async fn idle(self: &Rc<Self>) -> io::Result<()> {
        self.turn().await.map(drop)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.state.borrow().busy
    }

    /// Marks the send in flight, if there is one, as nobody's: the stream or its future is being dropped.
    pub(crate) fn orphan(&self) {
        let mut state = self.state.borrow_mut();
        state.orphaned = state.busy;
    }
}

/// The right to have a send in flight. It ends when the kernel is done, whether or not anybody still waits.
#[derive(Debug)]
pub(crate) struct Turn {
    outbox: Rc<Outbox>,
    number: u64,
    held: bool,
}

impl Turn {
    /// Marks the send as nobody's if the future that holds the guard is dropped before the turn is over.
    pub(crate) fn orphan_guard(&self) -> OrphanGuard {
        OrphanGuard { outbox: Rc::clone(&self.outbox), number: self.number }
    }

    /// The kernel is done with the send of this turn.
    pub(super) fn landed(&mut self, actions: &mut Actions) {
        let mut state = self.outbox.state.borrow_mut();
        self.held = false;
        state.busy = false;
        state.waiting.drain(..).for_each(|waker| actions.wake(waker));
    }

    /// Nobody is there to be told how the send of this turn ended: the next write is, also if it was cut short.
    pub(super) fn orphaned(&self, outcome: Outcome, due: usize) {
        let error = match outcome.result {
            Ok(count) if count as usize >= due => return,
            Ok(_) => Some(libc::EPIPE),
            Err(error) => error.raw_os_error(),
        };
        self.outbox.state.borrow_mut().error = error;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let mut state = self.outbox.state.borrow_mut();
        state.busy = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// See [`Turn::orphan_guard`].
#[derive(Debug)]
pub(crate) struct OrphanGuard {
    outbox: Rc<Outbox>,
    number: u64,
}

impl Drop for OrphanGuard {
    fn drop(&mut self) {
        if self.outbox.state.borrow().number == self.number {
            self.outbox.orphan();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Send<B> {
    pub(crate) socket: Rc<Fd>,
    pub(crate) buf: B,
    pub(crate) turn: Turn,
    /// The kernel goes on after a part until all is sent.
    pub(crate) whole: bool,
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for Send<B> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "send";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;

    fn prepare(&mut self) -> Sqe {
        let len = entry_len(self.buf.buf_len());
        let flags = if self.whole { FLAGS | libc::MSG_WAITALL } else { FLAGS };
        io_uring::opcode::Send::new(self.socket.target(), self.buf.buf_ptr(), len)
            .flags(flags)
            .build()
    }

    fn landed(&mut self, _cqe: Cqe, actions: &mut Actions) {
        self.turn.landed(actions);
    }

    fn orphaned(self, outcome: Outcome) {
        let due = if self.whole { entry_len(self.buf.buf_len()) } else { 0 };
        self.turn.orphaned(outcome, due as usize);
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        match outcome.result {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError { error, buf: self.buf }),
        }
    }
}
