//! The end that messages go in by.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ring::Producer;
use crate::channel::blocking::block_on;
use crate::channel::error::{SendError, TrySendError};
use crate::channel::later;
use crate::channel::patience::Patience;
use crate::executor::budget;

/// The only sender of a channel; made by [`channel`](super::channel()).
///
/// It may be on any thread, in a task of any runtime or in none. Dropping it ends the channel: the receiver gets what
/// was sent, and then `None`.
pub struct Sender<T> {
    ring: Producer<T>,
    /// The turn in which the channel was noted, to be looked at when that ends.
    noted: u64,
    patience: Patience,
}

impl<T> Sender<T> {
    pub(super) fn new(ring: Producer<T>) -> Self {
        Self { ring, noted: later::NEVER, patience: Patience::new() }
    }

    /// Sends a message, and waits while there is no room.
    ///
    /// If the future is dropped before it is done, the message was not sent, and is dropped with it;
    /// [`Sending::take_back`] gets it out first.
    ///
    /// # Errors
    ///
    /// The message, if the receiver was dropped.
    #[inline]
    pub fn send(&mut self, value: T) -> Sending<'_, T> {
        Sending { sender: self, value: Some(value) }
    }

    /// Sends a message, if there is room.
    ///
    /// # Errors
    ///
    /// The message, if there is no room, or the receiver was dropped.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        match self.ring.place() {
            Some(place) => place.fill(value),
            None => return Err(TrySendError::Full(value)),
        }
        self.changed();
        Ok(())
    }

    /// Sends all that an iterator gives, and waits whenever there is no room. What there is room for is shown to the
    /// receiver together, which costs less than one by one.
    ///
    /// A message is taken out of the iterator only when there is room for it. So if the future is dropped, what it
    /// took is sent, and what it did not is still in the iterator.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped; what was not sent is still in the iterator.
    pub async fn send_many(
        &mut self,
        values: &mut impl ExactSizeIterator<Item = T>,
    ) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_send_many(values, cx)).await
    }

    /// Sends what an iterator gives, as far as there is room; how many. The others are still in the iterator.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped.
    pub fn try_send_many(
        &mut self,
        values: &mut impl Iterator<Item = T>,
    ) -> Result<usize, SendError<()>> {
        if self.is_closed() {
            return Err(SendError(()));
        }
        Ok(self.push_all(values))
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
    pub fn blocking_send(&mut self, value: T) -> Result<(), SendError<T>> {
        let mut value = Some(value);
        block_on("spsc::Sender::blocking_send", |cx| self.poll_send(&mut value, cx))
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
        &mut self,
        values: &mut impl ExactSizeIterator<Item = T>,
    ) -> Result<(), SendError<()>> {
        block_on("spsc::Sender::blocking_send_many", |cx| self.poll_send_many(values, cx))
    }

    /// Whether the receiver was dropped.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.ends().receiver.is_gone()
    }

    /// How many messages may wait.
    pub fn capacity(&self) -> usize {
        self.ring.ends().capacity
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.ring.ends().len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn poll_send(
        &mut self,
        held: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Out of the future before anything else: then the compiler sees that what was just put there need not be.
        let value = held.take().expect("a send was polled after it was done");
        if self.is_closed() {
            return Poll::Ready(Err(SendError(value)));
        }
        let Some(place) = self.ring.place() else {
            *held = Some(value);
            return self.poll_full(held, cx);
        };
        let units = place.units();
        if units > 0 && budget::proceed_by(units, cx).is_pending() {
            *held = Some(value);
            return Poll::Pending;
        }
        place.fill(value);
        self.changed();
        Poll::Ready(Ok(()))
    }

    /// Waits for room for a message, and sends it.
    #[cold]
    fn poll_full(
        &mut self,
        held: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        ready!(budget::proceed(cx));
        while ready!(self.wait(cx)).is_ok() {
            if let Some(place) = self.ring.place() {
                place.fill(held.take().expect("it was not sent"));
                self.changed();
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(Err(SendError(held.take().expect("it was not sent"))))
    }

    fn poll_send_many(
        &mut self,
        values: &mut impl ExactSizeIterator<Item = T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        while values.len() > 0 {
            ready!(budget::proceed(cx));
            ready!(self.poll_room(cx))?;
            if self.push_all(values) == 0 {
                // The iterator had promised more than it had.
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts in what the iterator gives, as far as there is room; how many.
    fn push_all(&mut self, values: &mut impl Iterator<Item = T>) -> usize {
        // Looks who waits also if the iterator panics: what it gave before is sent.
        let filling = Filling { sender: self };
        filling.sender.ring.push_all(values)
    }

    /// Waits until there is room, or the receiver gone.
    #[inline(always)]
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        if self.is_closed() {
            return Poll::Ready(Err(SendError(())));
        }
        if self.ring.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx)
    }

    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        // For more than one, or each message would have both cores ask for the same line.
        let enough = self.capacity().div_ceil(8);
        if self.patience.look(|| self.ring.look() / enough) || self.ring.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.patience.wait_at(self.ring.position());
        let ends = self.ring.ends();
        ends.sender.wait(cx.waker());
        // It has a fence, so it makes up for those that were left out.
        ends.receiver.wake();
        let result = match (self.is_closed(), self.ring.has_room()) {
            (true, _) => Err(SendError(())),
            (false, false) => return Poll::Pending,
            (false, true) => Ok(()),
        };
        self.ring.ends().sender.stop();
        Poll::Ready(result)
    }

    /// Something was put in: whoever waits for it is to be woken.
    #[inline(always)]
    fn changed(&mut self) {
        if self.noted != later::turn() {
            self.noted = later::note(self.ring.ends());
        }
        self.ring.ends().receiver.wake();
    }
}

/// Messages of an iterator are being put in.
struct Filling<'a, T> {
    sender: &'a mut Sender<T>,
}

impl<T> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        self.sender.changed();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let ends = self.ring.ends();
        ends.sender.leave();
        ends.receiver.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("spsc::Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'a, T> {
    sender: &'a mut Sender<T>,
    value: Option<T>,
}

/// The message is moved, never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    /// The message, if it was not sent; then there is nothing left to do.
    ///
    /// ```
    /// use annulus::channel::spsc;
    /// use annulus::time::{Duration, timeout};
    ///
    /// annulus::run(async {
    ///     let (mut sender, mut receiver) = spsc::channel(1);
    ///     sender.send("first").await.unwrap();
    ///     let mut sending = sender.send("second");
    ///     assert!(timeout(Duration::from_millis(1), &mut sending).await.is_err());
    ///     assert_eq!(sending.take_back(), Some("second"));
    ///     assert_eq!(receiver.recv().await, Some("first"));
    ///     Ok::<_, std::io::Error>(())
    /// })
    /// # .unwrap();
    /// ```
    pub fn take_back(&mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.sender.poll_send(&mut this.value, cx)
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("spsc::Sending").finish_non_exhaustive()
    }
}
