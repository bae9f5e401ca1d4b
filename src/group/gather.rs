//! Running many futures as tasks and taking all of their outputs, or the first.

use std::future::pending;

use super::error::GroupError;
use super::scope::task_group;
use super::set::JoinSet;
use crate::task::{self, JoinError, JoinHandle};

/// Runs each future as a task and gives what came of each, in the order of the futures.
///
/// It waits for all, whatever fails. [`try_gather`] ends at the first failure. Tasks have a budget, a waker and panics
/// of their own, which futures polled in place do not; for futures that borrow, and for few, there are
/// [`join!`](crate::join!) and `futures::future::join_all`, which works here as everywhere.
///
/// ```
/// use annulus::task::gather;
///
/// annulus::run(async {
///     let outcomes = gather((1..4).map(|number| async move { number * number })).await;
///     let squares: Result<Vec<_>, _> = outcomes.into_iter().collect();
///     assert_eq!(squares?, [1, 4, 9]);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future aborts the tasks; theirs are dropped when they come up next.
///
/// # Errors
///
/// Each outcome is a [`JoinError`] if its task panicked.
///
/// # Panics
///
/// Outside a runtime.
pub async fn gather<I, F>(futures: I) -> Vec<Result<F::Output, JoinError>>
where
    I: IntoIterator<Item = F>,
    F: Future + 'static,
{
    let mut tasks = AbortOnDrop(Vec::new());
    tasks.0.extend(futures.into_iter().map(task::spawn));
    let mut outcomes = Vec::with_capacity(tasks.0.len());
    for task in &mut tasks.0 {
        outcomes.push(task.await);
    }
    outcomes
}

/// Runs each future as a task and gives the outputs in the order of the futures, or the errors as soon as one fails.
///
/// The first failure aborts the other tasks, and the error is returned when all of them are gone; it is that of a
/// [`task_group`]. For futures that borrow, and for few, there are [`try_join!`](crate::try_join!) and
/// `futures::future::try_join_all`.
///
/// ```
/// use annulus::task::try_gather;
///
/// annulus::run(async {
///     let parsed = |text: &'static str| async move { text.parse::<u32>() };
///     assert_eq!(try_gather(["1", "2"].map(parsed)).await.unwrap(), [1, 2]);
///     let error = try_gather(["1", "two", "three"].map(parsed)).await.unwrap_err();
///     assert_eq!(error.to_string(), "the task group failed: invalid digit found in string");
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future aborts the tasks; theirs are dropped when they come up next.
///
/// # Errors
///
/// [`GroupError`] with all that failed.
///
/// # Panics
///
/// Outside a runtime.
pub async fn try_gather<I, F, T, E>(futures: I) -> Result<Vec<T>, GroupError<E>>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: 'static,
{
    task_group(async |group| {
        let tasks: Vec<_> = futures.into_iter().map(|future| group.spawn(future)).collect();
        let mut outputs = Vec::with_capacity(tasks.len());
        for task in tasks {
            match task.await {
                Ok(output) => outputs.push(output),
                // It failed, and the group will not poll us again.
                Err(_) => pending().await,
            }
        }
        Ok(outputs)
    })
    .await
}

/// Runs each future as a task and gives what came of the one that ends first; `None` if there are no futures.
///
/// The others are aborted, and gone when this returns. Where two end together, the one that was polled first wins.
/// For futures that borrow there are [`select!`](crate::select!) and `futures_concurrency`'s `race`.
///
/// ```
/// use annulus::task::race;
/// use annulus::time::{Duration, sleep};
///
/// annulus::run(async {
///     let after = |millis| async move {
///         sleep(Duration::from_millis(millis)).await;
///         millis
///     };
///     assert_eq!(race([after(3600_000), after(1)]).await.expect("two futures")?, 1);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future aborts the tasks; an outcome that was there while the others were still ending is lost.
///
/// # Errors
///
/// The outcome is a [`JoinError`] if the first to end panicked.
///
/// # Panics
///
/// Outside a runtime.
pub async fn race<I, F>(futures: I) -> Option<Result<F::Output, JoinError>>
where
    I: IntoIterator<Item = F>,
    F: Future + 'static,
{
    let mut set: JoinSet<F::Output> = futures.into_iter().collect();
    let first = set.join_next().await;
    set.shutdown().await;
    first
}

/// Runs a future as a task that goes on if the returned handle is dropped.
///
/// Whoever awaits the handle may be cancelled, by an abort, a timeout or a group; what must not stop half-way is
/// shielded from that. It is [`spawn`](task::spawn) by the name that says why. The end of the runtime ends the task.
///
/// ```
/// use annulus::task::{shield, yield_now};
/// use annulus::time::{Duration, timeout};
///
/// annulus::run(async {
///     let saved = std::rc::Rc::new(std::cell::Cell::new(false));
///     let save = std::rc::Rc::clone(&saved);
///     let save = shield(async move {
///         yield_now().await;
///         save.set(true);
///     });
///     assert!(timeout(Duration::ZERO, save).await.is_err());
///     yield_now().await;
///     assert!(saved.get());
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// The handle gives a [`JoinError`] if the future panicked.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn shield<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    task::spawn(future)
}

/// Tasks that are aborted with the future that waits for them.
struct AbortOnDrop<T>(Vec<JoinHandle<T>>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
