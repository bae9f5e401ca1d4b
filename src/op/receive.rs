//! RECV into a buffer of the pool, armed by a stream: once for many messages, or once for each.
//!
//! The stream owns what arrives. A dropped read loses no byte, because the bytes wait here in order.
//!
//! # Safety rules
//!
//! 1. The entry names no memory of the operation: the kernel picks a buffer of the group, whose memory `account`
//!    keeps; the descriptor is kept open by `socket`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::close::Fd;
use crate::buf::{Account, Chunk, Class};
use crate::driver::{Actions, Key, Standing};
use crate::sys::{Cqe, Sqe};

/// `IORING_RECVSEND_POLL_FIRST`: wait for readiness instead of trying at once, which keeps busy streams from
/// being served ahead of those whose completions wait.
const POLL_FIRST: u16 = 1;

/// Completions that fill a small buffer, after which the stream is armed with large ones.
const FULL_STREAK: u8 = 2;
/// Completions in a row that would have fitted a small buffer, after which it is armed with small ones again.
const SMALL_STREAK: u8 = 64;

/// What a stream received and nobody took, and whether more is on the way.
#[derive(Debug)]
pub(crate) struct Arrivals {
    state: RefCell<State>,
    /// With so many bytes undelivered the receive is cancelled until they are taken: the peer sees a full window.
    undelivered_max: usize,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    end: End,
    account: Option<Rc<Account>>,
    armed: Option<Key>,
    cancelling: bool,
    class: Class,
    streak: u8,
    reader: Option<Reader>,
    readers: u32,
}

/// How the incoming direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Eof,
    /// Reported once; end of stream afterwards.
    Error(i32),
}

/// The future that waits, and what wakes it.
#[derive(Debug)]
struct Reader {
    id: u32,
    waker: Waker,
}

/// What there is to read.
pub(crate) enum Arrival {
    Chunk(Chunk),
    Eof,
}

impl Arrivals {
    pub(crate) fn new(undelivered_max: usize) -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(State {
                chunks: VecDeque::new(),
                bytes: 0,
                end: End::Open,
                account: None,
                armed: None,
                cancelling: false,
                class: Class::Small,
                streak: 0,
                reader: None,
                readers: 0,
            }),
            undelivered_max,
        })
    }

    /// What arrived, without waiting. `None` if nothing did.
    pub(crate) fn try_take(&self) -> Option<io::Result<Arrival>> {
        let mut state = self.state.borrow_mut();
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
            return Some(Ok(Arrival::Chunk(chunk)));
        }
        match state.end {
            End::Open => None,
            End::Eof => Some(Ok(Arrival::Eof)),
            End::Error(code) => {
                state.end = End::Eof;
                Some(Err(io::Error::from_raw_os_error(code)))
            }
        }
    }

    /// Puts the rest of a chunk back to where it was taken from.
    pub(crate) fn put_back(&self, chunk: Chunk) {
        let mut state = self.state.borrow_mut();
        state.bytes += chunk.len();
        state.chunks.push_front(chunk);
    }

    /// Copies the first bytes without taking them; after the last, the error that `try_take` will give.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow();
        let mut copied = 0;
        for chunk in &state.chunks {
            let count = chunk.len().min(buf.len() - copied);
            buf[copied..copied + count].copy_from_slice(&chunk[..count]);
            copied += count;
        }
        match state.end {
            End::Error(code) if state.chunks.is_empty() => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(copied),
        }
    }

    /// Arms the receive unless it is armed or there is something to take.
    pub(crate) fn ensure_armed(self: &Rc<Self>, socket: &Rc<Fd>) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if state.armed.is_some() || !state.chunks.is_empty() || state.end != End::Open {
            return Ok(());
        }
        self.arm(&mut state, socket)
    }

    /// Resolves once there is something to take; arms the receive if need be.
    pub(crate) fn ready<'a>(self: &'a Rc<Self>, socket: &'a Rc<Fd>) -> Ready<'a> {
        Ready { arrivals: self, socket, id: None }
    }

    fn arm(self: &Rc<Self>, state: &mut State, socket: &Rc<Fd>) -> io::Result<()> {
        let driver = socket.driver();
        let account = match &state.account {
            Some(account) => Rc::clone(account),
            None => {
                let account = Account::new(Rc::clone(driver.pool()?));
                Rc::clone(state.account.insert(account))
            }
        };
        let receive = Receive {
            socket: Rc::clone(socket),
            arrivals: Rc::clone(self),
            account,
            class: state.class,
        };
        let key = driver.stand(receive).map_err(|_| crate::driver::gone())?;
        state.armed = Some(key);
        Ok(())
    }

    /// Ends the receive: the stream is being dropped. What was not taken is lost with it.
    pub(crate) fn close(&self, socket: &Fd) {
        let mut state = self.state.borrow_mut();
        let chunks = std::mem::take(&mut state.chunks);
        let reader = state.reader.take();
        let armed = state.armed;
        state.bytes = 0;
        drop(state);
        drop((chunks, reader));
        if let Some(key) = armed {
            socket.driver().abandon(key);
        }
    }

    /// Cancels the receive and resolves once the kernel no longer holds it. Nothing that arrived is lost.
    pub(crate) fn poll_disarmed(&self, socket: &Fd, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let Some(key) = state.armed else {
            return Poll::Ready(());
        };
        let cancel = !std::mem::replace(&mut state.cancelling, true);
        state.readers = state.readers.wrapping_add(1);
        let reader = Reader { id: state.readers, waker: cx.waker().clone() };
        let stale = state.reader.replace(reader);
        drop(state);
        drop(stale);
        if cancel {
            socket.driver().cancel(key);
        }
        Poll::Pending
    }
}

