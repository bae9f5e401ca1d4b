//! SEND of a caller's buffer, and the turn that keeps one send in flight per stream.
//!
//! Once in the kernel a send is never cancelled: its bytes leave whole and in order, also if its future is dropped;
//! the next write waits for it and reports its error.
//!
//! # Safety rules
//!
//! 1. The entry names the buffer, which lies in the operation and keeps its bytes in place (`IoBuf`), from an
//!    offset that is below its length, and the descriptor, which the turn's line keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::entry_len;
use super::line::Line;
use super::receive::busy;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Actions, Driver, Key, Landed, Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

/// Whose turn it is to send on a stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    flags: Cell<u8>,
    /// The number of the turn that is being taken, or was last.
    number: Cell<u32>,
    /// Of an orphaned send; zero is none.
    error: Cell<i32>,
    /// The waker of the last send, where it may be kept: most streams are written by one task.
    kept: RefCell<Option<Waker>>,
    waiting: RefCell<Vec<Waker>>,
}

/// A send is in flight, or its turn is taken.
const BUSY: u8 = 1 << 0;
/// Its future was dropped: its error is kept for the next write.
const ORPHANED: u8 = 1 << 1;
/// It is waited for with the waker that is kept.
const AWAITED: u8 = 1 << 2;
/// There are others who wait.
const WAITING: u8 = 1 << 3;

impl Outbox {
    pub(crate) fn is_busy(&self) -> bool {
        self.flags.get() & BUSY != 0
    }

    /// Ends the turn; what was set until now.
    #[inline]
    fn end(&self) -> u8 {
        self.flags.replace(0)
    }

    /// How many turns there were, going round.
    pub(crate) fn turns(&self) -> u32 {
        self.number.get()
    }

    /// Begins a turn, to be made a [`Turn`] or given up; says its number. Waits until an orphaned send is out; fails
    /// with its error, or because another task is sending.
    #[inline]
    fn poll_take(&self, cx: &Context<'_>) -> Poll<io::Result<u32>> {
        if self.is_busy() {
            return wait(self, cx);
        }
        let code = self.error.take();
        if code != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
        }
        let number = self.number.get().wrapping_add(1);
        self.flags.set(BUSY);
        self.number.set(number);
        Poll::Ready(Ok(number))
    }

    /// Has the task of `cx` woken when the turn that was just taken ends: the waker for the slot, or none, because it
    /// is kept here for this send and the next.
    #[inline]
    fn wait_for_landing(&self, driver: &Driver, cx: &Context<'_>) -> Option<Waker> {
        // Mutably, which is less to do.
        if self.kept.borrow_mut().as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
            self.flags.set(self.flags.get() | AWAITED);
            return None;
        }
        self.keep(driver, cx.waker())
    }

    #[inline(never)]
    fn keep(&self, driver: &Driver, waker: &Waker) -> Option<Waker> {
        let unwinding = GiveUp { outbox: self, driver };
        let waker = waker.clone();
        let _cloned = ManuallyDrop::new(unwinding);
        if !driver.trusts(&waker) {
            return Some(waker);
        }
        self.flags.set(self.flags.get() | AWAITED);
        let stale = self.kept.replace(Some(waker));
        drop(stale);
        None
    }

    /// Ends a turn that was not used, or whose send never reached the kernel.
    #[cold]
    fn give_up(&self, driver: &Driver) {
        self.end();
        let waiting = self.waiting.take();
        // One at a time: a waker that panics loses nobody else's wake-up.
        waiting.into_iter().for_each(|waker| driver.catching(|| waker.wake()));
    }

    #[cold]
    fn wake_waiting(&self, actions: &mut Actions) {
        self.waiting.borrow_mut().drain(..).for_each(|waker| actions.wake(waker));
    }

    /// Marks the send in flight, if there is one, as nobody's: the stream is being dropped.
    pub(crate) fn orphan(&self) {
        if self.is_busy() {
            self.flags.set(self.flags.get() & !AWAITED | ORPHANED);
        }
    }

    /// As [`orphan`](Self::orphan), if the turn of this number is still being taken: its future is being dropped.
    pub(crate) fn orphan_turn(&self, number: u32) {
        if self.number.get() == number {
            self.orphan();
        }
    }
}

/// Ends a turn if the clone of a waker panics.
struct GiveUp<'a> {
    outbox: &'a Outbox,
    driver: &'a Driver,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.outbox.give_up(self.driver);
    }
}

/// The right to have a send in flight. It ends when the kernel is done, whether or not anybody still waits.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Rc<Line>,
    number: u32,
    held: bool,
}

impl Turn {
    /// Waits until an orphaned send is out; fails with its error, or because another task is sending.
    pub(crate) fn poll(line: &Rc<Line>, cx: &Context<'_>) -> Poll<io::Result<Self>> {
        line.outbox.poll_take(cx).map_ok(|number| Self::new(line, number))
    }

    /// The turn that [`Outbox::poll_take`] gave a number to.
    #[inline]
    fn new(line: &Rc<Line>, number: u32) -> Self {
        Self { line: Rc::clone(line), number, held: true }
    }

