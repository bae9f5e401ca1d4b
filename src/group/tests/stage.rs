//! What the schedules are played on: an executor that must end empty, and children that end when told, as told.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::executor::{EnterGuard, Executor};

/// An executor, entered.
pub(super) struct Stage {
    executor: Rc<Executor>,
    _guard: EnterGuard,
}

impl Stage {
    pub(super) fn new() -> Self {
        let executor = Executor::new(Waker::noop().clone(), 64);
        let guard = executor.enter();
        Self { executor, _guard: guard }
    }

    /// Runs until nothing is ready.
    pub(super) fn run(&self) {
        while self.executor.has_ready() {
            self.executor.run_batch(0);
        }
    }

    /// `(tasks alive, tasks allocated)`.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.executor.live_tasks(), self.executor.home().allocated())
    }
}

/// How a child ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Output,
    Error,
    Panic,
}

impl End {
    pub(super) const ALL: [Self; 3] = [Self::Output, Self::Error, Self::Panic];
}

/// What a child is told, and what is known of it.
#[derive(Default)]
pub(super) struct Cue {
    end: Cell<Option<End>>,
    waker: RefCell<Option<Waker>>,
    drops: Cell<u32>,
}

impl Cue {
    /// Has the child end so when it is polled next, and wakes it.
    pub(super) fn give(&self, end: End) {
        self.end.set(Some(end));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// How often the child's future was dropped.
    pub(super) fn drops(&self) -> u32 {
        self.drops.get()
    }
}

/// A child: its number is its output and its error.
pub(super) struct Player {
    cue: Rc<Cue>,
    number: usize,
}

impl Player {
    pub(super) fn new(cue: &Rc<Cue>, number: usize) -> Self {
        Self { cue: Rc::clone(cue), number }
    }
}

impl Future for Player {
    type Output = Result<usize, usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.cue.end.get() {
            None => {
                self.cue.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
            Some(End::Output) => Poll::Ready(Ok(self.number)),
            Some(End::Error) => Poll::Ready(Err(self.number)),
            Some(End::Panic) => std::panic::resume_unwind(Box::new(self.number)),
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.cue.drops.set(self.cue.drops.get() + 1);
        self.cue.waker.take();
    }
}

/// Every order of `0..count`.
pub(super) fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for place in 0..count {
            let mut order = shorter.clone();
            order.insert(place, count - 1);
            all.push(order);
        }
    }
    all
}

/// Every choice of `count` ends.
pub(super) fn ends(count: usize) -> Vec<Vec<End>> {
    (0..count).fold(vec![Vec::new()], |shorter, _| {
        let longer = |ends: &Vec<End>, end| ends.iter().copied().chain([end]).collect();
        shorter.iter().flat_map(|ends| End::ALL.map(|end| longer(ends, end))).collect()
    })
}

/// Polls once, outside any task.
pub(super) fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
