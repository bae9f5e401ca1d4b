//! What a stream received and nobody took, in order, and who waits for more.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::armed::Armed;
use super::queued::Queued;
use crate::buf::{Account, Chunk, Class, Demand};
use crate::driver::{Actions, Driver, Wakers};
use crate::sys::Cqe;

/// The number of whoever waits by polls, without a future that could be dropped.
pub(super) const POLLED: u32 = u32::MAX;

/// The most bytes of a chunk that was not received here.
const PART: usize = 64 * 1024;

/// What a stream received and nobody took, and whether more is on the way.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(super) state: RefCell<State>,
    /// With so many bytes undelivered the receive is cancelled until they are taken: the peer sees a full window.
    pub(super) undelivered_max: usize,
}

#[derive(Debug)]
pub(super) struct State {
    /// The oldest, and those behind it: most streams never have two.
    pub(super) first: Option<Chunk>,
    pub(super) others: VecDeque<Chunk>,
    pub(super) bytes: usize,
    pub(super) end: End,
    pub(super) account: Option<Rc<Account>>,
    pub(super) armed: Armed,
    pub(super) queued: Queued,
    pub(super) class: Class,
    /// While the class is the large one, its claim on the ring, armed or not: who arms next is to find it filled.
    pub(super) demand: Option<Demand>,
    /// Completions in a row that asked for larger buffers; below zero, for smaller ones.
    pub(super) streak: i8,
    pub(super) reader: Option<Reader>,
    pub(super) readers: u32,
    /// Chunks that came, going round.
    pub(super) brought: u32,
}

/// How the incoming direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Eof,
    /// Reported once; end of stream afterwards, unless it is `EAGAIN` of a file that does not block.
    Error(i32),
}

/// The future that waits, and what wakes it.
#[derive(Debug)]
pub(super) struct Reader {
    /// Zero once it was woken, when the waker is kept for the next, who is in most streams the same.
    pub(super) id: u32,
    pub(super) waker: Waker,
}

/// What there is to read: a chunk, or `None` for the end of the stream.
pub(crate) type Arrival = io::Result<Option<Chunk>>;

impl Arrivals {
    pub(super) fn new(undelivered_max: usize) -> Self {
        Self {
            state: RefCell::new(State {
                first: None,
                others: VecDeque::new(),
                bytes: 0,
                end: End::Open,
                account: None,
                armed: Armed::default(),
                queued: Queued::default(),
                class: Class::Small,
                demand: None,
                streak: 0,
                reader: None,
                readers: 0,
                brought: 0,
            }),
            undelivered_max,
        }
    }

    /// How many chunks the kernel has brought, going round.
    pub(crate) fn brought(&self) -> u32 {
        self.state.borrow().brought
    }

    /// What arrived, without waiting. `None` if nothing did.
    pub(crate) fn try_take(&self) -> Option<Arrival> {
        let mut state = self.state.borrow_mut();
        match state.take() {
            Some(chunk) => Some(Ok(Some(chunk))),
            None => state.take_end(),
        }
    }

    /// Takes all that arrived, and the error that comes after it.
    pub(crate) fn take_all(&self) -> (Vec<u8>, Option<i32>) {
        let mut bytes = Vec::new();
        let mut state = self.state.borrow_mut();
        while let Some(chunk) = state.take() {
            bytes.extend_from_slice(&chunk);
        }
        let error = match state.end {
            End::Error(code) => Some(code),
            End::Open | End::Eof => None,
        };
        (bytes, error)
    }

    /// What [`take_all`](Self::take_all) took elsewhere arrives here, before anything else.
    pub(crate) fn refill(&self, bytes: Vec<u8>, error: Option<i32>) {
        let mut state = self.state.borrow_mut();
        state.bytes += bytes.len();
        for part in bytes.chunks(PART) {
            let chunk = Chunk::from(Box::from(part));
            match &state.first {
                None => state.first = Some(chunk),
                Some(_) => state.queue(chunk),
            }
        }
        if let Some(code) = error {
            state.end = End::Error(code);
        }
    }

    /// Puts what a read did not take of a chunk back to where the chunk came from.
    pub(crate) fn put_back(&self, mut chunk: Chunk, taken: usize) {
        if taken == chunk.len() {
            return;
        }
        chunk.advance(taken);
        let mut state = self.state.borrow_mut();
        state.bytes += chunk.len();
        if let Some(second) = state.first.replace(chunk) {
            state.others.push_front(second);
        }
    }

