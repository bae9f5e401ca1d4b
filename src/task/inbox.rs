//! Wakes from other threads: a lock-free stack of tasks that home takes whole.
//!
//! The stack's one word also says whether home is asleep and whether the inbox is closed, so a pusher learns in
//! the same instruction that its task is queued and that it has to ring. There is no second flag and therefore
//! no order between two flags to get wrong.
//!
//! ```text
//!         begin_sleep                   push: the pusher rings
//!  EMPTY ------------> ASLEEP ----------------------------------> list
//!    ^  ^               |                                          |
//!    |  +---------------+ end_sleep            push: list grows    | close (from any state)
//!    +----------------------------------- take <-------------------+------> CLOSED: push is refused
//! ```
//!
//! Its bound: a task is in it at most once, so it holds no more than the tasks alive.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: an intrusive list through task headers")]

use std::ptr::{self, NonNull};

use super::header::{Header, TaskPtr};
use crate::loom::atomic::{AtomicPtr, Ordering};

/// The word of a closed inbox. Headers are aligned, so no task has this address.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);
/// The word of an empty inbox whose home is about to sleep.
const ASLEEP: *mut Header = ptr::without_provenance_mut(2);

/// What became of a push.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Home will find it.
    Queued,
    /// Home will find it once the caller has rung.
    QueuedAsleep,
    /// Home is gone; nothing was queued.
    Closed,
}

/// The link of a task in the inbox, owned by whoever turned `queued` on (rule 5).
///
/// Atomic, always `Relaxed`: the word orders it. A plain cell would do, but loom could not see a mistake.
#[derive(Debug)]
pub(super) struct InboxLink(AtomicPtr<Header>);

impl InboxLink {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

/// The stack's head.
#[derive(Debug)]
pub(crate) struct Inbox {
    word: AtomicPtr<Header>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { word: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Queues `task`, from any thread.
    ///
    /// # Safety
    ///
    /// The caller turned the task's `queued` on and counted a reference for the inbox (rules 1 and 5).
    pub(super) unsafe fn push(&self, task: TaskPtr) -> Delivery {
        // SAFETY: rule 1.
        let link = &unsafe { task.header() }.inbox_link.0;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word == CLOSED {
                return Delivery::Closed;
            }
            // Rule 5: nobody else looks at the link before the exchange below publishes it.
            let next = if word == ASLEEP { ptr::null_mut() } else { word };
            link.store(next, Ordering::Relaxed);
            // Release: the take sees the link, and what came before the wake.
            let pushed = self.word.compare_exchange_weak(
                word,
                task.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match pushed {
                Ok(ASLEEP) => return Delivery::QueuedAsleep,
                Ok(_) => return Delivery::Queued,
                Err(now) => word = now,
            }
        }
    }

    /// Takes what is queued, oldest first; home thread only.
    #[inline]
    pub(super) fn take(&self) -> Arrivals {
        let word = self.word.load(Ordering::Relaxed);
        if word.is_null() || word == ASLEEP || word == CLOSED {
            return Arrivals(ptr::null_mut());
        }
        // A list stays a list until home takes it. Acquire: pairs with the pushes.
        Arrivals::oldest_first(self.word.swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Announces that home sleeps. `false`: something is queued, do not.
    pub(super) fn begin_sleep(&self) -> bool {
        // Relaxed: nothing is published by it. The exchange succeeds only on an empty inbox, so every
        // later push finds ASLEEP and rings.
        match self.word.compare_exchange(
            ptr::null_mut(),
            ASLEEP,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => true,
            Err(word) => word == CLOSED || word == ASLEEP,
        }
    }

    /// Takes the announcement back, if no push has.
    pub(super) fn end_sleep(&self) {
        let _ = self.word.compare_exchange(
            ASLEEP,
            ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Refuses all further pushes and yields what was queued; home thread only.
    pub(super) fn close(&self) -> Arrivals {
        let word = self.word.swap(CLOSED, Ordering::Acquire);
        if word == ASLEEP || word == CLOSED {
            return Arrivals(ptr::null_mut());
        }
        Arrivals::oldest_first(word)
    }
}

/// Tasks taken from the inbox, each with the reference that belonged to being there.
#[derive(Debug)]
pub(super) struct Arrivals(*mut Header);

impl Arrivals {
    /// Turns the stack over.
    fn oldest_first(mut word: *mut Header) -> Self {
        let mut oldest = ptr::null_mut();
        while let Some(task) = NonNull::new(word) {
            // SAFETY: rule 1; a queued task holds a reference.
            let link = &unsafe { TaskPtr::new(task).header() }.inbox_link.0;
            word = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = task.as_ptr();
        }
        Self(oldest)
    }
}

impl Iterator for Arrivals {
    type Item = TaskPtr;

    /// The next task, whose reference now is the caller's, and whose link may be used again at once.
    fn next(&mut self) -> Option<TaskPtr> {
        let task = TaskPtr::new(NonNull::new(self.0)?);
        // SAFETY: rule 1; it holds the reference that we hand out.
        let header = unsafe { task.header() };
        self.0 = header.inbox_link.0.load(Ordering::Relaxed);
        // Cleared before the caller schedules the task: a wake that comes later queues it again. AcqRel, and an
        // exchange rather than a store: a wake that found `queued` on relies on us seeing what it did before.
        header.queued.swap(false, Ordering::AcqRel);
        Some(task)
    }
}
