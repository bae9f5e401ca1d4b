//! Task groups: children that do not outlive the block that spawns them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use slab::Slab;

use super::child::Child;
use super::error::{Failure, GroupError};
use super::listener::Listener;
use crate::task::{self, AbortHandle, JoinHandle};

/// Runs `body` and whatever it spawns into its group, and is done when all of them are.
///
/// When the body or a child fails, which is to return an error or to panic, the rest is cancelled: the body is not
/// polled again, and each child's future is dropped when it comes up next. Then too the group waits until the
/// last of them is gone. So whatever the children use is free again when this returns.
///
/// ```
/// use annulus::task::task_group;
///
/// annulus::run(async {
///     let sum = task_group(async |group| {
///         let one = group.spawn(async { Ok(1) });
///         let two = group.spawn(async { Ok(2) });
///         Ok::<_, std::io::Error>(one.await? + two.await?)
///     })
///     .await?;
///     assert_eq!(sum, 3);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Groups nest: a group within a child is one future of that child, and a failure in it ends the outer group unless
/// the child does something about it.
///
/// ```
/// use annulus::task::{Failure, task_group};
///
/// annulus::run(async {
///     let error = task_group(async |group| {
///         group.spawn(async { Err::<(), _>("no disk") });
///         std::future::pending::<Result<(), _>>().await // cancelled
///     })
///     .await
///     .unwrap_err();
///     assert!(matches!(error.first(), Failure::Error("no disk")));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// A child may outlive the future of the group for a moment, so it cannot borrow from the function that spawns it;
/// share by `Rc`, or await in place with [`join!`](crate::join!):
///
/// ```compile_fail,E0597
/// annulus::run(async {
///     let text = String::from("borrowed");
///     let text = &text;
///     annulus::task::task_group(async |group| {
///         group.spawn(async { Ok::<_, std::io::Error>(text.len()) });
///         Ok(())
///     })
///     .await?;
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future aborts all children; as with every abort, their futures are dropped when they come up next,
/// and nobody waits for that. Panics that the children had, or have then, go the way of those of detached tasks.
///
/// # Errors
///
/// [`GroupError`] with everything that went wrong, if anything did. What the body returned is dropped then.
///
/// # Panics
///
/// If the body panics, with the same payload, when all children are gone. Their errors are lost with it, their panics
/// go the way of those of detached tasks.
pub async fn task_group<R, E>(
    body: impl AsyncFnOnce(&TaskGroup<E>) -> Result<R, E>,
) -> Result<R, GroupError<E>> {
    let group = TaskGroup { shared: Rc::default() };
    let scope = Scope(&group.shared);
    let ended = run(&group.shared, body(&group)).await;
    group.shared.empty().await;
    group.shared.phase.set(Phase::Ended);
    drop(scope);
    let output = ended.unwrap_or_else(|payload| resume_unwind(payload));
    let failures = group.shared.failures.take();
    match output {
        Some(output) if failures.is_empty() => Ok(output),
        _ => Err(GroupError::new(failures)),
    }
}

/// Where the body of a [`task_group`] spawns its children.
///
/// A clone is the same group, for a child that spawns others beside itself.
pub struct TaskGroup<E> {
    shared: Rc<Shared<E>>,
}

impl<E: 'static> TaskGroup<E> {
    /// Spawns a child; otherwise as [`spawn`](task::spawn).
    ///
    /// The handle gives what the child's `Ok` holds. Of a child that failed it says that the child was cancelled: the
    /// error is the group's. Dropping the handle changes nothing, and to abort the child by it is no failure. In a
    /// group that is being cancelled the future is never polled.
    ///
    /// # Panics
    ///
    /// If the group has ended, which a clone of it can see, or outside a runtime.
    #[track_caller]
    pub fn spawn<F, T>(&self, future: F) -> JoinHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        let phase = self.shared.phase.get();
        assert!(phase != Phase::Ended, "TaskGroup::spawn was called after the group had ended");
        if !task::accepts_tasks("annulus::task::TaskGroup::spawn") {
            drop(future);
            return task::spawn(pending());
        }
        let handle = task::spawn(Child::new(future, &self.shared));
        if phase == Phase::Cancelling {
            handle.abort();
        }
        handle
    }
}

