//! The place of `block_on`'s future in the ready queue: a task without a future.
//!
//! The worker polls the root future itself, pinned on its stack. What it needs from here is a waker as cheap as a
//! task's, and a turn in the same queue. When the root comes up it only notes so.
//!
//! # Safety rules
//!
//! By number, those of `task`. A `Root` is the anchor `JOIN_INTEREST`, and proves the home thread, as a
//! `JoinHandle` does.
#![allow(unsafe_code, reason = "room 4: a header made by hand")]

use std::alloc::Layout;
use std::task::{Context, Poll, Waker};

use super::cache;
use super::cell;
use super::header::{Header, TaskPtr, Vtable};
use super::home::HomeRef;
use super::run;
use super::state::{COMPLETE, JOIN_INTEREST, WOKEN};
use super::waker;
use crate::loom::atomic::Ordering;

static VTABLE: Vtable = Vtable {
    poll: note,
    cancel: refuse,
    drop_output: nothing,
    stage_offset: 0,
    layout: cache::rounded(Layout::new::<Header>()),
};

/// The root came up: the worker will ask.
unsafe fn note(task: TaskPtr, _: &mut Context<'_>) -> Poll<()> {
    // SAFETY: rules 1 and 2, by the contract of `Vtable::poll`.
    unsafe { task.header() }.state.insert(WOKEN);
    Poll::Pending
}

/// There is no future, and nobody aborts it.
unsafe fn refuse(_: TaskPtr) -> bool {
    false
}

/// There is no output.
unsafe fn nothing(_: TaskPtr) {}

/// The root of one `block_on`. Dropping it is safe while its wakers live on, on any thread.
#[derive(Debug)]
pub(crate) struct Root {
    task: TaskPtr,
    waker: Waker,
}

impl Root {
    /// A root that counts as woken.
    pub(crate) fn new(home: &HomeRef) -> Self {
        let memory = home.home().cache.allocate(VTABLE.layout).cast::<Header>();
        // SAFETY: fresh memory of that layout; rule 2, a `HomeRef` is not `Send`.
        unsafe {
            memory.write(cell::new_header(home.as_ptr(), &VTABLE, JOIN_INTEREST | WOKEN));
        }
        let task = TaskPtr::new(memory);
        // SAFETY: rule 1; `JOIN_INTEREST` is ours.
        Self { task, waker: unsafe { waker::counted(task) } }
    }

    /// What wakes the root.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether the root came up and its future is yet to be polled.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        // SAFETY: rule 1; we are an anchor.
        unsafe { self.task.header() }.state.has(WOKEN)
    }

    /// Whether the root came up since this was last asked.
    #[inline]
    pub(crate) fn take_woken(&self) -> bool {
        // SAFETY: rule 1; we are an anchor.
        let state = &unsafe { self.task.header() }.state;
        let woken = state.has(WOKEN);
        state.remove(WOKEN);
        woken
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: rules 1 and 2; our anchor goes here, and our waker keeps the memory for its own drop.
        unsafe {
            let header = self.task.header();
            header.state.insert(COMPLETE);
            header.finished.store(true, Ordering::Release);
            header.state.remove(JOIN_INTEREST);
            run::settle(self.task);
        }
    }
}
