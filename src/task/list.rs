//! The two lists of a home that run through the headers: what is ready, and what is alive.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: intrusive lists through task headers")]

use std::cell::Cell;

use super::header::TaskPtr;
use super::state::SCHEDULED;

/// The tasks to poll, in the order in which they were woken.
///
/// Its bound: a task is in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    head: Cell<Option<TaskPtr>>,
    tail: Cell<Option<TaskPtr>>,
    count: Cell<u32>,
}

impl Ready {
    /// How many tasks are queued.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    /// Appends a task.
    ///
    /// # Safety
    ///
    /// Home thread (rule 2); the caller just set `SCHEDULED`, so the task is alive and not queued (rule 1).
    #[inline]
    pub(super) unsafe fn push(&self, task: TaskPtr) {
        // SAFETY: rule 1.
        unsafe { task.header() }.next.set(None);
        match self.tail.replace(Some(task)) {
            None => self.head.set(Some(task)),
            // SAFETY: rule 1; what is queued is `SCHEDULED`.
            Some(tail) => unsafe { tail.header() }.next.set(Some(task)),
        }
        self.count.set(self.count.get() + 1);
    }

    /// The oldest task.
    #[inline]
    pub(super) fn first(&self) -> Option<TaskPtr> {
        self.head.get()
    }

    /// Takes the oldest task and clears its `SCHEDULED`. The caller settles it (see `run`).
    #[inline]
    pub(super) fn pop(&self) -> Option<TaskPtr> {
        let task = self.head.get()?;
        // SAFETY: rule 1; what is queued is `SCHEDULED`.
        let header = unsafe { task.header() };
        let next = header.next.get();
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        self.count.set(self.count.get() - 1);
        header.state.remove(SCHEDULED);
        Some(task)
    }
}

/// A task's place among the tasks alive.
#[derive(Debug, Default)]
pub(super) struct Links {
    previous: Cell<Option<TaskPtr>>,
    next: Cell<Option<TaskPtr>>,
}

/// The tasks whose futures exist, newest first.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    head: Cell<Option<TaskPtr>>,
    count: Cell<usize>,
}

impl Owned {
    /// How many tasks there are.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// The newest task.
    pub(super) fn first(&self) -> Option<TaskPtr> {
        self.head.get()
    }

    /// Adds a new task.
    ///
    /// # Safety
    ///
    /// Home thread (rule 2); the task is not complete, and in no such list (rule 1).
    #[inline]
    pub(super) unsafe fn insert(&self, task: TaskPtr) {
        let next = self.head.replace(Some(task));
        // SAFETY: rule 1.
        unsafe { task.header() }.owned.next.set(next);
        if let Some(next) = next {
            // SAFETY: rule 1; what is in the list is not complete.
            unsafe { next.header() }.owned.previous.set(Some(task));
        }
        self.count.set(self.count.get() + 1);
    }

    /// Takes a task out.
    ///
    /// # Safety
    ///
    /// Home thread (rule 2); the task is alive (rule 1) and was inserted here once.
    #[inline]
    pub(super) unsafe fn remove(&self, task: TaskPtr) {
        // SAFETY: rule 1.
        let links = &unsafe { task.header() }.owned;
        let (previous, next) = (links.previous.take(), links.next.take());
        match previous {
            // SAFETY: rule 1; what is in the list is not complete.
            Some(previous) => unsafe { previous.header() }.owned.next.set(next),
            None => self.head.set(next),
        }
        if let Some(next) = next {
            // SAFETY: rule 1; what is in the list is not complete.
            unsafe { next.header() }.owned.previous.set(previous);
        }
        self.count.set(self.count.get() - 1);
    }
}
