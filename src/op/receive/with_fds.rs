//! RECVMSG into a buffer of the pool, armed by a Unix stream that asks for the descriptors beside the bytes.
//!
//! The bytes wait with the others of the stream, so that every way of reading takes them in their order. What came
//! beside them waits in [`Heads`], each known by the place of its bytes in the stream. A plain read takes bytes alone;
//! what came beside bytes that were taken so is closed when the next arrives.
//!
//! # Safety rules
//!
//! 1. The entry names `header`, which for a message at a time names `room`: both lie on the heap behind the operation
//!    and are read only after the completion. The bytes go into a buffer of the group that the kernel picks, whose
//!    memory the line's account keeps; the descriptor is kept open by the line.
//! 2. `Beside::read` is called once for each completion with bytes, on what the kernel wrote for it.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::super::arrivals::{Arrivals, End, State};
use super::super::line::Line;
use super::super::reading::Reading;
use super::super::receive_message::{Beside, DESCRIPTOR_COST, Head, Message};
use super::super::{POLL_FIRST, is_passing};
use crate::buf::{Chunk, Class, Pool};
use crate::driver::{Actions, Key, Standing, gone};
use crate::sys::message::{self, Received};
use crate::sys::{Cqe, Sqe};

/// Bytes that control data may take: as many descriptors as the kernel lets through, and credentials.
const CONTROL_MAX: usize = <Beside as Head>::CONTROL_MAX;

/// Bytes before the payload where one receive is for many messages.
const OVERHEAD: usize = message::HEADER + CONTROL_MAX;

/// The class of its buffers, whatever the traffic: control data takes a good part of a small one.
pub(super) const CLASS: Class = Class::Large;

/// What came beside the bytes of a stream and nobody took.
#[derive(Debug, Default)]
pub(in crate::op) struct Heads {
    /// Each with the place in the stream of the first byte that it came with.
    untaken: RefCell<VecDeque<(u64, Beside)>>,
    descriptors: Cell<usize>,
    /// Bytes that have come, and the place of the next.
    end: Cell<u64>,
}

impl Heads {
    /// The place of the first byte that nobody took.
    fn position(&self, state: &State) -> u64 {
        self.end.get() - state.bytes as u64
    }

    /// Bytes came, and what is beside them.
    fn push(&self, state: &State, len: usize, head: Beside, actions: &mut Actions) {
        while let Some(forgotten) = self.pop_before(self.position(state)) {
            actions.drop_later(forgotten);
        }
        let place = self.end.replace(self.end.get() + len as u64);
        let brought = !head.descriptors.is_empty() || head.local.is_control_truncated;
        if brought || head.local.credentials.is_some() {
            self.descriptors.set(self.descriptors.get() + head.descriptors.len());
            self.untaken.borrow_mut().push_back((place, head));
        }
    }

    /// What came beside the bytes between two places, if anything did.
    fn take(&self, from: u64, to: u64) -> Option<Beside> {
        while let Some(forgotten) = self.pop_before(from) {
            drop(forgotten);
        }
        self.pop_before(to)
    }

    fn pop_before(&self, place: u64) -> Option<Beside> {
        let mut untaken = self.untaken.borrow_mut();
        untaken.front().filter(|(at, _)| *at < place)?;
        let (_, head) = untaken.pop_front()?;
        drop(untaken);
        self.descriptors.set(self.descriptors.get() - head.descriptors.len());
        Some(head)
    }

    /// What it counts in bytes while nobody takes it: there are fewer descriptors than bytes.
    fn cost(&self) -> usize {
        self.descriptors.get() * DESCRIPTOR_COST
    }
}

impl Arrivals {
    /// From the next receive on what comes beside bytes is kept; a receive that would lose it is ended.
    fn ask_for_heads(&self, line: &Line) {
        let state = self.state.borrow();
        if !state.armed.is_armed() {
            let heads = Heads::default();
            heads.end.set(state.bytes as u64);
            line.heads.get_or_init(|| Box::new(heads));
        } else {
            drop(state);
            self.recall(line.fd.driver());
        }
    }
}

impl Reading<'_> {
    /// As [`poll_take`](Reading::poll_take), with what came beside the bytes; what comes from now on is kept for it.
    pub(crate) fn poll_take_with_fds(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Option<Message<Beside>>>> {
        let line = self.line;
        if line.heads.get().is_none() {
            line.arrivals.ask_for_heads(line);
        }
        let position = || Some(line.heads.get()?.position(&line.arrivals.state.borrow()));
        let from = position();
        let Some(payload) = ready!(self.poll_take(cx))? else {
            return Poll::Ready(Ok(None));
        };
        let places = from.zip(position());
        let head = places.and_then(|(from, to)| line.heads.get()?.take(from, to));
        Poll::Ready(Ok(Some(Message { head: head.unwrap_or_default(), payload })))
    }
}

