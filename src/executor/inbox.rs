//! Where other threads leave what is to run here, and the handshake that keeps a sleeper from missing it.
//!
//! A stack that many push to and one takes whole, so there is no ABA problem; the taker reverses it, so what was
//! pushed first comes first. It is never full. Closing it leaves a mark in place of the first node.
//!
//! A pusher pushes, then looks whether the owner sleeps; the owner says that it sleeps, then looks whether there
//! is a node. Between the two steps of each lies a sequentially consistent fence, so at least one of them sees the
//! other: the pusher rings or the owner does not sleep.
//!
//! # Safety rules
//!
//! 1. A node is pushed by one thread at a time and stays allocated until the taker was handed it; the pusher
//!    promises both.
//! 2. Between push and take, the link of a node belongs to the inbox.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::ptr::NonNull;

use crate::loom::atomic::{AtomicBool, AtomicPtr, Ordering, fence};

/// What an inbox can link.
///
/// # Safety
///
/// `next` gives the same atomic each time, and only the inbox uses it while the node is pushed.
pub(crate) unsafe trait Node: Sized {
    fn next(&self) -> &AtomicPtr<Self>;
}

/// The stack, and whether its owner sleeps.
#[derive(Debug)]
pub(super) struct Inbox<N> {
    first: AtomicPtr<N>,
    sleeping: AtomicBool,
}

/// What became of a push.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The owner is awake and will look.
    Awake,
    /// The owner sleeps, and it is this pusher's part to wake it.
    Asleep,
    /// The inbox is closed; the node was not taken.
    Closed,
}

fn closed<N>() -> *mut N {
    std::ptr::without_provenance_mut(1)
}

impl<N: Node> Inbox<N> {
    pub(super) fn new() -> Self {
        Self { first: AtomicPtr::new(std::ptr::null_mut()), sleeping: AtomicBool::new(false) }
    }

    /// Leaves a node for the owner; from any thread.
    ///
    /// # Safety
    ///
    /// Rule 1.
    pub(super) unsafe fn push(&self, node: NonNull<N>) -> Pushed {
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            if first == closed() {
                return Pushed::Closed;
            }
            // SAFETY: rule 1: it is allocated. Rule 2: the link is ours until the owner takes it.
            unsafe { node.as_ref() }.next().store(first, Ordering::Relaxed);
            // Release: the owner sees the link and what the pusher did before.
            let swapped = self.first.compare_exchange_weak(
                first,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => break,
                Err(now) => first = now,
            }
        }
        fence(Ordering::SeqCst);
        // The load keeps pushers off the line while the owner is awake.
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            Pushed::Asleep
        } else {
            Pushed::Awake
        }
    }

    /// True if there is nothing to take; the owner only.
    #[inline]
    fn is_empty(&self) -> bool {
        let first = self.first.load(Ordering::Relaxed);
        first.is_null() || first == closed()
    }

    /// Takes all nodes, first pushed first; the owner only.
    #[inline]
    pub(super) fn take(&self) -> Taken<N> {
        if self.is_empty() {
            return Taken { next: std::ptr::null_mut() };
        }
        Taken::reversed(self.first.swap(std::ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes all nodes and lets no more in; the owner only.
    pub(super) fn close(&self) -> Taken<N> {
        let first = self.first.swap(closed(), Ordering::Acquire);
        if first == closed() {
            return Taken { next: std::ptr::null_mut() };
        }
        Taken::reversed(first)
    }

    /// Says that the owner sleeps. False, and no sleep, if there is a node already.
    pub(super) fn begin_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let sleeps = self.is_empty();
        if !sleeps {
            self.end_sleep();
        }
        sleeps
    }

    /// Says that the owner is awake.
    pub(super) fn end_sleep(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }
}

/// Nodes that were taken, first pushed first.
#[derive(Debug)]
pub(super) struct Taken<N> {
    next: *mut N,
}

impl<N: Node> Taken<N> {
    fn reversed(mut last: *mut N) -> Self {
        let mut next = std::ptr::null_mut();
        while let Some(node) = NonNull::new(last) {
            // SAFETY: rules 1 and 2: taken, and not handed out yet.
            let link = unsafe { node.as_ref() }.next();
            last = link.load(Ordering::Relaxed);
            link.store(next, Ordering::Relaxed);
            next = node.as_ptr();
        }
        Self { next }
    }
}

impl<N: Node> Iterator for Taken<N> {
    type Item = NonNull<N>;

    fn next(&mut self) -> Option<NonNull<N>> {
        let node = NonNull::new(self.next)?;
        // SAFETY: rules 1 and 2: read before the node is handed out, after which its link is not ours.
        self.next = unsafe { node.as_ref() }.next().load(Ordering::Relaxed);
        Some(node)
    }
}
