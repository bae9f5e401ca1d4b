//! Room 4: tasks. A task is a future with one allocation, a place in a queue and handles that outlive it.
//!
//! # Where things are
//!
//! `state` is the dictionary of a task's flags, `refs` counts its handles, `header` is what every task has in
//! common, `cell` adds the future, `waker` makes wakers of it, `join` and `abort` are the handles of the user.
//! `crate::executor` decides who runs.
//!
//! # Threads
//!
//! A task belongs to the thread that spawned it, its *home*. There the flags, the links, the future and the output
//! are plain memory. Other threads see three atomics of the header: the count of references, `queued` and `abort`.
//! A waker asks whether the executor that this thread has entered is the task's; only then it takes the home path,
//! which has no locked instruction. Every other wake goes through the inbox of the home.
//!
//! # Safety rules
//!
//! Cited by the files of this room and of `crate::executor` as "rule N of `task`".
//!
//! 1. **Memory.** A header stays allocated while the task is not settled (see `state`), or somebody counts in
//!    `refs`, or it lies in an inbox (which counts). Whoever is told `Last::Yes`, by the merge or by a release
//!    after it, frees the memory, once.
//! 2. **Home.** `state`, `refs` (its home half), `next`, the owned links, the stage and the join waker are touched
//!    by the home thread alone: by the executor, by wakers and abort handles that found themselves at home, and by
//!    `JoinHandle` and `Root`, which are `!Send`.
//! 3. **Values.** The future and the output are dropped by the home thread, before the merge. What is freed
//!    elsewhere is memory without values.
//! 4. **Stage.** The future is pinned: it is polled in the cell and dropped there. A reference to the stage lives
//!    no longer than one call in `cell`, and `RUNNING` keeps a second one from being made while a poll or a
//!    drop of the future is on the stack.
//! 5. **Executor.** The pointer that `executor::current` keeps is valid while its guard lives; the guard holds an
//!    `Rc`.
//! 6. **Shared.** A task holds a count of its executor's `Shared`, so its address is not reused while the task is
//!    allocated, and comparing it says who is at home.

mod abort;
mod cell;
mod error;
mod header;
mod id;
mod join;
mod refs;
mod root;
mod state;
mod waker;
mod yielding;

pub use abort::AbortHandle;
pub(crate) use cell::allocate;
pub use error::JoinError;
pub(crate) use header::{Header, TaskRef};
pub use id::Id;
pub(crate) use id::Ids;
pub use join::JoinHandle;
pub(crate) use root::Root;
pub use yielding::{Unconstrained, consume_budget, unconstrained, yield_now};

use crate::executor;

/// Spawns a future as a task of the current runtime. It starts when the current task yields.
///
/// The task runs to its end also if the handle is dropped. When the runtime ends, it is dropped where it is.
///
/// ```
/// annulus::run(async {
///     let task = annulus::spawn(async { 1 + 1 });
///     assert_eq!(task.await?, 2);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match executor::current() {
        Some(executor) => executor.spawn(future),
        None => panic!(
            "annulus::spawn needs an annulus runtime on this thread: call it inside annulus::run, \
             Runtime::block_on or a spawned task"
        ),
    }
}

/// The id of the task that is being polled.
///
/// # Panics
///
/// Outside a task; the future of `run` and `block_on` is none. See [`try_id`].
#[track_caller]
pub fn id() -> Id {
    try_id().expect("annulus::task::id needs to be called inside a spawned task")
}

/// The id of the task that is being polled, if one is.
pub fn try_id() -> Option<Id> {
    executor::running_task()
}