/// Waits until a stream has something to take.
///
/// While one task waits, another that polls gets `ResourceBusy`; the first is woken then, so that a reader that
/// was forgotten holds its place no longer than that.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    arrivals: &'a Rc<Arrivals>,
    socket: &'a Rc<Fd>,
    id: Option<u32>,
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.arrivals.state.borrow_mut();
        if !state.chunks.is_empty() || state.end != End::Open {
            return Poll::Ready(Ok(()));
        }
        let other = state.reader.take_if(|reader| Some(reader.id) != self.id);
        if let Some(other) = other
            && !other.waker.will_wake(cx.waker())
        {
            drop(state);
            other.waker.wake();
            return Poll::Ready(Err(busy("another task is reading from this stream")));
        }
        if state.armed.is_none()
            && let Err(error) = self.arrivals.arm(&mut state, self.socket)
        {
            return Poll::Ready(Err(error));
        }
        let id = match self.id {
            Some(id) => id,
            None => {
                state.readers = state.readers.wrapping_add(1);
                state.readers
            }
        };
        let unchanged =
            state.reader.as_ref().is_some_and(|reader| reader.waker.will_wake(cx.waker()));
        let stale = match unchanged {
            true => None,
            false => state.reader.replace(Reader { id, waker: cx.waker().clone() }),
        };
        drop(state);
        drop(stale);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else {
            return;
        };
        let mut state = self.arrivals.state.borrow_mut();
        let mine = state.reader.take_if(|reader| reader.id == id);
        drop(state);
        drop(mine);
    }
}

/// The refusal of a second task in a place that has room for one.
pub(crate) fn busy(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

struct Receive {
    socket: Rc<Fd>,
    arrivals: Rc<Arrivals>,
    account: Rc<Account>,
    class: Class,
}

// SAFETY: rule 1.
unsafe impl Standing for Receive {
    const KIND: &'static str = "receive";

    fn prepare(&mut self) -> Sqe {
        let target = self.socket.target();
        let group = self.class.group();
        if self.socket.driver().features().multishot_receive {
            return opcode::RecvMulti::new(target, group).build();
        }
        let len = self.account.pool().size(self.class);
        opcode::Recv::new(target, std::ptr::null_mut(), len)
            .buf_group(group)
            .ioprio(POLL_FIRST)
            .build()
            .flags(Flags::BUFFER_SELECT)
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let mut state = self.arrivals.state.borrow_mut();
        let state = &mut *state;
        match u32::try_from(cqe.result) {
            Ok(0) => state.end = End::Eof,
            Ok(len) => self.arrived(state, cqe, len),
            Err(_) if is_passing(-cqe.result) => {}
            Err(_) => state.end = End::Error(-cqe.result),
        }
        if cqe.result <= 0
            && let Some(bid) = cqe.buffer()
        {
            self.account.refuse(self.class, bid);
        }
        if !cqe.more() {
            state.armed = None;
            state.cancelling = false;
        } else if !state.cancelling && self.should_stop(state) {
            state.cancelling = true;
            if let Some(key) = state.armed {
                actions.cancel(key);
            }
        }
        if let Some(reader) = state.reader.take() {
            actions.wake(reader.waker);
        }
    }
}

impl Receive {
    fn arrived(&self, state: &mut State, cqe: Cqe, len: u32) {
        let Some(bid) = cqe.buffer() else {
            return;
        };
        if let Some(chunk) = self.account.chunk(self.class, bid, len) {
            state.bytes += chunk.len();
            state.chunks.push_back(chunk);
        }
        let small = self.account.pool().size(Class::Small);
        let (counts, streak, next) = match self.class {
            Class::Small => (len == small, FULL_STREAK, Class::Large),
            Class::Large => (len <= small, SMALL_STREAK, Class::Small),
        };
        state.streak = if counts { state.streak.saturating_add(1) } else { 0 };
        if state.streak >= streak && state.class == self.class {
            state.class = next;
            state.streak = 0;
        }
    }

    /// Too much is undelivered, or the other class of buffers fits the traffic better.
    fn should_stop(&self, state: &State) -> bool {
        state.bytes >= self.arrivals.undelivered_max || state.class != self.class
    }
}

/// Not the end of the stream: no buffer was free, we cancelled, or the kernel wants it asked again.
fn is_passing(code: i32) -> bool {
    matches!(code, libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ENOMEM)
}
