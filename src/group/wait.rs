//! Waiting for part of a set: for the first, for the first failure, until a deadline; and for one after the other.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::set::JoinSet;
use crate::task::{Id, JoinError};
use crate::time::{Instant, Sleep, sleep_until};

/// How long a [`wait()`] lasts, if no deadline ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Until {
    /// Until a task has ended, however.
    FirstCompleted,
    /// Until a task has failed, or all have ended.
    FirstFailed,
    /// Until all have ended.
    All,
}

/// Waits for tasks of a set, and gives those that have ended, in that order; the others stay in the set.
///
/// It returns when what `until` says is met or `deadline` has passed, with all that has ended by then, which may be
/// none. A task fails here if it panics or is aborted; [`try_wait`] counts errors too. Awaited again it goes on with
/// the rest:
///
/// ```
/// use annulus::task::{JoinSet, Until, wait};
/// use annulus::time::{Duration, Instant, sleep};
///
/// annulus::run(async {
///     let mut set = JoinSet::new();
///     for millis in [1, 3600_000] {
///         set.spawn(async move { sleep(Duration::from_millis(millis)).await });
///     }
///     assert_eq!(wait(&mut set, None, Until::FirstCompleted).await.len(), 1);
///     let soon = Instant::now() + Duration::from_millis(1);
///     assert!(wait(&mut set, Some(soon), Until::All).await.is_empty());
///     assert_eq!(set.len(), 1);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future loses nothing: the set keeps every outcome for the next who asks. No task is ever aborted.
///
/// # Panics
///
/// With a deadline, outside a runtime.
pub async fn wait<T>(
    set: &mut JoinSet<T>,
    deadline: Option<Instant>,
    until: Until,
) -> Vec<(Id, Result<T, JoinError>)> {
    wait_for(set, deadline, until, Result::is_err).await
}

/// As [`wait()`], where a task also fails if it returns an error.
///
/// # Panics
///
/// With a deadline, outside a runtime.
pub async fn try_wait<T, E>(
    set: &mut JoinSet<Result<T, E>>,
    deadline: Option<Instant>,
    until: Until,
) -> Vec<(Id, Result<Result<T, E>, JoinError>)> {
    wait_for(set, deadline, until, |outcome| !matches!(outcome, Ok(Ok(_)))).await
}

async fn wait_for<T>(
    set: &mut JoinSet<T>,
    deadline: Option<Instant>,
    until: Until,
    is_failure: impl Fn(&Result<T, JoinError>) -> bool,
) -> Vec<(Id, Result<T, JoinError>)> {
    let mut deadline = pin!(deadline.map(sleep_until));
    let mut failed = set.kept.iter().any(|(_, outcome)| is_failure(outcome));
    poll_fn(|cx| {
        let all = loop {
            match set.poll_ended(cx) {
                Poll::Ready(Some((_, id, outcome))) => {
                    failed |= is_failure(&outcome);
                    set.kept.push_back((id, outcome));
                }
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        let met = match until {
            Until::FirstCompleted => !set.kept.is_empty(),
            Until::FirstFailed => failed,
            Until::All => false,
        };
        let due = |sleep: Pin<&mut Sleep>| sleep.poll(cx).is_ready();
        if all || met || deadline.as_mut().as_pin_mut().is_some_and(due) {
            return Poll::Ready(std::mem::take(&mut set.kept).into());
        }
        Poll::Pending
    })
    .await
}

/// Runs each future as a task and gives what came of them one by one, in the order in which they end.
///
/// They start with this call. A [`JoinSet`] does the same for tasks that are added later.
///
/// ```
/// use annulus::task::{as_completed, yield_now};
///
/// annulus::run(async {
///     let turns = |count| async move {
///         for _ in 0..count {
///             yield_now().await;
///         }
///         count
///     };
///     let mut tasks = as_completed([turns(3), turns(1)]);
///     let mut seen = Vec::new();
///     while let Some((index, outcome)) = tasks.next().await {
///         seen.push((index, outcome?));
///     }
///     assert_eq!(seen, [(1, 1), (0, 3)]);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn as_completed<I, F>(futures: I) -> AsCompleted<F::Output>
where
    I: IntoIterator<Item = F>,
    F: Future + 'static,
{
    AsCompleted { set: futures.into_iter().collect() }
}

/// Tasks whose outcomes come as they end; made by [`as_completed`].
///
/// Dropping it aborts those whose outcome was not taken; their futures are dropped when they come up next.
#[must_use = "dropping it aborts the tasks"]
pub struct AsCompleted<T> {
    set: JoinSet<T>,
}

impl<T> AsCompleted<T> {
    /// Waits for the next task to end: its place among the futures, and what came of it. `None` when all were taken.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The outcome is a [`JoinError`] if the task panicked.
    pub async fn next(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    pub(crate) fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        // Keys of a set are given in order until the first task is taken out, and no task is added after that.
        self.set.poll_ended(cx).map(|ended| ended.map(|(key, _, outcome)| (key, outcome)))
    }

    /// How many outcomes are still to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether all outcomes were taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("len", &self.len()).finish_non_exhaustive()
    }
}
