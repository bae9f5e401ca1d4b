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
//! 6. Slots. Their number is a power of two, so a remainder by it is an index of one.
#![allow(unsafe_code, reason = "a listed lock-free structure: slots shared by two threads")]

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc as EndsArc;

use super::ends::Ends;
use crate::channel::intake::Outlet;
use crate::loom::atomic::Ordering;
use crate::loom::{Arc, UnsafeCell};

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

pub(super) struct Ring<T> {
    pub(super) ends: EndsArc<Ends>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: rules 1 to 3; a value is moved from one thread to the other, never shared.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; whoever drops the ring drops values of another thread.
unsafe impl<T: Send> Send for Ring<T> {}

/// The end that writes.
pub(super) struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// Those of the ring, by a shorter way.
    ends: EndsArc<Ends>,
    /// What `head + capacity` was when it was last looked at: the position that is not free any more.
    limit: usize,
}

/// The end that reads.
pub(super) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// Those of the ring, by a shorter way.
    ends: EndsArc<Ends>,
    head: usize,
    /// What `tail` was when it was last looked at.
    tail: usize,
}

/// A ring in which at most `capacity` values wait.
pub(super) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    let ends = Ends::new(capacity);
    let ring = Arc::new(Ring { ends: EndsArc::clone(&ends), slots: slots.collect() });
    let (for_producer, producers_ends) = (Arc::clone(&ring), EndsArc::clone(&ends));
    let producer = Producer { ring: for_producer, ends: producers_ends, limit: capacity };
    (producer, Consumer { ring, ends, head: 0, tail: 0 })
}

impl<T> Ring<T> {
    #[inline(always)]
    fn slot(&self, position: usize) -> &Slot<T> {
        // SAFETY: rule 6.
        unsafe { self.slots.get_unchecked(position & (self.slots.len() - 1)) }
    }

    /// The slots of `count` positions from this one on, at most all of them: in two pieces, where they go round.
    fn parts(&self, position: usize, count: usize) -> [&[Slot<T>]; 2] {
        let start = position & (self.slots.len() - 1);
        let first = count.min(self.slots.len() - start);
        [&self.slots[start..start + first], &self.slots[..count - first]]
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

    /// How many values there is room for by now.
    pub(super) fn look(&mut self) -> usize {
        let ends = &self.ends;
        self.limit = ends.head.load(Ordering::Acquire).wrapping_add(ends.capacity);
        self.limit.wrapping_sub(self.tail())
    }

    /// The next place, if there is room.
    #[inline(always)]
    pub(super) fn place(&mut self) -> Option<Place<'_, T>> {
        let tail = self.tail();
        (tail != self.limit || self.look() > 0).then_some(Place { producer: self, tail })
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
        for part in producer.ring.parts(*tail, room) {
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

    #[inline(always)]
    fn publish(&self, tail: usize) {
        self.ends.tail.store(tail, Ordering::Release);
    }
}

/// Room for a value.
pub(super) struct Place<'a, T> {
    producer: &'a mut Producer<T>,
    tail: usize,
}

impl<T> Place<'_, T> {
    /// Puts the value in, visible at once.
    #[inline(always)]
    pub(super) fn fill(self, value: T) {
        let Self { producer, tail } = self;
        // SAFETY: rule 3, which was checked when this was made, and the producer is borrowed since; nothing is
        // overwritten that would have to be dropped.
        producer.ring.slot(tail).with_mut(|slot| unsafe { (*slot).write(value) });
        producer.publish(tail.wrapping_add(1));
    }
}

/// Values are being put in, up to `tail`.
struct Writing<'a, T> {
    producer: &'a mut Producer<T>,
    tail: usize,
}

impl<T> Drop for Writing<'_, T> {
    fn drop(&mut self) {
        self.producer.publish(self.tail);
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
        // SAFETY: rule 2; it is read once, for `head` moves on.
        let value = self.ring.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        Some(value)
    }

    fn take_into(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let seen = self.tail.wrapping_sub(self.head);
        let count = if seen < limit { self.ready().min(limit) } else { limit };
        // What may fail comes first.
        buffer.reserve(count);
        for part in self.ring.parts(self.head, count) {
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
        while head != tail {
            // SAFETY: rule 5.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("ends", &self.ring.ends).finish_non_exhaustive()
    }
}
