//! What the tests watch: futures that count, wakers that count, and an executor that must end empty.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::executor::{EnterGuard, Executor};

/// An executor, entered, whose counters must be zero at the end of the test.
pub(super) struct Bench {
    pub(super) executor: Rc<Executor>,
    pub(super) rings: Arc<CountWakes>,
    home_freed: Arc<AtomicUsize>,
    guard: Option<EnterGuard>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_budget(64)
    }

    /// With a batch of `tick_budget` polls: of one, to look at every step.
    pub(super) fn with_budget(tick_budget: u32) -> Self {
        let rings = Arc::new(CountWakes::default());
        let executor = Executor::new(Waker::from(Arc::clone(&rings)), tick_budget);
        let (home_freed, guard) = (executor.home().freed(), Some(executor.enter()));
        Self { executor, rings, home_freed, guard }
    }

    /// Runs until nothing is ready.
    #[track_caller]
    pub(super) fn run(&self) -> u32 {
        let mut polled = 0;
        while self.executor.take_inbox() || self.executor.has_ready() {
            polled += self.executor.run_batch(0);
        }
        polled
    }

    /// `(tasks alive, tasks allocated)`.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.executor.live_tasks(), self.executor.home().allocated())
    }

    /// Drops the executor while `self.home_freed` still watches.
    pub(super) fn end(mut self) -> Arc<AtomicUsize> {
        self.executor.shutdown();
        assert_eq!(self.executor.live_tasks(), 0);
        assert!(!self.executor.has_ready());
        self.guard.take();
        Arc::clone(&self.home_freed)
    }

    /// Ends the executor and asserts that no memory is left.
    #[track_caller]
    pub(super) fn end_empty(self) {
        let executor = Rc::clone(&self.executor);
        let freed = self.end();
        assert_eq!(executor.home().allocated(), 0, "tasks leaked");
        drop(executor);
        assert_eq!(freed.load(Ordering::SeqCst), 1, "the home leaked");
    }
}

#[derive(Default)]
pub(super) struct CountWakes(AtomicUsize);

impl CountWakes {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What happened to a [`Probe`].
#[derive(Default)]
pub(super) struct Seen {
    pub(super) polls: Cell<u32>,
    pub(super) drops: Cell<u32>,
    pub(super) output_drops: Cell<u32>,
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Seen {
    /// `(polls, drops of the future, drops of the output)`.
    pub(super) fn counts(&self) -> (u32, u32, u32) {
        (self.polls.get(), self.drops.get(), self.output_drops.get())
    }

    pub(super) fn take_waker(&self) -> Waker {
        self.waker.borrow_mut().take().expect("the probe keeps the waker of its last poll")
    }
}

type Step = Box<dyn FnMut(&mut Context<'_>) -> Poll<()>>;

/// A future that keeps its waker, does what it is told, and counts.
pub(super) struct Probe {
    seen: Rc<Seen>,
    step: Step,
}

impl Probe {
    pub(super) fn new(
        step: impl FnMut(&mut Context<'_>) -> Poll<()> + 'static,
    ) -> (Self, Rc<Seen>) {
        let seen = Rc::new(Seen::default());
        (Self { seen: Rc::clone(&seen), step: Box::new(step) }, seen)
    }

    /// Waits until its waker is used, `times` times.
    pub(super) fn pending(mut times: u32) -> (Self, Rc<Seen>) {
        Self::new(move |_| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            Poll::Pending
        })
    }
}

impl Future for Probe {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        self.seen.polls.set(self.seen.polls.get() + 1);
        self.seen.waker.replace(Some(cx.waker().clone()));
        let seen = Rc::clone(&self.seen);
        (self.step)(cx).map(|()| Output(seen))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.seen.drops.set(self.seen.drops.get() + 1);
    }
}

/// What a probe yields; its drop is counted.
pub(super) struct Output(Rc<Seen>);

impl Drop for Output {
    fn drop(&mut self) {
        self.0.output_drops.set(self.0.output_drops.get() + 1);
    }
}

/// Does `f` when dropped.
pub(super) struct OnDrop<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Polls once, outside any task.
pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