    /// Copies the first bytes without taking them; after the last, the error that `try_take` will give.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow();
        let mut copied = 0;
        for chunk in state.first.iter().chain(&state.others) {
            let count = chunk.len().min(buf.len() - copied);
            buf[copied..copied + count].copy_from_slice(&chunk[..count]);
            copied += count;
        }
        match state.end {
            End::Error(code) if state.first.is_none() => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(copied),
        }
    }

    /// The task of `cx` is woken when something arrives. Cloning and dropping wakers runs code of the user's, so
    /// nothing is borrowed meanwhile.
    #[inline]
    pub(super) fn register(&self, mut state: RefMut<'_, State>, id: u32, cx: &Context<'_>) {
        if let Some(reader) = &mut state.reader
            && reader.waker.will_wake(cx.waker())
        {
            reader.id = id;
            return;
        }
        drop(state);
        let reader = Reader { id, waker: cx.waker().clone() };
        let stale = self.state.borrow_mut().reader.replace(reader);
        drop(stale);
    }

    /// The future that waited is gone: nobody is woken for it.
    pub(super) fn leave(&self, driver: &Driver, id: u32) {
        let mut state = self.state.borrow_mut();
        let mine = state.reader.take_if(|reader| reader.id == id);
        let queued = state.queued.leave(driver, id);
        drop(state);
        drop((mine, queued));
    }

    /// Ends the receive: the stream is being dropped. What was not taken is lost with it.
    pub(crate) fn close(&self, driver: &Driver) {
        let mut state = self.state.borrow_mut();
        let chunks = (state.first.take(), std::mem::take(&mut state.others));
        let reader = state.reader.take();
        let armed = state.armed.key();
        state.bytes = 0;
        drop(state);
        armed.into_iter().for_each(|key| driver.abandon(key));
        driver.catching(|| drop(reader));
        drop(chunks);
    }

    /// Nothing is on the way, has arrived, or has ended.
    pub(crate) fn is_untouched(&self) -> bool {
        let state = self.state.borrow();
        !state.armed.is_armed() && !state.is_ready()
    }

    /// Asks the kernel to end the receive, without waiting for that. What it brings all the same stays.
    pub(crate) fn recall(&self, driver: &Driver) {
        self.state.borrow_mut().armed.recall(driver);
    }

    /// Cancels the receive and resolves once the kernel no longer holds it. Nothing that arrived is lost.
    pub(crate) fn poll_disarmed(&self, driver: &Driver, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        // First: the clone of a waker may panic.
        if !state.armed.recall(driver) {
            return Poll::Ready(());
        }
        let id = state.next_id();
        self.register(state, id, cx);
        Poll::Pending
    }
}

impl State {
    pub(super) fn is_ready(&self) -> bool {
        self.first.is_some() || self.end != End::Open
    }

    /// A completion has brought what it did: the receive is noted to be armed no more, or ended if it `should_stop`,
    /// and whoever waits is woken.
    #[inline(always)]
    pub(super) fn landed(
        &mut self,
        cqe: Cqe,
        should_stop: impl FnOnce(&Self) -> bool,
        actions: &mut Actions,
    ) {
        if self.armed.goes_on(cqe) && should_stop(self) {
            self.armed.stop(actions);
        }
        if cqe.result == -libc::ENOBUFS {
            if let Some(reader) = self.reader.take_if(|reader| reader.id != 0) {
                self.queued.found_none(Wakers::one(reader.id, reader.waker), actions);
            }
        } else if let Some(reader) = &mut self.reader
            && std::mem::take(&mut reader.id) != 0
            && !actions.wake_keeping(&reader.waker)
        {
            actions.wake_taken(&mut self.reader.take().map(|reader| reader.waker));
        }
    }

    /// A buffer that came without data goes back.
    pub(super) fn refuse(&self, class: Class, bid: u16) {
        if let Some(account) = &self.account {
            account.refuse(class, bid);
        }
    }

    /// The future that waits.
    #[inline]
    pub(super) fn waiting(&self) -> Option<&Reader> {
        self.reader.as_ref().filter(|reader| reader.id != 0)
    }

    #[inline]
    pub(super) fn next_id(&mut self) -> u32 {
        let next = self.readers + 1;
        self.readers = if next == POLLED { 1 } else { next };
        self.readers
    }

    #[inline(never)]
    pub(super) fn queue(&mut self, chunk: Chunk) {
        self.others.push_back(chunk);
    }

    /// The oldest chunk.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let chunk = self.first.take()?;
        self.bytes -= chunk.len();
        if !self.others.is_empty() {
            self.first = self.others.pop_front();
        }
        Some(chunk)
    }

    /// How the stream ended, if it did.
    pub(super) fn take_end(&mut self) -> Option<Arrival> {
        match self.end {
            End::Open => None,
            End::Eof => Some(Ok(None)),
            End::Error(code) => {
                self.end = if code == libc::EAGAIN { End::Open } else { End::Eof };
                Some(Err(io::Error::from_raw_os_error(code)))
            }
        }
    }
}
