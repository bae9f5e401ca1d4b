//! The end that messages go in by, of which there may be many.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ring::{Claim, Ring};
use crate::channel::adaptive_spin;
use crate::channel::blocking::block_on;
use crate::channel::error::{SendError, TrySendError};
use crate::channel::intake::Ends;
use crate::channel::later;
use crate::executor::budget;
use crate::loom::Arc;
use crate::loom::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A sender of a channel; made by [`channel`](super::channel()), and cloned.
///
/// It may be on any thread, in a task of any runtime or in none, and shared by several. When the last is dropped the
/// receiver gets what was sent, and then `None`. Clones serve better than a shared one: each keeps notes of its own.
pub struct Sender<T> {
    ring: Arc<Ring<T>>,
    /// What the receiver's index was when it was last looked at.
    head: AtomicUsize,
    /// The turn in which the channel was noted, to be looked at when that ends. A number that is this thread's was
    /// stored by it, so nothing is ordered by it.
    noted: AtomicU64,
    /// Where in the ring one of its sends last waited; nothing is ordered by it.
    waited_at: AtomicUsize,
}

impl<T> Sender<T> {
    /// One that is counted already.
    pub(super) fn new(ring: Arc<Ring<T>>) -> Self {
        let head = AtomicUsize::new(ring.ends.head.load(Ordering::Acquire));
        Self { ring, head, noted: AtomicU64::new(later::NEVER), waited_at: AtomicUsize::new(0) }
    }

    /// Sends a message, and waits while there is no room, in the order of those who wait.
    ///
    /// If the future is dropped before it is done, the message was not sent, and is dropped with it;
    /// [`Sending::take_back`] gets it out first.
    ///
    /// # Errors
    ///
    /// The message, if the receiver was dropped.
    #[inline]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending { turn: Turn { sender: self, ticket: None }, value: Some(value) }
    }

    /// Sends a message, if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// The message, if there is no room, or the receiver was dropped.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if self.ring.ends.line.is_used() {
            return Err(TrySendError::Full(value));
        }
        self.push(value).map_err(TrySendError::Full)
    }

    /// Sends all that an iterator gives, and waits whenever there is no room. What there is room for is sent
    /// together, without those of other senders between, and costs less than one by one.
    ///
    /// A message is taken out of the iterator only when there is room for it. So if the future is dropped, what it
    /// took is sent, and what it did not is still in the iterator.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped; what was not sent is still in the iterator.
    pub async fn send_many(
        &self,
        values: &mut impl ExactSizeIterator<Item = T>,
    ) -> Result<(), SendError<()>> {
        let mut turn = Turn { sender: self, ticket: None };
        poll_fn(|cx| turn.poll_send_many(values, cx)).await
    }

    /// Sends what an iterator gives, as far as there is room and nobody waits for it; how many. The others are still
    /// in the iterator.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped.
    pub fn try_send_many(
        &self,
        values: &mut impl ExactSizeIterator<Item = T>,
    ) -> Result<usize, SendError<()>> {
        if self.is_closed() {
            return Err(SendError(()));
        }
        if self.ring.ends.line.is_used() {
            return Ok(0);
        }
        Ok(self.push_all(values).unwrap_or(0))
    }

    /// As [`send`](Self::send), for a thread without a runtime: it sleeps while there is no room.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// Inside a runtime.
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        let mut sending = self.send(value);
        block_on("mpsc::Sender::blocking_send", |cx| Pin::new(&mut sending).poll(cx))
    }

    /// As [`send_many`](Self::send_many), for a thread without a runtime: it sleeps while there is no room.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// Inside a runtime.
    #[track_caller]
    pub fn blocking_send_many(
        &self,
        values: &mut impl ExactSizeIterator<Item = T>,
    ) -> Result<(), SendError<()>> {
        let mut turn = Turn { sender: self, ticket: None };
        block_on("mpsc::Sender::blocking_send_many", |cx| turn.poll_send_many(values, cx))
    }

    /// Whether the receiver was dropped.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends.receiver.is_gone()
    }

    /// How many messages may wait.
    pub fn capacity(&self) -> usize {
        self.ring.ends.capacity
    }

    /// How many messages wait, with those that are just being sent.
    pub fn len(&self) -> usize {
        self.ring.ends.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a value in, if there is room.
    #[inline]
    fn push(&self, value: T) -> Result<(), T> {
        let Some(mut claim) = self.ring.claim(1, &self.head) else { return Err(value) };
        claim.fill(value);
        drop(claim);
        self.changed();
        Ok(())
    }

    /// Puts in what the iterator gives, as far as there is room; how many, or `None` if there is no room.
    fn push_all(&self, values: &mut impl ExactSizeIterator<Item = T>) -> Option<usize> {
        let wanted = values.len();
        if wanted == 0 {
            return Some(0);
        }
        let claim = self.ring.claim(wanted, &self.head)?;
        // Looks who waits also if the iterator panics: what is void has to be passed over.
        let mut filling = Filling { claim: Some(claim), sender: self };
        let mut count = 0;
        while let Some(claim) = &mut filling.claim
            && claim.len() > 0
            && let Some(value) = values.next()
        {
            claim.fill(value);
            count += 1;
        }
        Some(count)
    }

    /// Something was put in: whoever waits for it is to be woken.
    #[inline]
    fn changed(&self) {
        if self.noted.load(Ordering::Relaxed) != later::turn() {
            self.noted.store(later::note(&self.ring.ends), Ordering::Relaxed);
        }
        self.ring.ends.receiver.wake();
    }
}

