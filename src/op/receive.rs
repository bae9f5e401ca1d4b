//! RECV into a buffer of the pool, armed by a stream: once for many messages, or once for each.
//!
//! The stream owns what arrives. A dropped read loses no byte, because the bytes wait here in order.
//!
//! # Safety rules
//!
//! 1. The entry names no memory of the operation: the kernel picks a buffer of the group, whose memory the
//!    line's account keeps; the descriptor is kept open by the line.
#![allow(unsafe_code, reason = "room 3: an operation")]
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;
use std::rc::Rc;

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::arrivals::{End, State};
use super::line::Line;
use super::{POLL_FIRST, is_passing, read};
use crate::buf::{Account, Class};
use crate::driver::{Actions, Standing, Wakers, gone};
use crate::sys::{Cqe, Sqe};

/// Completions that fill a small buffer, after which the stream is armed with large ones.
const FULL_STREAK: u8 = 2;
/// Completions in a row that would have fitted a small buffer, after which it is armed with small ones again.
const SMALL_STREAK: u8 = 64;

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

pub(super) fn arm(line: &Rc<Line>, state: &mut State) -> io::Result<()> {
    let driver = line.fd.driver();
    if state.account.is_none() {
        state.account = Some(Account::new(Rc::clone(driver.pool()?)));
    }
    state.queued.end();
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
        if !cqe.more() {
            state.armed = None;
            state.cancelling = false;
        } else if !state.cancelling && self.should_stop(state) {
            state.cancelling = true;
            if let Some(key) = state.armed {
                actions.cancel(key);
            }
        }
        if cqe.result == -libc::ENOBUFS {
            if let Some(reader) = state.reader.take_if(|reader| reader.id != 0) {
                state.queued.found_none(Wakers::one(reader.id, reader.waker), actions);
            }
        } else if let Some(reader) = &mut state.reader
            && std::mem::take(&mut reader.id) != 0
            && !actions.wake_keeping(&reader.waker)
        {
            actions.wake_taken(&mut state.reader.take().map(|reader| reader.waker));
        }
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
