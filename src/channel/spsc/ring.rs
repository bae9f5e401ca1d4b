//! The ring of one sender and one receiver.
//!
//! Positions count up for ever, modulo the word; a position's slot is its remainder by the number of slots, a power
//! of two. Each end writes one index, on a cache line of its own, and keeps a copy of the other's, which it renews
//! only when the ring looks full or empty by the copy. So while both are busy, a message costs neither a
//! read-modify-write nor, mostly, a line that the other end has.
//!
//! # Safety rules
//!
//! 1. Ends. A ring has one [`Producer`] and one [`Consumer`], made with it, neither of which can be cloned. What
//!    changes an index takes its end by `&mut`. Only the producer writes `tail`, only the consumer `head`.
//! 2. Full. The slots at `head..tail` hold values, which are the consumer's. It reads `tail` with Acquire, which the
//!    producer stored with Release after it had written them.
//! 3. Free. The slots at `tail..head + capacity` hold nothing and are the producer's, for `capacity` is at most the
//!    number of slots. It reads `head` with Acquire, which the consumer stored with Release after it had moved the
//!    values out.
//! 4. Own copies. `Writing::tail` and `Consumer::head` may be ahead of the shared index by what is not published
//!    yet: written by the producer, or moved out by the consumer. They are published before the end is dropped.
//! 5. Last. The ring is dropped when both ends are; then it drops what lies at `head..tail`, once.
//! 6. Slots. Their number is a power of two, so a remainder by it is an index of one. Both ends have a pointer to
//!    them, and hold the ring, which owns them, moves them nowhere and drops them last: so it is valid while an end is.
#![allow(unsafe_code, reason = "a listed lock-free structure: slots shared by two threads")]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc as EndsArc;

use super::ends::Ends;
use crate::channel::intake::Outlet;
use crate::channel::prefetch;
use crate::loom::atomic::Ordering;
use crate::loom::{Arc, UnsafeCell};

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

pub(super) struct Ring<T> {
    ends: EndsArc<Ends>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: rules 1 to 3; a value is moved from one thread to the other, never shared.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; whoever drops the ring drops values of another thread.
unsafe impl<T: Send> Send for Ring<T> {}

/// Where the slots of a ring are. Each end has it for itself: on the way by the ring, a message would wait for one more
/// line, which may well lie beside something that the other core writes (`mesh`, `spsc`).
struct Slots<T> {
    first: NonNull<Slot<T>>,
    /// Their number less one.
    mask: usize,
}

// SAFETY: rules 1 to 3, as for the ring.
unsafe impl<T: Send> Sync for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Slots<T> {}

/// The end that writes.
pub(super) struct Producer<T> {
    slots: Slots<T>,
    /// Those of the ring, by a shorter way.
    ends: EndsArc<Ends>,
    /// Keeps the slots.
    _ring: Arc<Ring<T>>,
    /// What `head + capacity` was when it was last looked at: the position that is not free any more.
    limit: usize,
}

/// The end that reads.
pub(super) struct Consumer<T> {
    slots: Slots<T>,
    /// Those of the ring, by a shorter way.
    ends: EndsArc<Ends>,
    /// Keeps the slots.
    _ring: Arc<Ring<T>>,
    head: usize,
    /// What `tail` was when it was last looked at.
    tail: usize,
}

/// A ring in which at most `capacity` values wait.
pub(super) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    let ends = Ends::new(capacity);
    let ring = Arc::new(Ring { ends: EndsArc::clone(&ends), slots: slots.collect() });
    let producer = Producer {
        slots: Slots::of(&ring),
        ends: EndsArc::clone(&ends),
        _ring: Arc::clone(&ring),
        limit: capacity,
    };
    (producer, Consumer { slots: Slots::of(&ring), ends, _ring: ring, head: 0, tail: 0 })
}

/// How much of a task's budget the value at a position uses up: the first of a group what all of it does, for to count
/// each would be a store a value (`mesh`, `spsc`).
#[inline(always)]
fn units(position: usize) -> u64 {
    if position.is_multiple_of(prefetch::GROUP) { prefetch::GROUP as u64 } else { 0 }
}

impl<T> Slots<T> {
    fn of(ring: &Ring<T>) -> Self {
        Self { first: NonNull::from(&*ring.slots).cast(), mask: ring.slots.len() - 1 }
    }

    #[inline(always)]
    fn at(&self, position: usize) -> &Slot<T> {
        // SAFETY: rule 6.
        unsafe { self.first.add(position & self.mask).as_ref() }
    }

    /// The slots of `count` positions from this one on, at most all of them: in two pieces, where they go round.
    fn parts(&self, position: usize, count: usize) -> [&[Slot<T>]; 2] {
        // SAFETY: rule 6.
        let all = unsafe { slice::from_raw_parts(self.first.as_ptr(), self.mask + 1) };
        let start = position & self.mask;
        let first = count.min(all.len() - start);
        [&all[start..start + first], &all[..count - first]]
    }
}

impl<T> Producer<T> {
    #[inline(always)]
    pub(super) fn ends(&self) -> &EndsArc<Ends> {
        &self.ends
    }

    /// Where the next value goes. Read from the shared index, which is ours: a copy would be one more store for each
    /// value, and stores are what a value costs (`mesh`, `spsc`).
    #[inline(always)]
    fn tail(&self) -> usize {
        self.ends.tail.load(Ordering::Relaxed)
    }

