//! What the receivers of both kinds of channel do: take messages out, wait for them, and tell who waits for room.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::error::TryRecvError;
use super::later::{self, Look};
use super::parked::Parked;
use super::patience::Patience;
use crate::executor::budget;

/// What both ends of a ring see, as its receiver needs it.
pub(super) trait Ends: Look {
    /// The receiver's own word.
    fn receiver(&self) -> &Parked;
    /// Whether a sender waits for room.
    fn is_awaited(&self) -> bool;
    /// Wakes those for whom there is room.
    fn wake_senders(&self);
    /// Whether all senders were dropped.
    fn is_closed(&self) -> bool;
    fn capacity(&self) -> usize;
}

/// The reading end of a ring.
pub(super) trait Outlet {
    type Item;
    type Ends: Ends + 'static;

    fn ends(&self) -> &Arc<Self::Ends>;
    /// Whether a value was there at the last look.
    fn has_seen(&self) -> bool;
    /// How much of a task's budget the next value uses up: one each, or those of several together.
    fn units(&self) -> u64;
    /// Whether a value is there.
    fn is_ready(&mut self) -> bool;
    /// How many values are there, about: at least one unless the ring is empty.
    fn ready(&mut self) -> usize;
    /// Takes the first value out, without making its room known.
    fn next(&mut self) -> Option<Self::Item>;
    /// Moves up to `limit` values to the end of `buffer`, and makes their room known; how many.
    fn take_into(&mut self, buffer: &mut Vec<Self::Item>, limit: usize) -> usize;
    /// Makes known the room of what was taken out.
    fn publish(&self);
    /// How many values were taken out, ever.
    fn position(&self) -> usize;
    /// How many values are there now, about.
    fn left(&self) -> usize;
}

/// A receiver, but for its name.
#[derive(Debug)]
pub(super) struct Intake<O: Outlet> {
    outlet: O,
    /// The turn in which the channel was noted, to be looked at when that ends.
    noted: u64,
    patience: Patience,
}

impl<O: Outlet> Intake<O> {
    pub(super) fn new(outlet: O) -> Self {
        Self { outlet, noted: later::NEVER, patience: Patience::new() }
    }

    pub(super) fn ends(&self) -> &Arc<O::Ends> {
        self.outlet.ends()
    }

    #[inline(always)]
    pub(super) fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<O::Item>> {
        if !self.outlet.has_seen() {
            return self.poll_unseen(cx);
        }
        let units = self.outlet.units();
        if units > 0 {
            ready!(budget::proceed_by(units, cx));
        }
        match self.take_seen() {
            Some(value) => Poll::Ready(Some(value)),
            None => self.poll_unseen(cx),
        }
    }

    /// As [`poll_one`](Self::poll_one), after a look at what has come since the last.
    #[inline(never)]
    fn poll_unseen(&mut self, cx: &mut Context<'_>) -> Poll<Option<O::Item>> {
        ready!(budget::proceed(cx));
        self.gather();
        if self.outlet.is_ready() || ready!(self.wait(cx)) {
            return Poll::Ready(self.take_seen());
        }
        Poll::Ready(None)
    }

    #[inline(always)]
    pub(super) fn try_one(&mut self) -> Result<O::Item, TryRecvError> {
        match self.take() {
            Some(value) => Ok(value),
            None if self.is_ended() => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    pub(super) fn poll_many(
        &mut self,
        buffer: &mut Vec<O::Item>,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        ready!(budget::proceed(cx));
        ready!(self.poll_ready(cx));
        Poll::Ready(self.try_many(buffer, limit))
    }

    pub(super) fn try_many(&mut self, buffer: &mut Vec<O::Item>, limit: usize) -> usize {
        let count = self.outlet.take_into(buffer, limit);
        if count > 0 {
            self.changed();
        }
        count
    }

    /// What is there, to be taken one by one.
    pub(super) fn taken(&mut self) -> Taken<'_, O> {
        let left = self.outlet.ready();
        Taken { intake: self, left }
    }

    /// Refuses what comes, and drops what is there.
    pub(super) fn end(&mut self) {
        self.outlet.ends().receiver().leave();
        self.outlet.ends().wake_senders();
        // Here, and not where the last sender is dropped, if that is later; what is sent meanwhile goes with the
        // ring.
        while let Some(value) = self.outlet.next() {
            self.outlet.publish();
            drop(value);
        }
        self.outlet.publish();
    }

    #[inline(always)]
    fn take(&mut self) -> Option<O::Item> {
        if !self.outlet.has_seen() {
            self.gather();
        }
        self.take_seen()
    }

    #[inline(always)]
    fn take_seen(&mut self) -> Option<O::Item> {
        let value = self.outlet.next()?;
        self.outlet.publish();
        self.changed();
        Some(value)
    }

    #[inline(never)]
    fn gather(&mut self) {
        let capacity = self.ends().capacity();
        self.patience.gather(capacity, || self.outlet.ready());
    }

    /// Nothing is there and nothing will be.
    fn is_ended(&mut self) -> bool {
        // The ring after the word: what was sent before the end is seen.
        self.ends().is_closed() && !self.outlet.is_ready()
    }

    /// Waits until a message is there; `false` if none will come.
    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.outlet.is_ready() {
            return Poll::Ready(true);
        }
        self.wait(cx)
    }

    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.patience.look(|| self.outlet.ready()) {
            return Poll::Ready(true);
        }
        self.patience.wait_at(self.outlet.position());
        self.ends().receiver().wait(cx.waker());
        // It has a fence, so it makes up for those that were left out.
        self.ends().wake_senders();
        let is_ready = self.outlet.is_ready();
        if !is_ready && !self.ends().is_closed() {
            return Poll::Pending;
        }
        self.ends().receiver().stop();
        Poll::Ready(is_ready || !self.is_ended())
    }

    /// Something was taken out: a sender that waits for room is to be woken, when there is enough of it to be worth a
    /// wake-up, or at the end of the turn.
    #[inline(always)]
    fn changed(&mut self) {
        if self.noted != later::turn() {
            self.noted = later::note(self.outlet.ends());
        }
        let ends = self.outlet.ends();
        if ends.is_awaited() && self.outlet.left() <= ends.capacity() / 2 {
            ends.wake_senders();
        }
    }
}

/// Takes out what is there; the room is made known when it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a, O: Outlet> {
    intake: &'a mut Intake<O>,
    pub(super) left: usize,
}

impl<O: Outlet> Iterator for Taken<'_, O> {
    type Item = O::Item;

    #[inline]
    fn next(&mut self) -> Option<O::Item> {
        self.left = self.left.checked_sub(1)?;
        self.intake.outlet.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<O: Outlet> Drop for Taken<'_, O> {
    fn drop(&mut self) {
        self.intake.outlet.publish();
        self.intake.changed();
    }
}
