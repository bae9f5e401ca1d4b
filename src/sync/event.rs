//! A flag that tasks wait for.

use std::cell::Cell;

use super::until::until;
use super::waiters::{Place, Waiters};

/// A flag that is set and cleared, and that any number of tasks wait for.
///
/// ```
/// use std::rc::Rc;
/// use annulus::sync::Event;
///
/// annulus::run(async {
///     let ready = Rc::new(Event::new());
///     let theirs = Rc::clone(&ready);
///     let task = annulus::spawn(async move { theirs.wait().await });
///     annulus::task::yield_now().await;
///     ready.set();
///     task.await?;
///     ready.wait().await; // it still is
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Who waits is released by [`set`](Self::set), even if the flag is cleared before it runs. To wake one task, or one
/// that is about to wait, see [`Notify`](super::Notify).
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Event>();
/// ```
#[derive(Debug)]
pub struct Event {
    set: Cell<bool>,
    waiters: Waiters<()>,
}

impl Event {
    /// A flag that is not set.
    pub const fn new() -> Self {
        Self { set: Cell::new(false), waiters: Waiters::new() }
    }

    /// Sets the flag and releases all who wait.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.release_all(Place::Dismissed);
    }

    /// Clears the flag: who waits from now on waits for the next [`set`](Self::set).
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set, or not at all if it is.
    ///
    /// Dropping the future has no effect.
    pub async fn wait(&self) {
        until(&self.waiters, |released| (released || self.set.get()).then_some(())).await;
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}
