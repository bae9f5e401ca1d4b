//! The free functions: spawn a task, and ask which one is running.

use super::abort::AbortHandle;
use super::cell::Unstoppable;
use super::context::{self, Inheriting};
use super::error::JoinError;
use super::home;
use super::id::Id;
use super::join::JoinHandle;
use super::run;
use crate::executor::budget;

/// Spawns a task on the runtime of this thread.
///
/// It is polled for the first time after the running task has yielded, and goes on whether or not the handle is
/// awaited or dropped. It inherits the task-local values in scope: see [`LocalKey`](super::LocalKey). In a runtime
/// that is shutting down the future is dropped at once, and the handle gives a cancelled [`JoinError`].
///
/// ```
/// annulus::run(async {
///     // The future need not be `Send`, and neither need its output.
///     let shared = std::rc::Rc::new(5);
///     let handle = annulus::task::spawn(async move { shared });
///     assert_eq!(*handle.await?, 5);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
#[inline]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let handle = match context::current() {
        None => run::spawn_current(future),
        context => run::spawn_current(Inheriting::new(context, future)),
    };
    let Some(handle) = handle else { no_runtime("annulus::task::spawn") };
    handle
}

/// As [`spawn`], with the first poll inside this call.
#[track_caller]
#[inline]
pub(super) fn spawn_polled<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let handle = match context::current() {
        None => run::spawn_polled(future),
        context => run::spawn_polled(Inheriting::new(context, future)),
    };
    let Some(handle) = handle else { no_runtime("annulus::task::Builder::spawn") };
    handle
}

/// As [`spawn`], for what arrived from elsewhere, where no task-local value is in scope. `now`: it is polled at once,
/// with a budget of its own; no task runs here.
pub(crate) fn spawn_arrived<F: Future + 'static>(future: F, now: bool) {
    if !now {
        return drop(run::spawn_current(future));
    }
    budget::reset();
    let task = run::spawn_polled(future);
    budget::lift();
    drop(task);
}

/// As [`spawn`], for a future that may refuse to be cancelled, and whose work runs where no task-local value is seen.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(crate) fn spawn_unstoppable<F: Future + Unstoppable + 'static>(
    future: F,
    name: &str,
) -> JoinHandle<F::Output> {
    run::spawn_unstoppable(future).unwrap_or_else(|| no_runtime(name))
}

/// Whether a task that is spawned now will be polled: the runtime of this thread is not shutting down.
///
/// # Panics
///
/// Outside a runtime, in the name of the function `name`.
#[track_caller]
#[inline]
pub(crate) fn accepts_tasks(name: &str) -> bool {
    home::accepts_tasks().unwrap_or_else(|| no_runtime(name))
}

/// Hands a panic that nobody will take to the runtime of this thread; outside one it is dropped.
pub(crate) fn report_panic(error: JoinError) {
    home::report_panic(error);
}

/// A handle of the running task, for a future that is always a task of its own.
pub(crate) fn running_abort_handle() -> AbortHandle {
    home::running_abort_handle().expect("the future is polled by its task")
}

#[cold]
#[track_caller]
fn no_runtime(name: &str) -> ! {
    panic!(
        "{name} was called outside a runtime: call it inside `annulus::run`, \
         `Runtime::block_on`, or a task spawned there"
    )
}

/// The id of the running task.
///
/// # Panics
///
/// Outside a task; the future given to `block_on` is not one. See [`try_id`].
#[track_caller]
pub fn id() -> Id {
    try_id().expect("annulus::task::id was called outside a task: `try_id` asks without panicking")
}

/// The id of the running task, or `None` outside one; the future given to `block_on` is not one.
pub fn try_id() -> Option<Id> {
    home::running_id()
}
