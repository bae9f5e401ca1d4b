//! What all ends of a ring see, whatever it carries: the indices, and who waits.

use std::sync::Arc;

use super::line::Line;
use crate::channel::intake;
use crate::channel::later::Look;
use crate::channel::padded::Padded;
use crate::channel::parked::Parked;
use crate::loom::atomic::{AtomicUsize, Ordering, fence};

#[derive(Debug)]
pub(super) struct Ends {
    /// The next position that nobody has claimed; moved by senders.
    pub(super) tail: Padded<AtomicUsize>,
    /// Where the next value is taken from; written by the receiver.
    pub(super) head: Padded<AtomicUsize>,
    /// Rarely written, and read for each message.
    pub(super) receiver: Padded<Parked>,
    pub(super) line: Padded<Line>,
    /// How many senders there are.
    senders: Padded<AtomicUsize>,
    pub(super) capacity: usize,
}

impl Ends {
    /// With one sender.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            tail: Padded(AtomicUsize::new(0)),
            head: Padded(AtomicUsize::new(0)),
            receiver: Padded(Parked::new()),
            line: Padded(Line::new()),
            senders: Padded(AtomicUsize::new(1)),
            capacity,
        })
    }

    /// How many positions are claimed and not yet free again.
    pub(super) fn len(&self) -> usize {
        // The head first: it is never ahead of a tail that is read later.
        let head = self.head.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).wrapping_sub(head).min(self.capacity)
    }

    /// How many positions may be claimed. For calls: it asks for the tail's very last value, because one that is old
    /// would call a sender in vain, and that one look for room again.
    fn room(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let used = self.tail.fetch_add(0, Ordering::Relaxed).wrapping_sub(head);
        self.capacity - used.min(self.capacity)
    }

    pub(super) fn add_sender(&self) {
        // Relaxed: the one that is cloned keeps the channel open.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_sender(&self) {
        // AcqRel: what all of them sent is seen by who finds none left.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            fence(Ordering::SeqCst);
            self.receiver.wake();
        }
    }
}

impl intake::Ends for Ends {
    #[inline(always)]
    fn receiver(&self) -> &Parked {
        &self.receiver
    }

    #[inline(always)]
    fn is_awaited(&self) -> bool {
        self.line.is_used()
    }

    fn wake_senders(&self) {
        if self.line.is_used() {
            // Who is closed out needs no room to learn it.
            self.line.call(if self.receiver.is_gone() { usize::MAX } else { self.room() });
        }
    }

    fn is_closed(&self) -> bool {
        self.senders.load(Ordering::Acquire) == 0
    }

    #[inline(always)]
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Look for Ends {
    fn look(&self) {
        if self.receiver.is_waiting() && self.len() > 0 {
            self.receiver.wake();
        }
        intake::Ends::wake_senders(self);
    }
}