impl<E> TaskGroup<E> {
    /// Aborts the children that there are now. That is no failure: the body goes on, and may spawn others.
    ///
    /// For a body whose work is done, to end children that would run for ever.
    pub fn abort_all(&self) {
        self.shared.abort_all();
    }

    /// How many children have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.live.get()
    }

    /// Whether all children have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.shared.phase.get();
        f.debug_struct("TaskGroup").field("len", &self.len()).field("phase", &phase).finish()
    }
}

/// What the body, the children and the awaiting task know of a group.
pub(super) struct Shared<E> {
    /// How many children exist.
    live: Cell<usize>,
    /// The children that wait. One that was never polled is not among them, so those that end at once cost little;
    /// it learns from `aborts` that it was aborted.
    waiting: RefCell<Slab<AbortHandle>>,
    /// How often all children were aborted.
    aborts: Cell<u32>,
    failures: RefCell<Vec<Failure<E>>>,
    phase: Cell<Phase>,
    listener: Listener,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has failed.
    Open,
    /// Every child is aborted, new ones too.
    Cancelling,
    /// The group's future has returned.
    Ended,
}

impl<E> Shared<E> {
    /// Notes a failure; the first one cancels the group.
    pub(super) fn fail(&self, failure: Failure<E>) {
        self.failures.borrow_mut().push(failure);
        self.cancel();
        self.listener.wake();
    }

    /// A child is made; returns what [`aborts`](Self::aborts) says now.
    pub(super) fn enter(&self) -> u32 {
        self.live.set(self.live.get() + 1);
        self.aborts.get()
    }

    /// A child is gone.
    pub(super) fn leave(&self) {
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.listener.wake();
        }
    }

    /// A child waits from here on to [`remove`](Self::remove).
    pub(super) fn insert(&self, child: AbortHandle) -> usize {
        self.waiting.borrow_mut().insert(child)
    }

    pub(super) fn remove(&self, key: usize) {
        let child = self.waiting.borrow_mut().remove(key);
        drop(child);
    }

    /// A child that entered when this was different is aborted.
    pub(super) fn aborts(&self) -> u32 {
        self.aborts.get()
    }

    /// Aborts all children, also those to come.
    fn cancel(&self) {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Cancelling);
            self.abort_all();
        }
    }

    fn abort_all(&self) {
        self.aborts.set(self.aborts.get().wrapping_add(1));
        self.waiting.borrow().iter().for_each(|(_, child)| child.abort());
    }

    /// Waits until no child is left.
    async fn empty(&self) {
        poll_fn(|cx| {
            if self.live.get() > 0 {
                self.listener.register(cx);
            }
            if self.live.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<E> Drop for Shared<E> {
    /// Failures are left if the group was dropped, or its body panicked.
    fn drop(&mut self) {
        for failure in self.failures.take() {
            if let Failure::Panic(error) = failure {
                task::report_panic(error);
            }
        }
    }
}

impl<E> Default for Shared<E> {
    fn default() -> Self {
        Self {
            live: Cell::new(0),
            waiting: RefCell::default(),
            aborts: Cell::new(0),
            failures: RefCell::default(),
            phase: Cell::new(Phase::Open),
            listener: Listener::default(),
        }
    }
}

/// Cancels the group if its future is dropped.
struct Scope<'a, E>(&'a Shared<E>);

impl<E> Drop for Scope<'_, E> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

type Payload = Box<dyn Any + Send>;

/// Polls the body until it ends or the group fails, and drops it. `Ok(None)`: there is a failure.
async fn run<R, E>(
    group: &Shared<E>,
    body: impl Future<Output = Result<R, E>>,
) -> Result<Option<R>, Payload> {
    let mut body = pin!(Some(body));
    let output = poll_fn(|cx| {
        group.listener.register(cx);
        let Some(body) = body.as_mut().as_pin_mut().filter(|_| group.phase.get() == Phase::Open)
        else {
            return Poll::Ready(Ok(None));
        };
        match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(output))) => Poll::Ready(Ok(Some(output))),
            Ok(Poll::Ready(Err(error))) => {
                group.fail(Failure::Error(error));
                Poll::Ready(Ok(None))
            }
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await;
    let dropped = catch_unwind(AssertUnwindSafe(|| body.set(None)));
    if output.is_err() || dropped.is_err() {
        group.cancel();
    }
    output.and_then(|output| dropped.map(|()| output))
}
