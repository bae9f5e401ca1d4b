//! POLL_ADD, once for each wait: whether a descriptor that somebody else reads and writes is ready.
//!
//! The watch keeps what a poll said until it is told that this is no longer so; the next wait asks the kernel anew.
//! A poll looks at how things are when it is armed, so forgetting too much costs a poll and loses nothing: there are no
//! edges to be missed.
//!
//! # Safety rules
//!
//! 1. The entry names no memory, only the number of a descriptor that is open when it is made. Whoever owns the
//!    descriptor drops the watch, or disarms it, before it may be closed: an entry that the kernel has not seen is
//!    taken back then, and one that it has seen holds the file itself.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::is_passing;
pub(crate) use super::waiting::Id;
use super::waiting::Waiting;
use crate::driver::{Actions, Driver, Key, Standing, gone};
use crate::sys::{Cqe, Sqe};

/// What may be waited for, each by a poll of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Reading,
    Writing,
    Priority,
}

impl Direction {
    pub(crate) const ALL: [Self; 3] = [Self::Reading, Self::Writing, Self::Priority];

    /// What the kernel is asked for; it adds errors and hang-ups by itself.
    fn events(self) -> u32 {
        let events = match self {
            Self::Reading => libc::POLLIN | libc::POLLRDHUP,
            Self::Writing => libc::POLLOUT,
            Self::Priority => libc::POLLPRI,
        };
        u32::from(events.cast_unsigned())
    }
}

/// What is known of a descriptor, and who waits to know more.
#[derive(Debug)]
pub(crate) struct Watch {
    driver: Rc<Driver>,
    states: Rc<[State; 3]>,
}

/// Of one direction.
#[derive(Debug, Default)]
struct State {
    /// What the last poll found; zero if that is no longer so.
    events: Cell<u32>,
    /// Why the last poll failed, not told yet; zero is none.
    error: Cell<i32>,
    armed: Cell<Option<Key>>,
    /// How often it was disarmed: polls of before have nothing to say.
    epoch: Cell<u32>,
    waiting: Waiting,
}

impl Watch {
    pub(crate) fn new(driver: Rc<Driver>) -> Self {
        Self { driver, states: Rc::default() }
    }

    fn state(&self, direction: Direction) -> &State {
        &self.states[direction as usize]
    }

    /// What is known of a direction: the events of `poll(2)`; zero is nothing.
    pub(crate) fn known(&self, direction: Direction) -> u32 {
        self.state(direction).events.get()
    }

    /// It is no longer so.
    pub(crate) fn forget(&self, direction: Direction) {
        self.state(direction).events.set(0);
    }

    /// Waits until something is known of a direction of `fd`, by a poll if need be.
    pub(crate) fn poll_known(
        &self,
        fd: impl AsFd,
        direction: Direction,
        id: &mut Id,
        cx: &Context<'_>,
    ) -> Poll<io::Result<u32>> {
        let state = self.state(direction);
        let events = state.events.get();
        if events != 0 {
            return Poll::Ready(Ok(events));
        }
        let code = state.error.take();
        if code != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
        }
        if state.armed.get().is_none() {
            let fd = fd.as_fd().as_raw_fd();
            let (epoch, states) = (state.epoch.get(), Rc::clone(&self.states));
            let asking = Asking { fd, direction, epoch, states };
            match self.driver.stand(asking) {
                Ok(key) => state.armed.set(Some(key)),
                Err(_) => return Poll::Ready(Err(gone())),
            }
        }
        state.waiting.wait(id, cx);
        Poll::Pending
    }

    /// Nobody is woken for this place any more.
    pub(crate) fn leave(&self, direction: Direction, id: Id) {
        self.state(direction).waiting.leave(id);
    }

    /// Ends the polls. Those who wait are woken and ask again.
    pub(crate) fn disarm(&self) {
        for state in &*self.states {
            state.events.set(0);
            state.epoch.set(state.epoch.get().wrapping_add(1));
            if let Some(key) = state.armed.take() {
                self.driver.abandon(key);
            }
            state.waiting.wake_now(&self.driver);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The operation.
struct Asking {
    fd: RawFd,
    direction: Direction,
    epoch: u32,
    states: Rc<[State; 3]>,
}

// SAFETY: rule 1.
unsafe impl Standing for Asking {
    const KIND: &'static str = "poll";

    fn prepare(&mut self) -> Sqe {
        let target = io_uring::types::Fd(self.fd);
        io_uring::opcode::PollAdd::new(target, self.direction.events()).build()
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let state = &self.states[self.direction as usize];
        if state.epoch.get() != self.epoch {
            return;
        }
        state.armed.set(None);
        match u32::try_from(cqe.result) {
            Ok(events) => state.events.set(events),
            Err(_) if is_passing(-cqe.result) => {}
            Err(_) => state.error.set(-cqe.result),
        }
        state.waiting.wake(actions);
    }
}
