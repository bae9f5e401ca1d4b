//! The ring of many senders and one receiver.
//!
//! As in [`spsc`](crate::channel::spsc)'s, positions count up for ever and a slot is a position's remainder. A
//! sender first claims a position, by moving `tail`, then writes its slot, and then stamps it with the position; the
//! receiver takes slots in order, each when it bears its position's stamp.
//!
//! A claim that is not filled, because the iterator behind it ended early or panicked, is stamped *void*, and the
//! receiver passes over it.
//!
//! # Safety rules
//!
//! 1. Claims. A position is claimed by one sender: the one whose exchange moved `tail` past it. It is claimed only
//!    when `head + capacity` is beyond it, by a `head` that was read with Acquire, and which the receiver stored
//!    with Release after it had moved out all before it. So its slot, `capacity` being at most their number, holds
//!    nothing, and is the claimer's until it stamps it.
//! 2. Stamps. A slot whose stamp says that position `p` is full holds a value, which is the receiver's. The stamp is
//!    stored with Release after the value, and read with Acquire. A stamp of an earlier round names another position.
//! 3. One receiver. There is one [`Consumer`], which cannot be cloned; what moves `head` takes it by `&mut`.
//! 4. Own copy. `Consumer::head` may be ahead of the shared one by what is not published yet: moved out. It is
//!    published before the consumer is dropped.
//! 5. Last. The ring is dropped when all ends are, so no claim is open; then it drops the values at `head..tail`,
//!    once.
#![allow(unsafe_code, reason = "a listed lock-free structure: slots shared by threads")]

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc as EndsArc;

use super::ends::Ends;
use crate::channel::intake::{Ends as _, Outlet};
use crate::channel::prefetch;
use crate::loom::atomic::{AtomicUsize, Ordering, fence};
use crate::loom::{Arc, UnsafeCell};

struct Slot<T> {
    /// What became of which position: see [`full`] and [`void`].
    stamp: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The stamp of a position whose slot holds a value.
fn full(position: usize) -> usize {
    position.wrapping_mul(2).wrapping_add(2)
}

/// The stamp of a position that was claimed in vain.
fn void(position: usize) -> usize {
    full(position) | 1
}

pub(super) struct Ring<T> {
    pub(super) ends: EndsArc<Ends>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: rules 1 to 3; a value is moved from one thread to another, never shared.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; whoever drops the ring drops values of other threads.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let slot = || Slot {
            // No position below half the word has it.
            stamp: AtomicUsize::new(1),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        };
        let slots = (0..capacity.next_power_of_two()).map(|_| slot()).collect();
        Arc::new(Self { ends: Ends::new(capacity), slots })
    }

    #[inline(always)]
    fn slot(&self, position: usize) -> &Slot<T> {
        // The length is a power of two and not zero, so the remainder is below it.
        &self.slots[position & (self.slots.len() - 1)]
    }

    /// Claims up to `wanted` positions, or as many as there is room for: none if there is no room. `head` is a copy
    /// of the shared one, renewed when there is no room by it.
    #[inline]
    pub(super) fn claim(&self, wanted: usize, head: &AtomicUsize) -> Option<Claim<'_, T>> {
        let capacity = self.ends.capacity;
        let mut tail = self.ends.tail.load(Ordering::Relaxed);
        loop {
            // Acquire and Release for the copy too: another thread may have renewed it (rule 1).
            let mut used = tail.wrapping_sub(head.load(Ordering::Acquire));
            if used >= capacity {
                let now = self.ends.head.load(Ordering::Acquire);
                head.store(now, Ordering::Release);
                used = tail.wrapping_sub(now);
            }
            if used > usize::MAX / 2 {
                // The tail was old: the head, which followed a newer one, has passed it.
                tail = self.ends.tail.load(Ordering::Relaxed);
                continue;
            }
            // More than the capacity where the head is old: then there was no room a moment ago.
            if used >= capacity {
                return None;
            }
            let end = tail.wrapping_add(wanted.min(capacity - used));
            let claimed = self.ends.tail.compare_exchange_weak(
                tail,
                end,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => {
                    if prefetch::is_due(tail, capacity - used) {
                        prefetch::group(tail, |position| self.slot(position), prefetch::to_write);
                    }
                    return Some(Claim { ring: self, next: tail, end });
                }
                Err(now) => tail = now,
            }
        }
    }
}

/// Positions that are the holder's to fill. What it does not fill is void.
pub(super) struct Claim<'a, T> {
    ring: &'a Ring<T>,
    next: usize,
    end: usize,
}

