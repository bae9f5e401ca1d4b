//! RECV into a buffer of the pool, armed by a stream: once for many messages, or once for each.
//!
//! The stream owns what arrives. A dropped read loses no byte, because the bytes wait here in order.
//!
//! # Safety rules
//!
//! 1. The entry names no memory of the operation: the kernel picks a buffer of the group, whose memory the
//!    line's account keeps; the descriptor is kept open by the line.
#![allow(unsafe_code, reason = "room 3: an operation")]

mod with_fds;

use std::io;
use std::rc::Rc;

use io_uring::opcode;
use io_uring::squeue::Flags;

pub(super) use self::with_fds::Heads;
use super::armed::Armed;
use super::arrivals::{End, State};
use super::line::Line;
use super::{POLL_FIRST, is_passing, read};
use crate::buf::{Account, Class, Demand, Pool};
use crate::driver::{Actions, Standing, gone};
use crate::sys::{Cqe, Sqe};

/// Completions in a row that fill a buffer, after which the stream is armed with larger ones.
const FULL_STREAK: i8 = 2;
/// Completions in a row that would have fitted a small buffer, after which it is armed with small ones again.
const SMALL_STREAK: i8 = 64;
/// Completions in a row that would have fitted a large buffer and left nothing, after which bulk is over.
const DRAINED_STREAK: i8 = 16;
/// Large buffers that a stream may need at once.
const LARGE_DEMAND: usize = 3;

/// Goes on receiving while something waits to be taken, for a reader that looks for more before it takes any.
pub(crate) fn receive_more(line: &Rc<Line>) -> io::Result<()> {
    let mut state = line.arrivals.state.borrow_mut();
    let has_room = state.bytes < line.arrivals.undelivered_max;
    if state.armed.is_armed() || state.end != End::Open || !has_room {
        return Ok(());
    }
    arm(line, &mut state)
}

/// Arms the receive unless it is armed or there is something to take.
pub(crate) fn ensure_armed(line: &Rc<Line>) -> io::Result<()> {
    let mut state = line.arrivals.state.borrow_mut();
    if state.armed.is_armed() || state.is_ready() { Ok(()) } else { arm(line, &mut state) }
}

pub(super) fn arm(line: &Rc<Line>, state: &mut State) -> io::Result<()> {
    let driver = line.fd.driver();
    let pool = driver.pool()?;
    let account = state.account.get_or_insert_with(|| Account::new(Rc::clone(pool)));
    if line.heads.get().is_some() {
        state.class = with_fds::CLASS;
    }
    if state.class == Class::Bulk && !takes_bulk(line, account) {
        state.class = Class::Large;
    }
    match state.class {
        Class::Large if state.demand.is_some() => {}
        Class::Large => state.demand = Some(Demand::new(pool, Class::Large, LARGE_DEMAND)),
        Class::Small | Class::Bulk => state.demand = None,
    }
    state.queued.end();
    state.armed = Armed::under(match line.heads.get() {
        Some(_) => with_fds::stand(line, pool)?,
        None => driver.stand(Receive::new(line, state, pool)).map_err(|_| gone())?,
    });
    Ok(())
}

/// A receive of bulk may bring so much, beside what may wait, and finds a buffer.
fn takes_bulk(line: &Line, account: &Rc<Account>) -> bool {
    let pool = line.fd.driver().pool();
    pool.is_ok_and(|pool| pool.size(Class::Bulk) as usize / 2 <= line.arrivals.undelivered_max)
        && account.takes_bulk()
}

/// The refusal of a second task in a place that has room for one.
pub(crate) fn busy(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

struct Receive {
    line: Rc<Line>,
    class: Class,
    form: Form,
    /// Bytes in a buffer of the class, and in one of the next smaller class.
    size: u32,
    smaller: u32,
    /// The buffer that is kept for it, of bulk.
    _demand: Option<Demand>,
}

/// How many messages one receive is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One, that may be there already: a connection of one request takes no more (`net`, `connections`).
    First,
    /// One, when the socket is ready.
    Next,
    /// All that come.
    Many,
}

impl Form {
    fn of(line: &Line, state: &State) -> Self {
        let may_be_many = line.fd.driver().features().multishot_receive;
        match state.class {
            _ if state.brought == 0 => Self::First,
            Class::Small | Class::Large if may_be_many => Self::Many,
            _ => Self::Next,
        }
    }
}

impl Receive {
    fn new(line: &Rc<Line>, state: &State, pool: &Rc<Pool>) -> Self {
        let class = state.class;
        let smaller = match class {
            Class::Small => 0,
            Class::Large => pool.size(Class::Small),
            Class::Bulk => pool.size(Class::Large),
        };
        let (form, size) = (Form::of(line, state), pool.size(class));
        let demand = (class == Class::Bulk).then(|| Demand::new(pool, class, 1));
        Self { line: Rc::clone(line), class, form, size, smaller, _demand: demand }
    }
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
        let priority = match self.form {
            Form::Many => return opcode::RecvMulti::new(target, group).build(),
            Form::First => 0,
            Form::Next => POLL_FIRST,
        };
        // Zero bytes: as many as the buffer holds.
        opcode::Recv::new(target, std::ptr::null_mut(), 0)
            .buf_group(group)
            .ioprio(priority)
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
        state.landed(cqe, |state| self.should_stop(state), actions);
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
        if len == self.size || len <= self.smaller {
            self.consider_another_class(state, cqe, len);
        } else {
            state.streak = 0;
        }
    }

    #[inline(never)]
    fn consider_another_class(&self, state: &mut State, cqe: Cqe, len: u32) {
        if state.class != self.class {
            // It is decided; these came before the receive was cancelled.
            return;
        }
        let may_be_bulk =
            || state.account.as_ref().is_some_and(|account| takes_bulk(&self.line, account));
        let (is_full, more) = (len == self.size, cqe.leaves_more());
        let (streak, next) = match self.class {
            // Of what follows at once, one large buffer takes what a dozen small ones would.
            Class::Small if more && self.form == Form::First => (1, Class::Large),
            Class::Small => (FULL_STREAK, Class::Large),
            Class::Large if !is_full => (-SMALL_STREAK, Class::Small),
            Class::Large if more && may_be_bulk() => (FULL_STREAK, Class::Bulk),
            Class::Bulk if !is_full && !more => (-DRAINED_STREAK, Class::Large),
            Class::Large | Class::Bulk => {
                state.streak = 0;
                return;
            }
        };
        // Of the other sign, it begins anew.
        let so_far = if state.streak.signum() == streak.signum() { state.streak } else { 0 };
        state.streak = so_far + streak.signum();
        if state.streak == streak {
            state.class = next;
            state.streak = 0;
        }
    }

    /// Too much is undelivered, or another class of buffers fits the traffic better.
    fn should_stop(&self, state: &State) -> bool {
        state.bytes >= self.line.arrivals.undelivered_max || state.class != self.class
    }
}
