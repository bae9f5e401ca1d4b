//! What comes from other threads: a lock-free stack of woken tasks and of parcels, that home takes whole.
//!
//! The stack's one word also says whether home is asleep and whether the inbox is closed, so a pusher learns in
//! the same instruction that its node is queued and that it has to ring. There is no second flag and therefore
//! no order between two flags to get wrong. A bit of each pointer says whether it leads to a task or to a parcel.
//!
//! ```text
//!         begin_sleep                   push: the pusher rings
//!  EMPTY ------------> ASLEEP ----------------------------------> list
//!    ^  ^               |                                          |
//!    |  +---------------+ end_sleep            push: list grows    | close (from any state)
//!    +----------------------------------- take <-------------------+------> CLOSED: push is refused
//! ```
//!
//! Its bound: a task is in it at most once, so it holds no more than the tasks alive; and so is a parcel, of which
//! there is one for each future that awaits an answer and for each task that was sent and has not begun.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: an intrusive list through task headers")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::header::{Header, TaskPtr};
use super::parcel::{Head, HeadPtr};
use crate::loom::atomic::{AtomicPtr, Ordering};

/// The word of a closed inbox. Headers are aligned, so no task has this address.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);
/// The word of an empty inbox whose home is about to sleep.
const ASLEEP: *mut Header = ptr::without_provenance_mut(2);
/// Set in the pointer to a parcel. Heads of parcels are aligned to eight, as headers are.
const PARCEL: usize = 4;

const _: () = assert!(align_of::<Header>() >= 8 && align_of::<Head>() >= 8);

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

/// A task or a parcel, as the stack has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node(*mut Header);

impl Node {
    pub(super) fn task(task: TaskPtr) -> Self {
        Self(task.as_ptr())
    }

    pub(super) fn parcel(head: HeadPtr) -> Self {
        Self(head.as_ptr().cast::<Header>().map_addr(|address| address | PARCEL))
    }

    fn arrival(self) -> Option<Arrival> {
        if self.0.addr() & PARCEL == 0 {
            return Some(Arrival::Task(TaskPtr::new(NonNull::new(self.0)?)));
        }
        let head = self.0.map_addr(|address| address & !PARCEL).cast();
        Some(Arrival::Parcel(HeadPtr::new(NonNull::new(head)?)))
    }
}

/// What home takes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrival {
    Task(TaskPtr),
    Parcel(HeadPtr),
}

impl Arrival {
    /// # Safety
    ///
    /// It is in the stack, or on the way there or out of it, and so is kept (rules 1 and 7).
    unsafe fn link<'a>(self) -> &'a AtomicPtr<Header> {
        match self {
            // SAFETY: rule 1; a queued task holds a reference.
            Self::Task(task) => unsafe { &task.header().inbox_link.0 },
            // SAFETY: rule 7.
            Self::Parcel(head) => unsafe { &head.head().link.0 },
        }
    }
}

/// The link of a task in the inbox, owned by whoever turned `queued` on (rule 5); of a parcel, by whoever has it
/// (rule 7).
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

    /// Queues a node, from any thread. `sleeper` is called, perhaps more than once, before home is taken from its
    /// sleep and will have to be rung: what it holds then keeps home, whatever becomes of the node.
    ///
    /// # Safety
    ///
    /// A task's `queued` was turned on by the caller, who counted a reference for the inbox (rules 1 and 5); a
    /// parcel is the caller's (rule 7).
    pub(super) unsafe fn push(&self, node: Node, mut sleeper: impl FnMut()) -> Delivery {
        let Some(arrival) = node.arrival() else { return Delivery::Closed };
        // SAFETY: the caller's promise.
        let link = unsafe { arrival.link() };
        // A guess instead of a look: that would fetch home's line a first time, and the exchange then again.
        let mut word = ptr::null_mut();
        loop {
            if word == CLOSED {
                return Delivery::Closed;
            }
            if word == ASLEEP {
                sleeper();
            }
            // Rule 5: nobody else looks at the link before the exchange below publishes it.
            let next = if word == ASLEEP { ptr::null_mut() } else { word };
            link.store(next, Ordering::Relaxed);
            // Release: the take sees the link, and what came before the wake.
            let pushed =
                self.word.compare_exchange_weak(word, node.0, Ordering::Release, Ordering::Relaxed);
            match pushed {
                Ok(ASLEEP) => return Delivery::QueuedAsleep,
                Ok(_) => return Delivery::Queued,
                Err(now) => word = now,
            }
        }
    }

    /// Whether something is queued.
    #[inline]
    pub(super) fn has_arrivals(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        !(word.is_null() || word == ASLEEP || word == CLOSED)
    }

    /// Takes what is queued, oldest first; home thread only.
    #[inline]
    pub(super) fn take(&self) -> Arrivals {
        if !self.has_arrivals() {
            return Arrivals::none();
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
            return Arrivals::none();
        }
        Arrivals::oldest_first(word)
    }
}

/// What was taken from the inbox, in home's hands: tasks, each with the reference that belonged to being there, and
/// parcels.
#[derive(Debug)]
pub(super) struct Arrivals(Cell<*mut Header>);

impl Arrivals {
    pub(super) fn none() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }

    /// Turns the stack over.
    fn oldest_first(mut word: *mut Header) -> Self {
        let mut oldest = ptr::null_mut();
        while let Some(arrival) = Node(word).arrival() {
            // SAFETY: rules 1 and 7; it was in the stack.
            let link = unsafe { arrival.link() };
            let next = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = word;
            word = next;
        }
        Self(Cell::new(oldest))
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.get().is_null()
    }

    /// Takes over what the other has, in the place of nothing.
    #[inline]
    pub(super) fn refill(&self, others: Self) {
        debug_assert!(self.is_empty(), "what is left would be lost");
        self.0.set(others.0.get());
    }

    /// The next one, whose reference now is the caller's, and whose link may be used again at once.
    pub(super) fn pop(&self) -> Option<Arrival> {
        let arrival = Node(self.0.get()).arrival()?;
        // SAFETY: rules 1 and 7; it was in the stack.
        self.0.set(unsafe { arrival.link() }.load(Ordering::Relaxed));
        if let Arrival::Task(task) = arrival {
            // Cleared before the caller schedules the task: a wake that comes later queues it again. AcqRel, and an
            // exchange rather than a store: a wake that found `queued` on relies on us seeing what it did before.
            // SAFETY: rule 1; it holds the reference that we hand out.
            unsafe { task.header() }.queued.swap(false, Ordering::AcqRel);
        }
        Some(arrival)
    }
}