impl<T> Claim<'_, T> {
    pub(super) fn len(&self) -> usize {
        self.end.wrapping_sub(self.next)
    }

    /// Fills the next position, at once visible if those before it are.
    #[inline]
    pub(super) fn fill(&mut self, value: T) {
        assert!(self.next != self.end, "a position is left");
        let slot = self.ring.slot(self.next);
        // SAFETY: rule 1, by the check above; nothing is overwritten that would have to be dropped.
        slot.value.with_mut(|place| unsafe { (*place).write(value) });
        slot.stamp.store(full(self.next), Ordering::Release);
        self.next = self.next.wrapping_add(1);
    }
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        while self.next != self.end {
            self.ring.slot(self.next).stamp.store(void(self.next), Ordering::Release);
            self.next = self.next.wrapping_add(1);
        }
    }
}

/// The end that reads.
pub(super) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    /// What `tail` was when it was last looked at; the head may have passed it since.
    seen: usize,
}

impl<T> Consumer<T> {
    /// The one of this ring, which has none yet (rule 3).
    pub(super) fn new(ring: Arc<Ring<T>>) -> Self {
        Self { ring, head: 0, seen: 0 }
    }

    /// How many positions were claimed at the last look, less those that were passed since.
    #[inline(always)]
    fn known(&self) -> usize {
        let known = self.seen.wrapping_sub(self.head);
        if known <= self.ring.ends.capacity { known } else { 0 }
    }

    /// Passes over what is void; whether a value is next.
    #[inline(always)]
    fn is_full(&mut self) -> bool {
        loop {
            let stamp = self.ring.slot(self.head).stamp.load(Ordering::Acquire);
            if stamp != void(self.head) {
                return stamp == full(self.head);
            }
            self.pass_over();
        }
    }

    /// Frees a position that was claimed in vain.
    #[cold]
    fn pass_over(&mut self) {
        self.head = self.head.wrapping_add(1);
        self.publish();
        // Nothing is received by it, so nobody else looks who waits for the room.
        fence(Ordering::SeqCst);
        self.ring.ends.wake_senders();
    }
}

impl<T> Outlet for Consumer<T> {
    type Item = T;
    type Ends = Ends;

    #[inline(always)]
    fn ends(&self) -> &EndsArc<Ends> {
        &self.ring.ends
    }

    #[inline(always)]
    fn has_seen(&self) -> bool {
        self.known() > 0
    }

    #[inline(always)]
    fn units(&self) -> u64 {
        1
    }

    #[inline(always)]
    fn is_ready(&mut self) -> bool {
        self.is_full()
    }

    fn ready(&mut self) -> usize {
        if !self.is_full() {
            return 0;
        }
        // At least the one; the others are claimed, and most of them written.
        let left = self.left().max(1);
        self.seen = self.head.wrapping_add(left);
        left
    }

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        if !self.is_full() {
            return None;
        }
        if prefetch::is_due(self.head, self.known()) {
            prefetch::group(self.head, |position| self.ring.slot(position), prefetch::to_read);
        }
        let slot = self.ring.slot(self.head);
        // SAFETY: rule 2; it is read once, for `head` moves on.
        let value = slot.value.with(|place| unsafe { (*place).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        Some(value)
    }

    fn take_into(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let limit = self.ready().min(limit);
        // What may fail comes first.
        buffer.reserve(limit);
        let mut count = 0;
        while count < limit
            && let Some(value) = self.next()
        {
            buffer.push(value);
            count += 1;
        }
        self.publish();
        count
    }

    #[inline(always)]
    fn publish(&self) {
        self.ring.ends.head.store(self.head, Ordering::Release);
    }

    fn position(&self) -> usize {
        self.head
    }

    #[inline(always)]
    fn left(&self) -> usize {
        self.ring.ends.tail.load(Ordering::Relaxed).wrapping_sub(self.head)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // Rule 4.
        self.publish();
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let tail = self.ends.tail.load(Ordering::Relaxed);
        let mut head = self.ends.head.load(Ordering::Relaxed);
        while head != tail {
            let slot = self.slot(head);
            if slot.stamp.load(Ordering::Relaxed) == full(head) {
                // SAFETY: rule 5.
                slot.value.with_mut(|place| unsafe { (*place).assume_init_drop() });
            }
            head = head.wrapping_add(1);
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("ends", &self.ring.ends).finish_non_exhaustive()
    }
}
