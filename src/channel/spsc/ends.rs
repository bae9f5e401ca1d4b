//! What both ends of a ring see, whatever it carries: the indices, and who waits.

use std::sync::Arc;

use crate::channel::intake;
use crate::channel::later::Look;
use crate::channel::padded::Padded;
use crate::channel::parked::Parked;
use crate::loom::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Ends {
    /// Where the next value goes; written by the sender.
    pub(super) tail: Padded<AtomicUsize>,
    /// Where the next value is taken from; written by the receiver.
    pub(super) head: Padded<AtomicUsize>,
    /// Rarely written, and read for each message.
    pub(super) receiver: Padded<Parked>,
    pub(super) sender: Padded<Parked>,
    pub(super) capacity: usize,
}

impl Ends {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            tail: Padded(AtomicUsize::new(0)),
            head: Padded(AtomicUsize::new(0)),
            receiver: Padded(Parked::new()),
            sender: Padded(Parked::new()),
            capacity,
        })
    }

    /// How many values lie in the ring.
    pub(super) fn len(&self) -> usize {
        // The head first: it is never ahead of a tail that is read later.
        let head = self.head.load(Ordering::Relaxed);
        self.tail.load(Ordering::Relaxed).wrapping_sub(head).min(self.capacity)
    }
}

impl intake::Ends for Ends {
    #[inline(always)]
    fn receiver(&self) -> &Parked {
        &self.receiver
    }

    #[inline(always)]
    fn is_awaited(&self) -> bool {
        self.sender.is_waiting()
    }

    fn wake_senders(&self) {
        self.sender.wake();
    }

    fn is_closed(&self) -> bool {
        self.sender.is_gone()
    }

    #[inline(always)]
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Look for Ends {
    fn look(&self) {
        // The words first: they change only around a wait, and the indices are written for each message.
        if self.receiver.is_waiting() && self.len() > 0 {
            self.receiver.wake();
        }
        if self.sender.is_waiting() && self.len() < self.capacity {
            self.sender.wake();
        }
    }
}
