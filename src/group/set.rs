//! A set of tasks that are joined in the order in which they end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use slab::Slab;

use super::listener::Listener;
use crate::executor::budget;
use crate::task::{self, AbortHandle, Id, JoinError, JoinHandle};

/// Tasks that are joined as they end, and aborted when the set is dropped.
///
/// A waiting [`join_next`](Self::join_next) is woken by the task that ends, whichever it is, and looks at none of the
/// others: the cost of a join does not grow with the set. Names and meanings are tokio's.
///
/// ```
/// use annulus::task::JoinSet;
///
/// annulus::run(async {
///     let mut set = JoinSet::new();
///     for number in 0..3 {
///         set.spawn(async move { number * 2 });
///     }
///     let mut sum = 0;
///     while let Some(output) = set.join_next().await {
///         sum += output?;
///     }
///     assert_eq!(sum, 6);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the set aborts what is left in it; the futures are dropped when they come up next. To know that they are
/// gone, await [`shutdown`](Self::shutdown).
///
/// The set stays on the thread of its runtime:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::task::JoinSet<()>>();
/// ```
pub struct JoinSet<T> {
    handles: Slab<JoinHandle<T>>,
    ended: Rc<Ended>,
    /// Outcomes that a wait took from their tasks and did not hand out: it was dropped, or its condition is not met.
    pub(super) kept: VecDeque<(Id, Result<T, JoinError>)>,
}

// What it holds of `T` is never pinned.
impl<T> Unpin for JoinSet<T> {}

/// Which tasks of a set have ended, in that order, and who wants to know.
#[derive(Default)]
struct Ended {
    keys: RefCell<VecDeque<usize>>,
    listener: Listener,
}

/// A joined task: its key, its id and what came of it.
pub(super) type Joined<T> = (usize, Id, Result<T, JoinError>);

impl<T> JoinSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self { handles: Slab::new(), ended: Rc::default(), kept: VecDeque::new() }
    }

    /// The number of tasks that were not joined yet, those that have ended included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.len() + self.kept.len()
    }

    /// Whether every task has been joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a task ends and takes its outcome; `None` if the set is empty.
    ///
    /// Dropping the future loses nothing: no outcome is taken before it is returned.
    ///
    /// # Errors
    ///
    /// The outcome is a [`JoinError`] if the task panicked or was aborted.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.join_next_with_id().await.map(|(_, outcome)| outcome)
    }

    /// As [`join_next`](Self::join_next), with the id of the task.
    pub async fn join_next_with_id(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next_with_id`](Self::join_next_with_id), as a poll. `Pending` registers the waker of `cx`, and only
    /// that of the last caller.
    pub fn poll_join_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Id, Result<T, JoinError>)>> {
        ready!(budget::proceed(cx));
        if let Some(kept) = self.kept.pop_front() {
            return Poll::Ready(Some(kept));
        }
        self.poll_ended(cx).map(|joined| joined.map(|(_, id, outcome)| (id, outcome)))
    }

    /// The outcome of a task that has ended, or `None` if there is none now.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id().map(|(_, outcome)| outcome)
    }

    /// As [`try_join_next`](Self::try_join_next), with the id of the task.
    pub fn try_join_next_with_id(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        if let Some(kept) = self.kept.pop_front() {
            return Some(kept);
        }
        // Nothing is registered: whoever waits goes on waiting.
        let key = self.ended.keys.borrow().front().copied()?;
        if !self.handles[key].is_finished() {
            return None;
        }
        match self.poll_ended(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(joined) => joined.map(|(_, id, outcome)| (id, outcome)),
            Poll::Pending => None,
        }
    }

    /// Waits for all tasks and gives their outputs in the order in which they ended.
    ///
    /// Dropping the future drops the set with what is left of it.
    ///
    /// # Panics
    ///
    /// If a task panicked, with the same payload, or was aborted. The others are aborted then.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(outcome) = self.join_next().await {
            match outcome.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(payload)) => std::panic::resume_unwind(payload),
                Err(Err(error)) => panic!("JoinSet::join_all: {error}"),
            }
        }
        outputs
    }

    /// Aborts all tasks. They stay in the set, to be joined; those that had ended keep their outcomes.
    pub fn abort_all(&self) {
        self.handles.iter().for_each(|(_, handle)| handle.abort());
    }

    /// Aborts all tasks and waits until they have ended. What came of them is dropped.
    ///
    /// Dropping the future leaves in the set what has not ended, aborted.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Takes all tasks out of the set without aborting them: they run on, detached. What had ended is dropped.
    pub fn detach_all(&mut self) {
        // What still runs reports to the list that it knows, which nobody reads any more.
        self.ended = Rc::default();
        self.kept.clear();
        self.handles.clear();
    }

    /// Takes the outcome of the task that ended first. `Ready(None)`: there are no tasks.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Joined<T>>> {
        if self.handles.is_empty() {
            return Poll::Ready(None);
        }
        let mut next = self.ended.pop();
        if next.is_none() {
            self.ended.listener.register(cx);
            next = self.ended.pop();
        }
        let Some(key) = next else { return Poll::Pending };
        let Poll::Ready(outcome) = Pin::new(&mut self.handles[key]).poll(cx) else {
            // We are called by a waker in the midst of that task's end. It will wake the handle's waker.
            self.ended.keys.borrow_mut().push_front(key);
            return Poll::Pending;
        };
        let handle = self.handles.remove(key);
        Poll::Ready(Some((key, handle.id(), outcome)))
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task in the set, on the runtime of this thread; otherwise as [`spawn`](task::spawn).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F: Future<Output = T> + 'static>(&mut self, future: F) -> AbortHandle {
        task::accepts_tasks("annulus::task::JoinSet::spawn");
        let key = self.handles.vacant_key();
        let ticket = Ticket { ended: Rc::clone(&self.ended), key };
        let handle = task::spawn(Tracked { future, _ticket: ticket });
        let abort = handle.abort_handle();
        self.handles.insert(handle);
        abort
    }
}

impl Ended {
    fn pop(&self) -> Option<usize> {
        self.keys.borrow_mut().pop_front()
    }
}

pin_project! {
    /// A task of a set. The future is dropped first, then the ticket.
    struct Tracked<F> {
        #[pin]
        future: F,
        _ticket: Ticket,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Tells the set that its task has ended, when it is dropped.
struct Ticket {
    ended: Rc<Ended>,
    key: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ended.keys.borrow_mut().push_back(self.key);
        self.ended.listener.wake();
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static, F: Future<Output = T> + 'static> FromIterator<F> for JoinSet<T> {
    /// Spawns each future.
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = Self::new();
        futures.into_iter().for_each(|future| drop(set.spawn(future)));
        set
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish_non_exhaustive()
    }
}
