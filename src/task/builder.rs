//! What a task is spawned with beyond its future: a name, and whether it starts at once.

use super::join::JoinHandle;
use super::name::Named;
use super::spawn::{spawn, spawn_polled};

/// The settings of a task that is to be spawned.
///
/// ```
/// use annulus::task::{self, Builder};
///
/// annulus::run(async {
///     let worker = Builder::new().name("worker").spawn(async { task::name() });
///     assert_eq!(worker.await?.as_deref(), Some("worker"));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder<'a> {
    name: Option<&'a str>,
    eager: bool,
}

impl<'a> Builder<'a> {
    /// As [`spawn`] does it: without a name, and polled after the running task has yielded.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name: what [`name`](super::name()) gives inside the task, and what the [`JoinError`](super::JoinError) of
    /// its panic says. It need not be unique, and is not inherited.
    ///
    /// It costs an allocation, and a place in a map until the task ends.
    pub fn name(self, name: &'a str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Polls the task for the first time inside [`spawn`](Self::spawn), as part of what the running task does.
    ///
    /// It pays where tasks mostly end at once, as on a hit in a cache: spawned and awaited, one that does so costs
    /// about a third of the instructions (`micro`, `spawn_eager` against `spawn_one`); one that waits saves a tenth at
    /// most.
    /// In return the first poll draws on the stack and the budget of the spawning task, and no task comes between: what
    /// is borrowed from a `RefCell` meanwhile is borrowed for the child too.
    pub fn eager(self) -> Self {
        Self { eager: true, ..self }
    }

    /// Spawns the task; otherwise as the function [`spawn`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[inline]
    pub fn spawn<F: Future + 'static>(self, future: F) -> JoinHandle<F::Output> {
        match (self.name, self.eager) {
            (None, false) => spawn(future),
            (None, true) => spawn_polled(future),
            (Some(name), false) => spawn(Named::new(future, name)),
            (Some(name), true) => spawn_polled(Named::new(future, name)),
        }
    }
}
