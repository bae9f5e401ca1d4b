//! RECV into a buffer of the pool, armed by a stream: once for many messages, or once for each.
//!
//! The stream owns what arrives. A dropped read loses no byte, because the bytes wait here in order.
//!
//! # Safety rules
//!
//! 1. The entry names no memory of the operation: the kernel picks a buffer of the group, whose memory the
//!    line's account keeps; the descriptor is kept open by the line.
#![allow(unsafe_code, reason = "room 3: an operation")]

mod landing;
mod with_fds;

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::opcode;
use io_uring::squeue::Flags;

pub(super) use self::with_fds::Heads;
use super::line::Line;
use super::queued::Queued;
use super::{POLL_FIRST, is_passing, read};
use crate::buf::{Account, Chunk, Class};
use crate::driver::{Actions, Driver, Key, Standing, gone};
use crate::sys::{Cqe, Sqe};

/// Completions that fill a small buffer, after which the stream is armed with large ones.
const FULL_STREAK: u8 = 2;
/// Completions in a row that would have fitted a small buffer, after which it is armed with small ones again.
const SMALL_STREAK: u8 = 64;

/// The number of whoever waits by polls, without a future that could be dropped.
const POLLED: u32 = u32::MAX;

/// The most bytes of a chunk that was not received here.
const PART: usize = 64 * 1024;

/// What a stream received and nobody took, and whether more is on the way.
#[derive(Debug)]
pub(crate) struct Arrivals {
    state: RefCell<State>,
    /// With so many bytes undelivered the receive is cancelled until they are taken: the peer sees a full window.
    undelivered_max: usize,
}

#[derive(Debug)]
struct State {
    /// The oldest, and those behind it: most streams never have two.
    first: Option<Chunk>,
    others: VecDeque<Chunk>,
    bytes: usize,
    end: End,
    account: Option<Rc<Account>>,
    armed: Option<Key>,
    cancelling: bool,
    queued: Queued,
    class: Class,
    streak: u8,
    reader: Option<Reader>,
    readers: u32,
    /// Chunks that came, going round.
    brought: u32,
}

/// How the incoming direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Eof,
    /// Reported once; end of stream afterwards, unless it is `EAGAIN` of a file that does not block.
    Error(i32),
}

/// The future that waits, and what wakes it.
#[derive(Debug)]
struct Reader {
    /// Zero once it was woken, when the waker is kept for the next, who is in most streams the same.
    id: u32,
    waker: Waker,
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
                armed: None,
                cancelling: false,
                queued: Queued::default(),
                class: Class::Small,
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
    fn register(&self, mut state: RefMut<'_, State>, id: u32, cx: &Context<'_>) {
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
    fn leave(&self, driver: &Driver, id: u32) {
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
        let armed = state.armed;
        state.bytes = 0;
        drop(state);
        drop((chunks, reader));
        if let Some(key) = armed {
            driver.abandon(key);
        }
    }

    /// Nothing is on the way, has arrived, or has ended.
    pub(crate) fn is_untouched(&self) -> bool {
        let state = self.state.borrow();
        state.armed.is_none() && !state.is_ready()
    }

    /// Asks the kernel to end the receive, without waiting for that. What it brings all the same stays.
    pub(crate) fn recall(&self, driver: &Driver) {
        let mut state = self.state.borrow_mut();
        let armed = state.armed.filter(|_| !state.cancelling);
        state.cancelling = state.armed.is_some();
        drop(state);
        if let Some(key) = armed {
            driver.cancel(key);
        }
    }

    /// Cancels the receive and resolves once the kernel no longer holds it. Nothing that arrived is lost.
    pub(crate) fn poll_disarmed(&self, driver: &Driver, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let Some(key) = state.armed else {
            return Poll::Ready(());
        };
        let cancel = !std::mem::replace(&mut state.cancelling, true);
        let id = state.next_id();
        self.register(state, id, cx);
        if cancel {
            driver.cancel(key);
        }
        Poll::Pending
    }
}

impl State {
    fn is_ready(&self) -> bool {
        self.first.is_some() || self.end != End::Open
    }

    /// A buffer that came without data goes back.
    fn refuse(&self, class: Class, bid: u16) {
        if let Some(account) = &self.account {
            account.refuse(class, bid);
        }
    }

    /// The future that waits.
    #[inline]
    fn waiting(&self) -> Option<&Reader> {
        self.reader.as_ref().filter(|reader| reader.id != 0)
    }

    #[inline]
    fn next_id(&mut self) -> u32 {
        let next = self.readers + 1;
        self.readers = if next == POLLED { 1 } else { next };
        self.readers
    }

