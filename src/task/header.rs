//! What every task has, whatever its future: the type-erased head of its allocation.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks are type-erased and freed by count")]

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use super::home::{self, Home};
use super::id::Id;
use super::inbox::{Delivery, InboxLink, Node};
use super::list::Links;
use super::refs::{Last, Refs};
use super::state::{CANCELLED, Schedule, State};
use crate::loom::atomic::{AtomicBool, Ordering};

/// What differs from one future type to the next.
#[derive(Debug)]
pub(super) struct Vtable {
    /// Polls the future. When it is done, drops it, stores the result and says `Ready`.
    ///
    /// At home, `RUNNING`, future present (rules 2 and 3).
    pub(super) poll: unsafe fn(TaskPtr, &mut Context<'_>) -> Poll<()>,
    /// Drops the future unfinished and stores a `JoinError`; `false` if the future refuses, and stays. Same conditions.
    pub(super) cancel: unsafe fn(TaskPtr) -> bool,
    /// Drops the result in place. Home thread, `OUTPUT` (rule 3).
    pub(super) drop_output: unsafe fn(TaskPtr),
    /// Where in the allocation the stage lies.
    pub(super) stage_offset: usize,
    /// The whole allocation.
    pub(super) layout: Layout,
}

/// The head of a task's allocation.
#[repr(C)]
pub(crate) struct Header {
    pub(super) vtable: &'static Vtable,
    /// The executor that owns the task. The task holds one reference to it.
    pub(super) home: NonNull<Home>,
    pub(super) state: State,
    /// In the inbox, or on the way into it: at most once at a time.
    pub(super) queued: AtomicBool,
    /// Somebody abroad wants the task aborted; the inbox turns this into `CANCELLED`.
    pub(super) cancel: AtomicBool,
    /// What `COMPLETE` says, for other threads.
    pub(super) finished: AtomicBool,
    pub(super) refs: Refs,
    /// The next task in the ready queue.
    pub(super) next: Cell<Option<TaskPtr>>,
    pub(super) owned: Links,
    pub(super) inbox_link: InboxLink,
    /// Who waits for the result.
    pub(super) join_waker: Cell<Option<Waker>>,
    pub(super) id: Id,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() <= 96, "a header grew: spawn pays for each cache line");

/// The address of a task.
///
/// Copying it counts nothing; who may follow it is rule 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskPtr(NonNull<Header>);

impl TaskPtr {
    pub(super) fn new(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// # Safety
    ///
    /// `data` came from [`as_data`](Self::as_data).
    #[inline]
    pub(super) unsafe fn from_data(data: *const ()) -> Self {
        // SAFETY: the caller's promise; a `TaskPtr` is never null.
        Self(unsafe { NonNull::new_unchecked(data.cast_mut().cast()) })
    }

    #[inline]
    pub(super) fn as_data(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// # Safety
    ///
    /// Something keeps the task alive for `'a` (rule 1).
    #[inline]
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: rule 1, by the caller's promise. A header is only ever borrowed shared.
        unsafe { self.0.as_ref() }
    }

    /// Whether this thread is inside the task's executor.
    ///
    /// # Safety
    ///
    /// The task is alive (rule 1).
    #[inline]
    pub(super) unsafe fn is_home(self) -> bool {
        // First, for a look-up may be a call, across which nothing has to be kept then.
        let current = home::current();
        // SAFETY: rule 1.
        current == Some(unsafe { self.header() }.home)
    }

    /// Counts one more reference.
    ///
    /// # Safety
    ///
    /// The task is alive (rule 1).
    #[inline]
    pub(super) unsafe fn retain(self) {
        // SAFETY: rule 1.
        let (header, is_home) = unsafe { (self.header(), self.is_home()) };
        if is_home {
            header.refs.retain_home();
        } else {
            header.refs.retain_abroad();
        }
    }

    /// Gives one counted reference back, and the memory if it was the last.
    ///
    /// # Safety
    ///
    /// The caller owns a counted reference (rule 1) and does not follow the pointer afterwards.
    #[inline]
    pub(super) unsafe fn release(self) {
        // SAFETY: rule 1.
        let (header, is_home) = unsafe { (self.header(), self.is_home()) };
        let last = if is_home { header.refs.release_home() } else { header.refs.release_abroad() };
        if last == Last::Yes {
            // SAFETY: rule 4; we were the last.
            unsafe { home::free(self) };
        }
    }

    /// Makes the task ready, from whatever thread. Runs no code of the user's.
    ///
    /// # Safety
    ///
    /// The task is alive during the call (rule 1).
    #[inline]
    pub(super) unsafe fn wake(self) {
        // SAFETY: rule 1, and rule 2 where the thread is home.
        unsafe { if self.is_home() { self.schedule() } else { self.post() } }
    }

    /// As [`wake`](Self::wake) and then [`release`](Self::release), with one look at where we are.
    ///
    /// # Safety
    ///
    /// As for [`release`](Self::release).
    #[inline]
    pub(super) unsafe fn wake_and_release(self) {
        // SAFETY: rule 1.
        let (header, is_home) = unsafe { (self.header(), self.is_home()) };
        if !is_home {
            // SAFETY: rule 1; passed on.
            return unsafe { self.post_and_release() };
        }
        // SAFETY: rules 1 and 2.
        unsafe { self.schedule() };
        if header.refs.release_home() == Last::Yes {
            // SAFETY: rule 4; we were the last.
            unsafe { home::free(self) };
        }
    }

    /// See [`wake_and_release`](Self::wake_and_release): the reference is ours until released, also while home is
    /// rung.
    #[cold]
    unsafe fn post_and_release(self) {
        // SAFETY: rule 1.
        unsafe {
            self.post();
            self.release();
        }
    }

    /// Has the future dropped when the task comes up next, from whatever thread.
    ///
    /// # Safety
    ///
    /// The task is alive during the call (rule 1).
    pub(super) unsafe fn abort(self) {
        // SAFETY: rule 1.
        let (header, is_home) = unsafe { (self.header(), self.is_home()) };
        if is_home {
            header.state.insert(CANCELLED);
            // SAFETY: rules 1 and 2.
            unsafe { self.schedule() };
        } else {
            // Relaxed: `post` publishes it through `queued`.
            header.cancel.store(true, Ordering::Relaxed);
            // SAFETY: rule 1.
            unsafe { self.post() };
        }
    }

    /// Appends the task to its ready queue, unless it is there or complete.
    ///
    /// # Safety
    ///
    /// The task is alive (rule 1) and this is its home thread (rule 2).
    #[inline]
    pub(super) unsafe fn schedule(self) {
        // SAFETY: rule 1.
        let header = unsafe { self.header() };
        if header.state.schedule() == Schedule::Push {
            // SAFETY: rules 1 and 2; `SCHEDULED` now keeps the task until it is popped.
            unsafe { header.home.as_ref().ready.push(self) };
        }
    }

    /// Puts the task into its home's inbox and rings, if home is asleep.
    ///
    /// Out of line, so that a wake at home has no registers to save.
    ///
    /// # Safety
    ///
    /// The task is alive during the call (rule 1).
    #[inline(never)]
    pub(super) unsafe fn post(self) {
        // SAFETY: rule 1; a task keeps its home alive.
        let (header, home) = unsafe { (self.header(), self.header().home.as_ref()) };
        // AcqRel: pairs with `Inbox::arrived`. If somebody else's post is still waiting, home will see what
        // we did before this; if not, home is done with the link.
        if header.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // The reference that belongs to being in the inbox.
        header.refs.retain_abroad();
        // SAFETY: rule 5; we turned `queued` on. The caller keeps the task, and that its home, until it is rung.
        match unsafe { home.inbox.push(Node::task(self), || ()) } {
            Delivery::Queued => {}
            Delivery::QueuedAsleep => home.ring(),
            // The caller's reference or anchor is still there, so this was not the last; were it, `release`
            // would free.
            // SAFETY: rule 1; we own the reference counted above.
            Delivery::Closed => unsafe { self.release() },
        }
    }
}