/// Positions that an iterator fills.
struct Filling<'a, T> {
    claim: Option<Claim<'a, T>>,
    sender: &'a Sender<T>,
}

impl<T> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        drop(self.claim.take());
        self.sender.changed();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.ring.ends.add_sender();
        Self::new(Arc::clone(&self.ring))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.ring.ends.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A place in the line, once there was no room. Dropped, it is left.
struct Turn<'a, T> {
    sender: &'a Sender<T>,
    ticket: Option<u64>,
}

impl<T> Turn<'_, T> {
    /// Calls `push` when it is its turn, until that gives something; `Err` if the receiver is gone.
    #[inline]
    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut push: impl FnMut(&Sender<T>) -> Option<R>,
    ) -> Poll<Result<R, SendError<()>>> {
        if self.sender.is_closed() {
            self.leave();
            return Poll::Ready(Err(SendError(())));
        }
        let line = &self.sender.ring.ends.line;
        let is_next = match self.ticket {
            None => !line.is_used(),
            Some(ticket) => line.is_called(ticket),
        };
        if is_next && let Some(result) = push(self.sender) {
            self.leave();
            return Poll::Ready(Ok(result));
        }
        self.wait(cx)
    }

    #[cold]
    fn wait<R>(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, SendError<()>>> {
        let ends = &self.sender.ring.ends;
        let position = ends.tail.load(Ordering::Relaxed);
        adaptive_spin::wait_at(position, self.sender.waited_at.load(Ordering::Relaxed));
        self.sender.waited_at.store(position, Ordering::Relaxed);
        self.ticket = Some(ends.line.join(self.ticket, cx.waker()));
        // It has a fence, so it makes up for those that were left out. If there is room by now, it is us who are
        // called, or those before us; if the receiver is gone, all are.
        ends.wake_senders();
        ends.receiver.wake();
        Poll::Pending
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.sender.ring.ends.line.leave(ticket);
            self.sender.ring.ends.wake_senders();
        }
    }

    fn poll_send_many(
        &mut self,
        values: &mut impl ExactSizeIterator<Item = T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        while values.len() > 0 {
            ready!(budget::proceed(cx));
            if ready!(self.poll(cx, |sender| sender.push_all(values)))? == 0 {
                // The iterator had promised more than it had.
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'a, T> {
    turn: Turn<'a, T>,
    value: Option<T>,
}

/// The message is moved, never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    /// The message, if it was not sent; then there is nothing left to do.
    pub fn take_back(&mut self) -> Option<T> {
        self.turn.leave();
        self.value.take()
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { turn, value } = &mut *self;
        ready!(budget::proceed(cx));
        assert!(value.is_some(), "a send was polled after it was done");
        let sent = ready!(turn.poll(cx, |sender| {
            let result = sender.push(value.take()?);
            result.map_err(|back| *value = Some(back)).ok()
        }));
        Poll::Ready(match (sent, value.take()) {
            (Err(SendError(())), Some(value)) => Err(SendError(value)),
            _ => Ok(()),
        })
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Sending").finish_non_exhaustive()
    }
}
