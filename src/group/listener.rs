//! The place of the one task that waits for a set or a group.

use std::cell::Cell;
use std::task::{Context, Waker};

/// Holds the waker of whoever waits.
#[derive(Default)]
pub(super) struct Listener(Cell<Option<Waker>>);

impl Listener {
    /// Has `cx` woken by the next [`wake`](Self::wake), and nobody else.
    ///
    /// A waker is user code where it is cloned and dropped: what the caller looked at may have changed afterwards.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let waker = match self.0.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        drop(self.0.replace(Some(waker)));
    }

    /// Wakes whoever waits, once.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
