//! POLL_ADD of the bell of a signal: a completion for each delivery, or for several that came at once.
//!
//! It stays armed, once for each listener, and nothing is read: each write of the handler is an edge to all of them,
//! and the source's counter says what is new. What was delivered before it was armed makes it complete at once.
//!
//! # Safety rules
//!
//! 1. The entry names no memory, only the bell of a source, which is never closed.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::driver::{Actions, Driver, Key, Standing};
use crate::sys::signals::Source;
use crate::sys::{Cqe, Sqe};

/// What one listener has seen of a signal.
#[derive(Debug)]
pub(crate) struct Notices {
    source: &'static Source,
    seen: Cell<u64>,
    armed: Cell<Option<Key>>,
    /// The poll failed for good.
    is_broken: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Notices {
    /// Sees what is delivered from now on.
    pub(crate) fn new(source: &'static Source) -> Rc<Self> {
        Rc::new(Self {
            source,
            seen: Cell::new(source.count()),
            armed: Cell::new(None),
            is_broken: Cell::new(false),
            waiting: RefCell::default(),
        })
    }

    /// True if the signal was delivered since it was last asked; all those deliveries are one.
    fn take(&self) -> bool {
        let count = self.source.count();
        self.seen.replace(count) != count
    }

    /// Waits for a delivery. `None`: there will be no more, because the runtime is gone.
    pub(crate) fn poll_next(
        self: &Rc<Self>,
        driver: &Driver,
        cx: &Context<'_>,
    ) -> Poll<Option<()>> {
        if self.take() {
            return Poll::Ready(Some(()));
        }
        // Cloning runs code of the user's, so nothing is borrowed.
        let waker = cx.waker().clone();
        let stale = self.waiting.replace(Some(waker));
        drop(stale);
        if self.armed.get().is_none() {
            if self.is_broken.get() {
                return Poll::Ready(None);
            }
            match driver.stand(Listen { notices: Rc::clone(self) }) {
                Ok(key) => self.armed.set(Some(key)),
                Err(_) => return Poll::Ready(None),
            }
        }
        Poll::Pending
    }

    /// Ends the poll: the listener is being dropped.
    pub(crate) fn close(&self, driver: &Driver) {
        drop(self.waiting.take());
        if let Some(key) = self.armed.get() {
            driver.abandon(key);
        }
    }
}

struct Listen {
    notices: Rc<Notices>,
}

// SAFETY: rule 1.
unsafe impl Standing for Listen {
    const KIND: &'static str = "signal";

    fn prepare(&mut self) -> Sqe {
        let target = io_uring::types::Fd(self.notices.source.bell());
        io_uring::opcode::PollAdd::new(target, libc::POLLIN as u32).multi(true).build()
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let notices = &self.notices;
        if !cqe.more() {
            notices.armed.set(None);
            let passing = [-libc::ECANCELED, -libc::EINTR, -libc::EAGAIN, -libc::ENOMEM];
            notices.is_broken.set(cqe.result < 0 && !passing.contains(&cqe.result));
        }
        // It may only be what the bell had been rung for before: then whoever waits goes on.
        if !cqe.more() || notices.source.count() != notices.seen.get() {
            actions.wake_taken(&mut notices.waiting.borrow_mut());
        }
    }
}