    #[inline]
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// See [`Outbox::orphan_turn`].
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Nobody is there to be told how the send of this turn ended: the next write is, also if it was cut short. What
    /// was due is asked only where something was sent, because a buffer may panic instead.
    pub(super) fn orphaned(&self, outcome: Outcome, due: impl FnOnce() -> usize) {
        match outcome.result {
            Ok(count) if count as usize >= due() => {}
            Ok(_) => self.line.outbox.error.set(libc::EPIPE),
            Err(error) => self.failed(&error),
        }
    }

    /// Leaves an error that nobody is there to be told of for the next write.
    pub(crate) fn failed(&self, error: &io::Error) {
        self.line.outbox.error.set(error.raw_os_error().unwrap_or(libc::EIO));
    }

    /// The kernel is done with the send of this turn.
    #[inline]
    pub(super) fn landed(&mut self, actions: &mut Actions) {
        self.held = false;
        let outbox = &self.line.outbox;
        let flags = outbox.end();
        if flags & AWAITED != 0
            && let Some(waker) = &*outbox.kept.borrow_mut()
        {
            // It is trusted: see `keep`.
            waker.wake_by_ref();
        }
        if flags & WAITING != 0 {
            outbox.wake_waiting(actions);
        }
    }
}

/// Sends a buffer from an offset on, when the last send is out: the key of the send and the number of its turn. Until
/// then, and with an error, the buffer stays where it is.
///
/// # Panics
///
/// If there is none.
#[inline]
pub(crate) fn poll_send<B: IoBuf>(
    line: &Rc<Line>,
    cx: &Context<'_>,
    buf: &mut Option<B>,
    offset: usize,
    whole: bool,
) -> Poll<io::Result<(Key, u32)>> {
    assert!(buf.is_some(), "a send was polled after it gave its result");
    let outbox = &line.outbox;
    let number = ready!(outbox.poll_take(cx))?;
    let driver = line.fd.driver();
    let waker = outbox.wait_for_landing(driver, cx);
    let make = move || {
        let buf = buf.take().expect("it was just looked at");
        Send { turn: Turn::new(line, number), buf, offset, whole }
    };
    let staged = driver.stage_made(make, waker);
    if staged.is_none() {
        outbox.give_up(driver);
    }
    Poll::Ready(staged.map(|key| (key, number)).ok_or_else(gone))
}

/// Takes what `make` gives, whole, when the last send is out; nobody waits for this one. Its error is for the next
/// write, flush or shutdown.
///
/// If it is pending, nothing was taken.
#[inline]
pub(crate) fn poll_accept<B: IoBuf>(
    line: &Rc<Line>,
    cx: &Context<'_>,
    make: impl FnOnce() -> B,
) -> Poll<io::Result<()>> {
    let turn = ready!(Turn::poll(line, cx))?;
    line.outbox.orphan();
    let send = Send { turn, buf: make(), offset: 0, whole: true };
    Poll::Ready(line.fd.driver().submit_orphan(send).map_err(|_| gone()))
}

/// Another send is in flight.
#[cold]
fn wait(outbox: &Outbox, cx: &Context<'_>) -> Poll<io::Result<u32>> {
    if outbox.flags.get() & ORPHANED == 0 {
        return Poll::Ready(Err(busy("another task is writing to this stream")));
    }
    if !outbox.waiting.borrow().iter().any(|waker| waker.will_wake(cx.waker())) {
        // Cloning runs code of the user's, so nothing is borrowed.
        let waker = cx.waker().clone();
        outbox.waiting.borrow_mut().push(waker);
        outbox.flags.set(outbox.flags.get() | WAITING);
    }
    Poll::Pending
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        if self.held {
            self.line.outbox.give_up(self.line.fd.driver());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Send<B> {
    pub(crate) turn: Turn,
    pub(crate) buf: B,
    /// Bytes of the buffer that were sent before.
    pub(crate) offset: usize,
    /// The kernel goes on after a part until all is sent.
    pub(crate) whole: bool,
}

// SAFETY: rule 1.
unsafe impl<B: IoBuf> Operation for Send<B> {
    type Output = BufResult<usize, B>;

    const KIND: &'static str = "send";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;
    const LANDED: Landed<Self> = Some(|this, actions| this.turn.landed(actions));

    #[inline]
    fn prepare(&mut self) -> Sqe {
        let rest = &self.buf.as_bytes()[self.offset..];
        let whole = if self.whole { libc::MSG_WAITALL } else { 0 };
        let target = self.turn.line().fd.target();
        io_uring::opcode::Send::new(target, rest.as_ptr(), entry_len(rest.len()))
            .flags(libc::MSG_NOSIGNAL | whole)
            .build()
    }

    fn orphaned(self, outcome: Outcome) {
        let Self { turn, buf, offset, whole } = &self;
        turn.orphaned(
            outcome,
            || if *whole { entry_len(buf.buf_len() - offset) as usize } else { 0 },
        );
    }

    #[inline(always)]
    fn complete(self, outcome: Outcome) -> Self::Output {
        // Apart from the turn, whose drop takes its address, the buffer need not lie in memory.
        let Self { turn, buf, .. } = self;
        drop(turn);
        match outcome.result {
            Ok(count) => Ok((count as usize, buf)),
            Err(error) => Err(BufError { error, buf }),
        }
    }
}