/// Arms such a receive.
pub(super) fn stand(line: &Rc<Line>, pool: &Pool) -> io::Result<Key> {
    let driver = line.fd.driver();
    let fits = pool.size(CLASS) as usize > 2 * OVERHEAD;
    let multishot = driver.features().multishot_receive && fits;
    driver.stand(ReceiveWithFds::new(line, multishot)).map_err(|_| gone())
}

struct ReceiveWithFds {
    line: Rc<Line>,
    multishot: bool,
    header: Box<libc::msghdr>,
    /// For the control data of a message at a time; empty where it lies in the buffer.
    room: Box<[u8]>,
}

impl ReceiveWithFds {
    fn new(line: &Rc<Line>, multishot: bool) -> Self {
        // SAFETY: a `msghdr` of zeroes is valid: null pointers and lengths of zero.
        let header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        let room = vec![0; if multishot { 0 } else { CONTROL_MAX }].into_boxed_slice();
        Self { line: Rc::clone(line), multishot, header: Box::new(header), room }
    }
}

// SAFETY: rule 1.
unsafe impl Standing for ReceiveWithFds {
    const KIND: &'static str = "receive with descriptors";

    fn prepare(&mut self) -> Sqe {
        let target = self.line.fd.target();
        self.header.msg_controllen = CONTROL_MAX;
        let flags = libc::MSG_CMSG_CLOEXEC.cast_unsigned();
        if self.multishot {
            let header = &raw const *self.header;
            return opcode::RecvMsgMulti::new(target, header, CLASS.group()).flags(flags).build();
        }
        self.header.msg_control = self.room.as_mut_ptr().cast();
        // No vector of buffers: as many bytes as the picked one holds.
        opcode::RecvMsg::new(target, &raw mut *self.header)
            .buf_group(CLASS.group())
            .ioprio(POLL_FIRST)
            .flags(flags)
            .build()
            .flags(Flags::BUFFER_SELECT)
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let mut state = self.line.arrivals.state.borrow_mut();
        match u32::try_from(cqe.result) {
            Ok(len) => self.arrived(&mut state, cqe, len, actions),
            Err(_) => self.failed(&mut state, cqe),
        }
        let should_stop = |state: &State| {
            let beside = self.line.heads.get().map_or(0, |heads| heads.cost());
            state.bytes + beside >= self.line.arrivals.undelivered_max
        };
        state.landed(cqe, should_stop, actions);
    }
}

impl ReceiveWithFds {
    fn arrived(&self, state: &mut State, cqe: Cqe, len: u32, actions: &mut Actions) {
        let chunk = match (cqe.buffer(), &state.account) {
            (Some(bid), Some(account)) => account.chunk(CLASS, bid, len),
            // The end, and the kernel kept the buffer.
            _ => Some(Chunk::from(Box::from([]))),
        };
        let Some((head, chunk)) = chunk.and_then(|chunk| self.parts(chunk)) else {
            return;
        };
        if chunk.is_empty() {
            state.end = End::Eof;
            actions.drop_later(head);
            return;
        }
        if let Some(heads) = self.line.heads.get() {
            heads.push(state, chunk.len(), head, actions);
        }
        state.bytes += chunk.len();
        state.brought = state.brought.wrapping_add(1);
        match &state.first {
            None => state.first = Some(chunk),
            Some(_) => state.queue(chunk),
        }
    }

    /// What came beside the bytes, and the bytes alone.
    fn parts(&self, mut chunk: Chunk) -> Option<(Beside, Chunk)> {
        let driver = self.line.fd.driver();
        if !self.multishot {
            let control = &self.room[..self.header.msg_controllen.min(CONTROL_MAX)];
            let received =
                Received { name: &[], control, flags: self.header.msg_flags, stays: false };
            // SAFETY: rule 2.
            return Some((unsafe { Beside::read(&received, driver) }, chunk));
        }
        let received = message::split(&chunk, 0, CONTROL_MAX)?;
        // SAFETY: rule 2.
        let head = unsafe { Beside::read(&received, driver) };
        chunk.advance(OVERHEAD);
        Some((head, chunk))
    }

    #[cold]
    fn failed(&self, state: &mut State, cqe: Cqe) {
        if !is_passing(-cqe.result) {
            state.end = End::Error(-cqe.result);
        }
        if let Some(bid) = cqe.buffer() {
            state.refuse(CLASS, bid);
        }
    }
}