    /// Whether there is room for a value.
    #[inline(always)]
    pub(super) fn has_room(&mut self) -> bool {
        self.tail() != self.limit || self.look() > 0
    }

    /// How many values were put in, ever.
    #[inline(always)]
    pub(super) fn position(&self) -> usize {
        self.tail()
    }

    /// How many values there is room for by now. Rare, so a function of its own.
    #[inline(never)]
    pub(super) fn look(&mut self) -> usize {
        let ends = &self.ends;
        self.limit = ends.head.load(Ordering::Acquire).wrapping_add(ends.capacity);
        self.limit.wrapping_sub(self.tail())
    }

    /// The next place, if there is room.
    #[inline(always)]
    pub(super) fn place(&mut self) -> Option<Place<'_, T>> {
        let tail = self.tail();
        if tail == self.limit && self.look() == 0 {
            return None;
        }
        if prefetch::is_due(tail, self.limit.wrapping_sub(tail)) {
            prefetch::group(tail, |position| self.slots.at(position), prefetch::to_write);
        }
        Some(Place { slot: self.slots.at(tail), ends: &self.ends, tail })
    }

    /// Puts in what the iterator gives while there is room; how many.
    pub(super) fn push_all(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        let before = self.tail();
        let mut room = self.limit.wrapping_sub(before);
        if room == 0 || room < values.size_hint().0 {
            room = self.look();
        }
        // Publishes what was written, also if the iterator panics.
        let mut writing = Writing { producer: self, tail: before };
        let Writing { producer, tail } = &mut writing;
        for part in producer.slots.parts(*tail, room) {
            let end = tail.wrapping_add(part.len());
            // The slot first: a value is taken out only when there is one.
            for (slot, value) in part.iter().zip(&mut *values) {
                // SAFETY: rule 3; nothing is overwritten that would have to be dropped.
                slot.with_mut(|slot| unsafe { (*slot).write(value) });
                *tail = tail.wrapping_add(1);
            }
            // An iterator that has ended may not go on: the second part comes after all of the first.
            if *tail != end {
                break;
            }
        }
        writing.tail.wrapping_sub(before)
    }
}

/// Room for a value.
pub(super) struct Place<'a, T> {
    slot: &'a Slot<T>,
    ends: &'a Ends,
    tail: usize,
}

impl<T> Place<'_, T> {
    /// How much of a task's budget the value uses up.
    #[inline(always)]
    pub(super) fn units(&self) -> u64 {
        units(self.tail)
    }

    /// Puts the value in, visible at once.
    #[inline(always)]
    pub(super) fn fill(self, value: T) {
        let Self { slot, ends, tail } = self;
        // SAFETY: rule 3, which was checked when this was made, and the producer is borrowed since; nothing is
        // overwritten that would have to be dropped.
        slot.with_mut(|slot| unsafe { (*slot).write(value) });
        ends.tail.store(tail.wrapping_add(1), Ordering::Release);
    }
}

/// Values are being put in, up to `tail`.
struct Writing<'a, T> {
    producer: &'a mut Producer<T>,
    tail: usize,
}

impl<T> Drop for Writing<'_, T> {
    fn drop(&mut self) {
        self.producer.ends.tail.store(self.tail, Ordering::Release);
    }
}

impl<T> Outlet for Consumer<T> {
    type Item = T;
    type Ends = Ends;

    #[inline(always)]
    fn ends(&self) -> &EndsArc<Ends> {
        &self.ends
    }

    #[inline(always)]
    fn has_seen(&self) -> bool {
        self.tail != self.head
    }

    #[inline(always)]
    fn units(&self) -> u64 {
        units(self.head)
    }

    #[inline(always)]
    fn is_ready(&mut self) -> bool {
        self.tail != self.head || self.ready() > 0
    }

    #[inline(always)]
    fn ready(&mut self) -> usize {
        self.tail = self.ends.tail.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head)
    }

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        if !self.is_ready() {
            return None;
        }
        if prefetch::is_due(self.head, self.tail.wrapping_sub(self.head)) {
            prefetch::group(self.head, |position| self.slots.at(position), prefetch::to_read);
        }
        // SAFETY: rule 2; it is read once, for `head` moves on.
        let value = self.slots.at(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        Some(value)
    }

    fn take_into(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let seen = self.tail.wrapping_sub(self.head);
        let count = if seen < limit { self.ready().min(limit) } else { limit };
        // What may fail comes first.
        buffer.reserve(count);
        for part in self.slots.parts(self.head, count) {
            // SAFETY: rule 2; each is read once, for `head` moves on below, and nothing between can fail.
            let read = |slot: &Slot<T>| slot.with(|slot| unsafe { (*slot).assume_init_read() });
            buffer.extend(part.iter().map(read));
        }
        self.head = self.head.wrapping_add(count);
        self.publish();
        count
    }

    #[inline(always)]
    fn publish(&self) {
        self.ends.head.store(self.head, Ordering::Release);
    }

    fn position(&self) -> usize {
        self.head
    }

    fn left(&self) -> usize {
        self.ends.tail.load(Ordering::Relaxed).wrapping_sub(self.head)
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
        let slots = Slots::of(self);
        while head != tail {
            // SAFETY: rule 5.
            slots.at(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("ends", &self.ends).finish_non_exhaustive()
    }
}
