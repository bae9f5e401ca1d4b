//! Who waits for a thing that any number of tasks may wait for. All are woken, and those who find nothing wait again.
//!
//! Cloning, calling and dropping wakers runs code of the user's, so nothing is borrowed meanwhile.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use crate::driver::{Actions, Driver, Wakers};

/// The number of one that waits; zero is none yet.
pub(crate) type Id = u32;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    wakers: RefCell<Wakers>,
    /// The last number that was given out.
    last: Cell<Id>,
}

impl Waiting {
    /// Gives out a number, if there is none yet.
    pub(super) fn enroll(&self, id: &mut Id) {
        if *id == 0 {
            self.last.set(self.last.get().wrapping_add(1).max(1));
            *id = self.last.get();
        }
    }

    /// The task of `cx` is woken for `id`, instead of the one before.
    pub(super) fn wait(&self, id: &mut Id, cx: &Context<'_>) {
        let expected = |(other, waker): &(Id, Waker)| *other == *id && waker.will_wake(cx.waker());
        if self.wakers.borrow().iter().any(expected) {
            return;
        }
        self.enroll(id);
        let waker = cx.waker().clone();
        let stale = self.wakers.borrow_mut().put(*id, waker);
        drop(stale);
    }

    /// The task of `cx` is woken, once, for as often as it asks. It cannot leave.
    pub(super) fn wait_as_task(&self, cx: &Context<'_>) {
        if !self.wakers.borrow().iter().any(|(_, waker)| waker.will_wake(cx.waker())) {
            self.wait(&mut 0, cx);
        }
    }

    /// Nobody is woken for `id` any more.
    pub(super) fn leave(&self, id: Id) {
        let mine = self.wakers.borrow_mut().remove(id);
        drop(mine);
    }

    /// Nobody will be woken any more. One at a time: a waker that panics leaves no other.
    pub(super) fn dismiss(&self, driver: &Driver) {
        self.take().drain(|waker| driver.catching(|| drop(waker)));
    }

    /// Takes all who wait, to be woken elsewhere.
    pub(super) fn take(&self) -> Wakers {
        self.wakers.take()
    }

    /// Wakes all at the end of the turn.
    #[inline(always)]
    pub(super) fn wake(&self, actions: &mut Actions) {
        // Of what comes at once only the first finds somebody.
        if !self.wakers.borrow().is_empty() {
            self.wake_all(actions);
        }
    }

    #[inline(never)]
    fn wake_all(&self, actions: &mut Actions) {
        self.wakers.borrow_mut().drain(|waker| actions.wake(waker));
    }

    /// Wakes all, one at a time: a waker that panics loses nobody else's wake-up.
    pub(super) fn wake_now(&self, driver: &Driver) {
        self.take().drain(|waker| driver.catching(|| waker.wake()));
    }
}