    #[inline(never)]
    fn queue(&mut self, chunk: Chunk) {
        self.others.push_back(chunk);
    }

    /// The oldest chunk.
    #[inline]
    fn take(&mut self) -> Option<Chunk> {
        let chunk = self.first.take()?;
        self.bytes -= chunk.len();
        if !self.others.is_empty() {
            self.first = self.others.pop_front();
        }
        Some(chunk)
    }

    /// How the stream ended, if it did.
    fn take_end(&mut self) -> Option<Arrival> {
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

/// A place among the readers of a stream, which is one place: dropping it gives it up.
///
/// While one task waits, another that polls gets `ResourceBusy`; the first is woken then, so that a reader that
/// was forgotten holds its place no longer than that. See [`poll_take`] for those that wait without a place.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    line: &'a Rc<Line>,
    /// Zero until it waits for the first time.
    id: u32,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(line: &'a Rc<Line>) -> Self {
        Self { line, id: 0 }
    }

    /// Takes what arrived, or arms the receive if need be and waits.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Arrival> {
        let mut state = self.line.arrivals.state.borrow_mut();
        if let Some(chunk) = state.take() {
            if state.waiting().is_none() {
                // The arrival took what we had registered: our drop has nothing to look for.
                self.id = 0;
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(end) = state.take_end() {
            return Poll::Ready(end);
        }
        if state.waiting().is_none() && state.armed.is_some() {
            self.register(state, cx);
            return Poll::Pending;
        }
        match self.wait(state, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Resolves once there is something to take.
    pub(crate) fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let state = self.line.arrivals.state.borrow_mut();
        if state.is_ready() {
            return Poll::Ready(Ok(()));
        }
        match self.wait(state, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// As `poll_take` and `poll_ready` do, whoever else waits and whether or not the receive is armed.
    fn wait(&mut self, mut state: RefMut<'a, State>, cx: &Context<'_>) -> io::Result<()> {
        if let Some(reader) = state.waiting() {
            let same_task = reader.waker.will_wake(cx.waker());
            if same_task && reader.id == self.id {
                return Ok(());
            }
            if !same_task && reader.id != self.id {
                let may_be_gone = reader.id == POLLED;
                let other = state.reader.take();
                drop(state);
                let driver = self.line.fd.driver();
                driver.catching(|| other.into_iter().for_each(|other| other.waker.wake()));
                if !may_be_gone {
                    return Err(busy("another task is reading from this stream"));
                }
                state = self.line.arrivals.state.borrow_mut();
            }
        }
        if state.armed.is_none() {
            if state.queued.is_due(self.line.fd.driver()) {
                drop(state);
                if self.wait_for_a_buffer(cx)? {
                    return Ok(());
                }
                state = self.line.arrivals.state.borrow_mut();
            }
            if state.armed.is_none() {
                arm(self.line, &mut state)?;
            }
        }
        self.register(state, cx);
        Ok(())
    }

    /// Waits in the stream's place in the queue for a buffer, or in a new one; false if that place had its turn.
    #[cold]
    fn wait_for_a_buffer(&mut self, cx: &Context<'_>) -> io::Result<bool> {
        let waker = cx.waker().clone();
        let driver = self.line.fd.driver();
        let mut state = self.line.arrivals.state.borrow_mut();
        if self.id == 0 {
            self.id = state.next_id();
        }
        let other = state.queued.take_other(driver, self.id);
        if other.as_ref().is_some_and(|other| !other.will_wake(cx.waker())) {
            drop(state);
            driver.catching(|| other.into_iter().for_each(Waker::wake));
            return Err(busy("another task is reading from this stream"));
        }
        let joined = state.queued.join(driver, self.id, waker);
        drop(state);
        Ok(joined.is_ok())
    }

    /// Takes the reader's place: the task of `cx` is woken by the next arrival.
    #[inline]
    fn register(&mut self, mut state: RefMut<'_, State>, cx: &Context<'_>) {
        if self.id == 0 {
            self.id = state.next_id();
        }
        self.line.arrivals.register(state, self.id, cx);
    }
}

impl Drop for Reading<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.id != 0 {
            self.line.arrivals.leave(self.line.fd.driver(), self.id);
        }
    }
}

/// Takes what arrived, or has the task of `cx` woken when something does, as [`Reading::poll_take`] does for a future.
///
/// Nothing is to be dropped: who polls last is woken. A later future takes the place, for who polled may be gone.
#[inline]
pub(crate) fn poll_take(line: &Rc<Line>, cx: &Context<'_>) -> Poll<Arrival> {
    let mut reading = Reading { line, id: POLLED };
    let arrival = reading.poll_take(cx);
    reading.id = 0;
    arrival
}

/// Goes on receiving while something waits to be taken, for a reader that looks for more before it takes any.
pub(crate) fn receive_more(line: &Rc<Line>) -> io::Result<()> {
    let mut state = line.arrivals.state.borrow_mut();
    let has_room = state.bytes < line.arrivals.undelivered_max;
    if state.armed.is_some() || state.end != End::Open || !has_room {
        return Ok(());
    }
    arm(line, &mut state)
}

/// Arms the receive unless it is armed or there is something to take.
pub(crate) fn ensure_armed(line: &Rc<Line>) -> io::Result<()> {
    let mut state = line.arrivals.state.borrow_mut();
    if state.armed.is_some() || state.is_ready() { Ok(()) } else { arm(line, &mut state) }
}

fn arm(line: &Rc<Line>, state: &mut State) -> io::Result<()> {
    let driver = line.fd.driver();
    if state.account.is_none() {
        state.account = Some(Account::new(Rc::clone(driver.pool()?)));
    }
    state.queued.end();
    state.armed = with_fds::stand(line)?;
    if state.armed.is_some() {
        return Ok(());
    }
    let small = driver.pool()?.size(Class::Small);
    let receive = Receive { line: Rc::clone(line), class: state.class, small };
    state.armed = Some(driver.stand(receive).map_err(|_| gone())?);
    Ok(())
}

/// The refusal of a second task in a place that has room for one.
pub(crate) fn busy(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

struct Receive {
    line: Rc<Line>,
    class: Class,
    /// Bytes in a buffer of the small class.
    small: u32,
}

// SAFETY: rule 1.
unsafe impl Standing for Receive {
    const KIND: &'static str = "receive";

    fn prepare(&mut self) -> Sqe {
        let target = self.line.fd.target();
        let group = self.class.group();
        if let Some(file) = &self.line.file {
            return read::entry(&self.line, file, group);
        }
        if self.line.fd.driver().features().multishot_receive {
            return opcode::RecvMulti::new(target, group).build();
        }
        // Zero bytes: as many as the buffer holds.
        opcode::Recv::new(target, std::ptr::null_mut(), 0)
            .buf_group(group)
            .ioprio(POLL_FIRST)
            .build()
            .flags(Flags::BUFFER_SELECT)
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let mut state = self.line.arrivals.state.borrow_mut();
        let state = &mut *state;
        match u32::try_from(cqe.result) {
            Ok(len) if len > 0 => self.arrived(state, cqe, len),
            _ => self.came_empty(state, cqe),
        }
        let should_stop = self.should_stop(state);
        state.landed(cqe, should_stop, actions);
    }
}

impl Receive {
    #[cold]
    fn came_empty(&self, state: &mut State, cqe: Cqe) {
        match -cqe.result {
            0 => state.end = End::Eof,
            code if self
                .line
                .file
                .as_ref()
                .is_some_and(|file| read::declines_multishot(file, code)) => {}
            // Asked again at once it would say so again.
            libc::EAGAIN if self.line.file.is_some() => state.end = End::Error(libc::EAGAIN),
            code if is_passing(code) => {}
            code => state.end = End::Error(code),
        }
        if let Some(bid) = cqe.buffer() {
            state.refuse(self.class, bid);
        }
    }

    fn arrived(&self, state: &mut State, cqe: Cqe, len: u32) {
        let Some(bid) = cqe.buffer() else {
            return;
        };
        let Some(account) = &state.account else {
            return;
        };
        if let Some(chunk) = account.chunk(self.class, bid, len) {
            state.bytes += chunk.len();
            state.brought = state.brought.wrapping_add(1);
            match &state.first {
                None => state.first = Some(chunk),
                Some(_) => state.queue(chunk),
            }
        }
        let fits_the_other_class = match self.class {
            Class::Small => len == self.small,
            Class::Large => len <= self.small,
        };
        if fits_the_other_class {
            self.consider_the_other_class(state);
        } else {
            state.streak = 0;
        }
    }

    #[inline(never)]
    fn consider_the_other_class(&self, state: &mut State) {
        let (streak, next) = match self.class {
            Class::Small => (FULL_STREAK, Class::Large),
            Class::Large => (SMALL_STREAK, Class::Small),
        };
        state.streak = state.streak.saturating_add(1);
        if state.streak >= streak && state.class == self.class {
            state.class = next;
            state.streak = 0;
        }
    }

    /// Too much is undelivered, or the other class of buffers fits the traffic better.
    fn should_stop(&self, state: &State) -> bool {
        state.bytes >= self.line.arrivals.undelivered_max || state.class != self.class
    }
}
