//! Permits that are taken and put back, first come, first served: what the locks and the channels stand on.
//!
//! Nobody overtakes: while somebody waits, newcomers wait behind, even if there were enough for them.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::waiters::{Place, Waiter, Waiters};
use crate::executor::budget;

/// What closing takes away, so that nothing is ever free again: more than there can be permits.
const DEBT: isize = isize::MAX / 2;

#[derive(Debug)]
pub(super) struct Permits {
    /// How many nobody holds, less the debt once they are closed.
    free: Cell<isize>,
    /// Each with how many it wants.
    waiters: Waiters<usize>,
}

/// There is nothing to wait for: the permits are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl Permits {
    pub(super) const fn new(free: usize) -> Self {
        Self { free: Cell::new(free as isize), waiters: Waiters::new() }
    }

    /// How many nobody holds.
    pub(super) fn free(&self) -> usize {
        let free = self.free.get();
        (if free < 0 { free + DEBT } else { free }) as usize
    }

    pub(super) fn is_closed(&self) -> bool {
        self.free.get() < 0
    }

    /// Takes `count` if that many are free and nobody waits.
    #[inline]
    pub(super) fn try_take(&self, count: usize) -> bool {
        let left = self.free.get() - count as isize;
        let takes = left >= 0 && self.waiters.is_empty();
        if takes {
            self.free.set(left);
        }
        takes
    }

    /// Puts `count` back and wakes those whose turn it now is.
    #[inline]
    pub(super) fn put(&self, count: usize) {
        self.free.set(self.free.get() + count as isize);
        if !self.waiters.is_empty() {
            self.grant();
        }
    }

    /// Refuses all who wait and all who will.
    pub(super) fn close(&self) {
        if !self.is_closed() {
            self.free.set(self.free.get() - DEBT);
        }
        self.waiters.release_all(Place::Dismissed);
    }

    /// Whether a wait for `count` is over before it begins.
    fn at_once(&self, count: usize) -> Option<Result<(), Refused>> {
        if self.is_closed() {
            return Some(Err(Refused));
        }
        self.try_take(count).then_some(Ok(()))
    }

    #[cold]
    fn grant(&self) {
        while let Some(count) = self.waiters.first()
            && count as isize <= self.free.get()
        {
            self.free.set(self.free.get() - count as isize);
            self.waiters.release_first(Place::Granted);
        }
    }
}

/// What somebody wants permits for.
pub(super) trait Claim<'a> {
    /// What they get.
    type Output;
    fn permits(&self) -> &'a Permits;
    fn count(&self) -> usize;
    /// The permits were taken, and are now the output's.
    fn granted(&self) -> Self::Output;
    /// The permits were closed.
    fn refused(&self) -> Self::Output;
}

pin_project! {
    /// Waits for permits.
    ///
    /// It is no async block: such a one is not inlined where it is used in several places, and makes a free lock
    /// twice as dear (`local`, `mutex`).
    #[must_use = "futures do nothing unless polled"]
    pub(super) struct Take<'a, C> {
        claim: C,
        // There once the permits were not free.
        #[pin]
        turn: Option<Turn<'a>>,
    }
}

impl<'a, C: Claim<'a>> Take<'a, C> {
    #[inline]
    pub(super) fn new(claim: C) -> Self {
        Self { claim, turn: None }
    }
}

impl<'a, C: Claim<'a>> Future for Take<'a, C> {
    type Output = C::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        let claim = this.claim;
        let (permits, count) = (claim.permits(), claim.count());
        if this.turn.is_none() && budget::spend() && permits.try_take(count) {
            return Poll::Ready(claim.granted());
        }
        match ready!(Turn::poll(this.turn.as_mut(), permits, count, cx)) {
            Ok(()) => Poll::Ready(claim.granted()),
            Err(Refused) => Poll::Ready(claim.refused()),
        }
    }
}

pin_project! {
    /// A place in the queue. Dropped, it is left, or what was granted there put back.
    struct Turn<'a> {
        permits: &'a Permits,
        #[pin]
        waiter: Waiter<'a, usize>,
    }

    impl PinnedDrop for Turn<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.waiter.place() {
                Place::Granted => this.permits.put(this.waiter.word()),
                Place::Queued => {
                    this.waiter.leave();
                    // Those behind may want less.
                    this.permits.grant();
                }
                Place::Out | Place::Dismissed => {}
            }
        }
    }
}

impl<'a> Turn<'a> {
    /// Waits for `count` permits in a turn, which the first call makes.
    #[cold]
    fn poll(
        mut turn: Pin<&mut Option<Self>>,
        permits: &'a Permits,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        if turn.is_none() {
            turn.set(Some(Self { permits, waiter: Waiter::new(&permits.waiters, count) }));
        }
        let turn = turn.into_ref().as_pin_ref().expect("made above").project_ref();
        let waiter = turn.waiter;
        if waiter.place() == Place::Out {
            ready!(budget::proceed(cx));
            if let Some(result) = permits.at_once(count) {
                return Poll::Ready(result);
            }
        }
        if matches!(waiter.place(), Place::Out | Place::Queued) {
            waiter.keep_waker(cx);
        }
        // Asked again, because cloning a waker may run anything.
        match waiter.place() {
            Place::Granted => {
                waiter.settle();
                if permits.is_closed() {
                    permits.put(count);
                    return Poll::Ready(Err(Refused));
                }
                Poll::Ready(Ok(()))
            }
            Place::Dismissed => Poll::Ready(Err(Refused)),
            Place::Queued => Poll::Pending,
            Place::Out => match permits.at_once(count) {
                Some(result) => Poll::Ready(result),
                None => {
                    waiter.join();
                    Poll::Pending
                }
            },
        }
    }
}
