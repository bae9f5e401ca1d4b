//! A point that tasks pass together.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::waiters::{Place, Waiter, Waiters};
use crate::executor::budget;

/// Holds tasks back until so many have come, then lets them pass together; again and again.
///
/// ```
/// use std::rc::Rc;
/// use annulus::sync::Barrier;
///
/// annulus::run(async {
///     let barrier = Rc::new(Barrier::new(3));
///     let tasks: Vec<_> = (0..3)
///         .map(|_| {
///             let barrier = Rc::clone(&barrier);
///             annulus::spawn(async move { barrier.wait().await.expect("not broken").is_leader() })
///         })
///         .collect();
///     let mut leaders = 0;
///     for task in tasks {
///         leaders += usize::from(task.await?);
///     }
///     assert_eq!(leaders, 1);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// One of those who pass together is the leader. [`abort`](Self::abort) breaks the barrier for good, as when one of
/// the parties has failed; [`reset`](Self::reset) mends it.
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Barrier>();
/// ```
#[derive(Debug)]
pub struct Barrier {
    parties: usize,
    arrived: Cell<usize>,
    broken: Cell<bool>,
    /// Each is told the order of its arrival.
    waiters: Waiters<usize>,
}

impl Barrier {
    /// For `parties` tasks at a time; none counts as one.
    pub const fn new(parties: usize) -> Self {
        let parties = if parties == 0 { 1 } else { parties };
        Self { parties, arrived: Cell::new(0), broken: Cell::new(false), waiters: Waiters::new() }
    }

    /// Waits until all have come.
    ///
    /// Dropping the future takes its arrival back, unless all had come: then the others pass without it.
    ///
    /// # Errors
    ///
    /// If the barrier is broken, or is [aborted](Self::abort) or [reset](Self::reset) meanwhile.
    pub async fn wait(&self) -> Result<BarrierWaitResult, BrokenBarrierError> {
        Arrival { barrier: self, waiter: Waiter::new(&self.waiters, 0) }.await
    }

    /// Breaks the barrier: all who wait get an error, and so do all who come until it is [reset](Self::reset).
    pub fn abort(&self) {
        self.broken.set(true);
        self.send_away();
    }

    /// Makes the barrier whole and empty: all who wait get an error, and who comes next is the first.
    pub fn reset(&self) {
        self.broken.set(false);
        self.send_away();
    }

    /// How many pass together.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait now.
    pub fn n_waiting(&self) -> usize {
        self.arrived.get()
    }

    /// Whether it was aborted and not reset since.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn send_away(&self) {
        self.arrived.set(0);
        self.waiters.release_all(Place::Dismissed);
    }

    /// Lets everybody pass; the caller has come last.
    fn open(&self) -> BarrierWaitResult {
        self.arrived.set(0);
        let mut index = 0;
        self.waiters.release_each(Place::Granted, || {
            index += 1;
            index - 1
        });
        BarrierWaitResult { index: self.parties - 1, is_leader: true }
    }
}

/// What [`Barrier::wait`] says to each of those who pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: usize,
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether this is the leader: one of those who pass together is, the one who came last.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// The order of arrival among those who pass together, from 0.
    pub fn index(&self) -> usize {
        self.index
    }
}

/// The barrier was broken or reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenBarrierError(());

impl fmt::Display for BrokenBarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier was broken or reset")
    }
}

impl std::error::Error for BrokenBarrierError {}

pin_project! {
    struct Arrival<'a> {
        barrier: &'a Barrier,
        #[pin]
        waiter: Waiter<'a, usize>,
    }

    impl PinnedDrop for Arrival<'_> {
        fn drop(this: Pin<&mut Self>) {
            if this.waiter.place() == Place::Queued {
                this.barrier.arrived.set(this.barrier.arrived.get() - 1);
            }
        }
    }
}

impl Arrival<'_> {
    /// Whether the wait is over before it begins.
    fn at_once(&self) -> Option<Result<BarrierWaitResult, BrokenBarrierError>> {
        if self.barrier.is_broken() {
            return Some(Err(BrokenBarrierError(())));
        }
        let last = self.barrier.arrived.get() + 1 == self.barrier.parties;
        last.then(|| Ok(self.barrier.open()))
    }
}

impl Future for Arrival<'_> {
    type Output = Result<BarrierWaitResult, BrokenBarrierError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.into_ref();
        if this.waiter.place() == Place::Out {
            ready!(budget::proceed(cx));
        }
        if matches!(this.waiter.place(), Place::Out | Place::Queued) {
            // First, because cloning a waker may run anything.
            this.waiter.keep_waker(cx);
        }
        match this.waiter.place() {
            Place::Queued => Poll::Pending,
            Place::Granted => {
                let index = this.waiter.word();
                Poll::Ready(Ok(BarrierWaitResult { index, is_leader: false }))
            }
            Place::Dismissed => Poll::Ready(Err(BrokenBarrierError(()))),
            Place::Out => match this.at_once() {
                Some(result) => Poll::Ready(result),
                None => {
                    this.barrier.arrived.set(this.barrier.arrived.get() + 1);
                    this.project_ref().waiter.join();
                    Poll::Pending
                }
            },
        }
    }
}
