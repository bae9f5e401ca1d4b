//! Who reads from a stream: a future with a place among its readers, or a poll without one.

use std::cell::RefMut;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::arrivals::{Arrival, POLLED, State};
use super::line::Line;
use super::receive::{arm, busy};

/// A place among the readers of a stream, which is one place: dropping it gives it up.
///
/// While one task waits, another that polls gets `ResourceBusy`; the first is woken then, so that a reader that
/// was forgotten holds its place no longer than that. See [`poll_take`] for those that wait without a place.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub(super) line: &'a Rc<Line>,
    /// Zero until it waits for the first time.
    id: u32,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(line: &'a Rc<Line>) -> Self {
        Self { line, id: 0 }
    }

    /// Takes what arrived, or arms the receive if need be and waits.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Arrival> {
        let mut state = self.line.arrivals.state.borrow_mut();
        if let Some(chunk) = state.take() {
            if state.waiting().is_none() {
                // The arrival took what we had registered: our drop has nothing to look for.
                self.id = 0;
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(end) = state.take_end() {
            return Poll::Ready(end);
        }
        if state.waiting().is_none() && state.armed.is_armed() {
            self.register(state, cx);
            return Poll::Pending;
        }
        match self.wait(state, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Resolves once there is something to take.
    pub(crate) fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let state = self.line.arrivals.state.borrow_mut();
        if state.is_ready() {
            return Poll::Ready(Ok(()));
        }
        match self.wait(state, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// As `poll_take` and `poll_ready` do, whoever else waits and whether or not the receive is armed.
    fn wait(&mut self, mut state: RefMut<'a, State>, cx: &Context<'_>) -> io::Result<()> {
        if let Some(reader) = state.waiting() {
            let same_task = reader.waker.will_wake(cx.waker());
            if same_task && reader.id == self.id {
                return Ok(());
            }
            if !same_task && reader.id != self.id {
                let may_be_gone = reader.id == POLLED;
                let other = state.reader.take();
                drop(state);
                let driver = self.line.fd.driver();
                driver.catching(|| other.into_iter().for_each(|other| other.waker.wake()));
                if !may_be_gone {
                    return Err(busy("another task is reading from this stream"));
                }
                state = self.line.arrivals.state.borrow_mut();
            }
        }
        if !state.armed.is_armed() {
            if state.queued.is_due(self.line.fd.driver()) {
                drop(state);
                if self.wait_for_a_buffer(cx)? {
                    return Ok(());
                }
                state = self.line.arrivals.state.borrow_mut();
            }
            if !state.armed.is_armed() {
                arm(self.line, &mut state)?;
            }
        }
        self.register(state, cx);
        Ok(())
    }

    /// Waits in the stream's place in the queue for a buffer, or in a new one; false if that place had its turn.
    #[cold]
    fn wait_for_a_buffer(&mut self, cx: &Context<'_>) -> io::Result<bool> {
        let waker = cx.waker().clone();
        let driver = self.line.fd.driver();
        let mut state = self.line.arrivals.state.borrow_mut();
        if self.id == 0 {
            self.id = state.next_id();
        }
        let other = state.queued.take_other(driver, self.id);
        if other.as_ref().is_some_and(|other| !other.will_wake(cx.waker())) {
            drop(state);
            driver.catching(|| other.into_iter().for_each(Waker::wake));
            return Err(busy("another task is reading from this stream"));
        }
        let joined = state.queued.join(driver, self.id, waker);
        drop(state);
        Ok(joined.is_ok())
    }

    /// Takes the reader's place: the task of `cx` is woken by the next arrival.
    #[inline]
    fn register(&mut self, mut state: RefMut<'_, State>, cx: &Context<'_>) {
        if self.id == 0 {
            self.id = state.next_id();
        }
        self.line.arrivals.register(state, self.id, cx);
    }
}

impl Drop for Reading<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.id != 0 {
            self.line.arrivals.leave(self.line.fd.driver(), self.id);
        }
    }
}

/// Takes what arrived, or has the task of `cx` woken when something does, as [`Reading::poll_take`] does for a future.
///
/// Nothing is to be dropped: who polls last is woken. A later future takes the place, for who polled may be gone.
#[inline]
pub(crate) fn poll_take(line: &Rc<Line>, cx: &Context<'_>) -> Poll<Arrival> {
    let mut reading = Reading { line, id: POLLED };
    let arrival = reading.poll_take(cx);
    reading.id = 0;
    arrival
}
