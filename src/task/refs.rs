//! How many wakers and abort handles name a task: a count without locked instructions at home.
//!
//! Most wakers are made, cloned and dropped on the thread of their task. That thread counts in a plain cell;
//! the others count in an atomic. A waker made on one side may be dropped on the other, so either count alone
//! may go below zero and only the sum means something. Nobody tests it for zero while the home thread keeps
//! the task anyway (see `state`); when it stops doing so it *merges*: adds its count to the atomic and marks
//! that as merged. From then on everybody counts there, and whoever brings it to "none, merged" frees the task.
//!
//! ```text
//! shared = 2 * count (wrapping) | MERGED
//! ```
//!
//! A count of 63 bits cannot be overflowed by adding one at a time, so there is no check.
//!
//! # Why [`merge`](Refs::merge) may free without a locked instruction
//!
//! It sums the cell and one `Acquire` load that may lag behind. That sum counts the references at a consistent
//! cut: everything home did, and every foreign change up to one in the modification order, which includes
//! all that happened before (coherence). If it is zero there is no reference in that cut, and a reference can
//! only be made from another one, so no later change exists: the load was the last value.

use std::cell::Cell;

use crate::loom::atomic::{AtomicUsize, Ordering, fence};

const MERGED: usize = 1;
const ONE: usize = 2;
/// The value of `local` once merged.
const LOCAL_MERGED: isize = isize::MIN;

/// Whether the caller was the last to know the task.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Nobody else can reach the task: the caller frees it.
    Yes,
    /// Somebody else will.
    No,
}

/// The counted references to one task.
#[derive(Debug)]
pub(super) struct Refs {
    /// Touched by the home thread only.
    local: Cell<isize>,
    shared: AtomicUsize,
}

impl Refs {
    /// No references, not merged.
    pub(super) fn new() -> Self {
        Self { local: Cell::new(0), shared: AtomicUsize::new(0) }
    }

    /// Counts one more reference; home thread only.
    #[inline]
    pub(super) fn retain_home(&self) {
        match self.local.get() {
            LOCAL_MERGED => self.retain_abroad(),
            local => self.local.set(local + 1),
        }
    }

    /// Counts one reference less; home thread only.
    #[inline]
    pub(super) fn release_home(&self) -> Last {
        match self.local.get() {
            LOCAL_MERGED => self.release_abroad(),
            local => {
                self.local.set(local - 1);
                Last::No
            }
        }
    }

    /// Counts one more reference, on any thread.
    #[inline]
    pub(super) fn retain_abroad(&self) {
        // Relaxed: the caller holds a reference, so nothing is published by making another.
        self.shared.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Counts one reference less, on any thread.
    #[inline]
    pub(super) fn release_abroad(&self) -> Last {
        // Release: what this thread did with the task is done before anyone frees it.
        let before = self.shared.fetch_sub(ONE, Ordering::Release);
        if before != (ONE | MERGED) {
            return Last::No;
        }
        fence(Ordering::Acquire);
        Last::Yes
    }

    /// Ends the home thread's own keeping of the task; once, by the home thread.
    #[inline]
    pub(super) fn merge(&self) -> Last {
        let local = self.local.replace(LOCAL_MERGED);
        debug_assert_ne!(local, LOCAL_MERGED, "merged twice");
        let local = (local as usize).wrapping_mul(ONE);
        // Acquire here and below: what others did with the task happened before we free it.
        if self.shared.load(Ordering::Acquire).wrapping_add(local) == 0 {
            return Last::Yes;
        }
        let before = self.shared.fetch_add(local.wrapping_add(MERGED), Ordering::AcqRel);
        if before.wrapping_add(local) == 0 { Last::Yes } else { Last::No }
    }

    /// The number of references, as far as this thread can see; home thread only, before the merge.
    #[cfg(test)]
    pub(super) fn count(&self) -> isize {
        self.local.get() + (self.shared.load(Ordering::Acquire) as isize >> 1)
    }
}
