//! What the ends of a channel share.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::super::permits::Permits;
use super::super::until::until;
use super::super::waiters::{Place, Waiters};
use super::super::waker_slot::WakerSlot;
use super::ring::Ring;

/// A queue with so many slots. A message takes one before it is pushed, and its receiver puts it back.
pub(super) struct Channel<T> {
    queue: Ring<T>,
    /// The free ones; closed with the receiver.
    pub(super) slots: Permits,
    slot_count: usize,
    /// Slots held by permits, to be filled or put back.
    reserved: Cell<usize>,
    senders: Cell<usize>,
    receiver: WakerSlot,
    /// Senders that wait for the receiver to go.
    mourners: Waiters<()>,
}

impl<T> Channel<T> {
    pub(super) fn new(slot_count: usize) -> Self {
        Self {
            queue: Ring::new(slot_count),
            slots: Permits::new(slot_count),
            slot_count,
            reserved: Cell::new(0),
            senders: Cell::new(0),
            receiver: WakerSlot::default(),
            mourners: Waiters::new(),
        }
    }

    /// Fills a slot that the caller has taken.
    #[inline]
    pub(super) fn push(&self, value: T) {
        self.queue.push(value);
        self.receiver.wake();
    }

    /// Takes the first message out and puts its slot back.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let value = self.queue.pop();
        if value.is_some() {
            self.slots.put(1);
        }
        value
    }

    /// Counts a permit that holds a slot.
    pub(super) fn reserve(&self) {
        self.reserved.set(self.reserved.get() + 1);
    }

    /// A permit is used.
    pub(super) fn fulfil(&self, value: T) {
        self.reserved.set(self.reserved.get() - 1);
        self.push(value);
    }

    /// A permit is dropped.
    pub(super) fn release(&self) {
        self.reserved.set(self.reserved.get() - 1);
        self.slots.put(1);
        if self.is_closed() {
            // It may have waited for this one.
            self.receiver.wake();
        }
    }

    /// Whether the queue will stay empty once it is.
    pub(super) fn is_ended(&self) -> bool {
        self.senders.get() == 0 || self.is_closed() && self.reserved.get() == 0
    }

    #[inline]
    pub(super) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(value) = self.pop() {
            return Poll::Ready(Some(value));
        }
        self.poll_pop_again(cx)
    }

    /// The queue was just found empty.
    #[cold]
    fn poll_pop_again(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.is_ended() {
            return Poll::Ready(None);
        }
        self.receiver.keep(cx);
        // Asked again, because cloning a waker may run anything.
        match self.pop() {
            Some(value) => Poll::Ready(Some(value)),
            None if self.is_ended() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Refuses all messages from now on, except from permits.
    pub(super) fn close(&self) {
        self.slots.close();
        self.mourners.release_all(Place::Dismissed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.slots.is_closed()
    }

    /// Waits until the channel is closed.
    pub(super) async fn closed(&self) {
        until(&self.mourners, |_| self.is_closed().then_some(())).await;
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn slot_count(&self) -> usize {
        self.slot_count
    }
}

/// A sender's share in a channel. The queue ends with the last of them.
pub(super) struct Share<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Share<T> {
    pub(super) fn new(channel: Rc<Channel<T>>) -> Self {
        channel.senders.set(channel.senders.get() + 1);
        Self { channel }
    }

    #[inline]
    pub(super) fn channel(&self) -> &Channel<T> {
        &self.channel
    }

    pub(super) fn count(&self) -> usize {
        self.channel.senders.get()
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    pub(super) fn downgrade(&self) -> Weak<Channel<T>> {
        Rc::downgrade(&self.channel)
    }

    /// `None` if there is no sender any more.
    pub(super) fn upgrade(weak: &Weak<Channel<T>>) -> Option<Self> {
        weak.upgrade().filter(|channel| channel.senders.get() > 0).map(Self::new)
    }
}

impl<T> Clone for Share<T> {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.channel))
    }
}

impl<T> Drop for Share<T> {
    fn drop(&mut self) {
        let left = self.channel.senders.get() - 1;
        self.channel.senders.set(left);
        if left == 0 {
            self.channel.receiver.wake();
        }
    }
}
