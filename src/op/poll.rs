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

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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
    /// Who waits, by a number that `ids` counts.
    waiting: RefCell<Vec<(u32, Waker)>>,
    ids: Cell<u32>,
}

/// A place among those that wait for one direction; zero is none yet.
pub(crate) type Id = u32;

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
        state.wait(id, cx);
        Poll::Pending
    }

    /// Nobody is woken for this place any more.
    pub(crate) fn leave(&self, direction: Direction, id: Id) {
        let mut waiting = self.state(direction).waiting.borrow_mut();
        let mine = waiting.iter().position(|(other, _)| *other == id);
        let mine = mine.map(|at| waiting.swap_remove(at));
        drop(waiting);
        drop(mine);
    }

    /// Ends the polls. Those who wait are woken and ask again.
    pub(crate) fn disarm(&self) {
        for state in &*self.states {
            state.events.set(0);
            state.epoch.set(state.epoch.get().wrapping_add(1));
            if let Some(key) = state.armed.take() {
                self.driver.abandon(key);
            }
            let waiting = state.waiting.take();
            waiting.into_iter().for_each(|(_, waker)| self.driver.catching(|| waker.wake()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl State {
    /// Has the task of `cx` woken, in the place `id` or a new one. Cloning and dropping wakers runs code of the user's,
    /// so nothing is borrowed meanwhile.
    fn wait(&self, id: &mut Id, cx: &Context<'_>) {
        let expected = |(other, waker): &(Id, Waker)| *other == *id && waker.will_wake(cx.waker());
        if self.waiting.borrow().iter().any(expected) {
            return;
        }
        let waker = cx.waker().clone();
        if *id == 0 {
            self.ids.set(self.ids.get().wrapping_add(1).max(1));
            *id = self.ids.get();
        }
        let mut waiting = self.waiting.borrow_mut();
        let stale = match waiting.iter_mut().find(|(other, _)| *other == *id) {
            Some((_, present)) => Some(std::mem::replace(present, waker)),
            None => {
                waiting.push((*id, waker));
                None
            }
        };
        drop(waiting);
        drop(stale);
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
        state.waiting.borrow_mut().drain(..).for_each(|(_, waker)| actions.wake(waker));
    }
}

/// The descriptor is not at fault: asked again, the kernel will say.
fn is_passing(code: i32) -> bool {
    matches!(code, libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ENOMEM)
}
