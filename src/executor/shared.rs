//! The part of an executor that other threads see. It outlives the executor as long as a task's memory does.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::ptr::NonNull;
use std::task::Waker;

use super::inbox::{Inbox, Pushed, Taken};
use crate::loom::atomic::{AtomicUsize, Ordering, fence};
use crate::task::Header;

/// Allocated once an executor; counted by it and by each of its tasks.
#[derive(Debug)]
pub(crate) struct Shared {
    counts: AtomicUsize,
    inbox: Inbox<Header>,
    /// Ends the sleep of the thread that runs the executor.
    unpark: Waker,
}

impl Shared {
    /// With one count, the executor's own.
    pub(super) fn new(unpark: Waker) -> NonNull<Self> {
        let shared = Self { counts: AtomicUsize::new(1), inbox: Inbox::new(), unpark };
        NonNull::from(Box::leak(Box::new(shared)))
    }

    pub(super) fn retain(&self, counts: usize) {
        self.counts.fetch_add(counts, Ordering::Relaxed);
    }

    /// Gives up a count, on any thread.
    ///
    /// # Safety
    ///
    /// Rule 6 of `task`: the caller holds it, and does not use `shared` any more.
    pub(crate) unsafe fn release(shared: NonNull<Self>) {
        // SAFETY: our caller's promise.
        unsafe { Self::release_many(shared, 1) };
    }

    /// Gives up several counts.
    ///
    /// # Safety
    ///
    /// As for `release`.
    pub(super) unsafe fn release_many(shared: NonNull<Self>, counts: usize) {
        // SAFETY: our caller holds counts, so it is allocated.
        let before = unsafe { shared.as_ref() }.counts.fetch_sub(counts, Ordering::Release);
        if before != counts {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: nobody counts any more; it came from a leaked box.
        drop(unsafe { Box::from_raw(shared.as_ptr()) });
    }

    /// Sends a task home and rings if the home sleeps; false if the home is gone.
    ///
    /// # Safety
    ///
    /// Rule 1 of `task`: a reference is counted for the inbox, and the caller set the task's `queued`.
    pub(crate) unsafe fn post(&self, task: NonNull<Header>) -> bool {
        // SAFETY: our caller's promise is the inbox's rule 1.
        match unsafe { self.inbox.push(task) } {
            Pushed::Awake => true,
            Pushed::Asleep => {
                self.unpark.wake_by_ref();
                true
            }
            Pushed::Closed => false,
        }
    }

    #[inline]
    pub(super) fn take(&self) -> Taken<Header> {
        self.inbox.take()
    }

    pub(super) fn close(&self) -> Taken<Header> {
        self.inbox.close()
    }

    pub(super) fn begin_sleep(&self) -> bool {
        self.inbox.begin_sleep()
    }

    pub(super) fn end_sleep(&self) {
        self.inbox.end_sleep();
    }
}
