//! A value that changes, and receivers that see the last one.
//!
//! ```
//! use annulus::sync::watch;
//!
//! annulus::run(async {
//!     let (sender, mut receiver) = watch::channel("starting");
//!     let task = annulus::spawn(async move {
//!         let up = receiver.wait_for(|state| *state == "up").await;
//!         up.map(|state| *state)
//!     });
//!     sender.send("loading").expect("somebody watches");
//!     sender.send("up").expect("somebody watches");
//!     assert_eq!(task.await?, Ok("up"));
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! Only the last value is kept: who looks late sees one change where there were several.

use std::cell::{Cell, Ref as CellRef, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::send_error::send_error;
use super::until::until;
use super::waiters::{Place, Waiters};

/// A channel that holds `value`, which its first receiver has seen.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

#[derive(Debug)]
struct Shared<T> {
    value: RefCell<T>,
    /// How often it was sent.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    changed: Waiters<()>,
    /// Senders that wait until there are no receivers.
    mourners: Waiters<()>,
}

impl<T> Shared<T> {
    #[track_caller]
    fn borrow(&self, seen: u64) -> Ref<'_, T> {
        let Ok(value) = self.value.try_borrow() else {
            panic!("watch: the value is looked at while it is being modified");
        };
        Ref { value, has_changed: self.version.get() != seen }
    }

    /// Changes the value; unless `modify` says no, everybody is told.
    #[track_caller]
    fn modify<R>(&self, modify: impl FnOnce(&mut T) -> (bool, R)) -> (bool, R) {
        let Ok(mut value) = self.value.try_borrow_mut() else {
            panic!(
                "watch: the value is sent while a Ref of it is held; do not hold one over an await"
            );
        };
        let (changed, output) = modify(&mut value);
        drop(value);
        if changed {
            self.version.set(self.version.get() + 1);
            self.changed.release_all(Place::Dismissed);
        }
        (changed, output)
    }
}

/// Sends values; made by [`channel`], and cloned.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::watch::Sender<()>>();
/// ```
#[derive(Debug)]
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A channel without a receiver yet.
    pub fn new(value: T) -> Self {
        let shared = Shared {
            value: RefCell::new(value),
            version: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            changed: Waiters::new(),
            mourners: Waiters::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Replaces the value and tells all receivers.
    ///
    /// # Errors
    ///
    /// If there is no receiver; the value stays as it was, and the error holds the new one. To set it all the same,
    /// see [`send_replace`](Self::send_replace).
    ///
    /// # Panics
    ///
    /// If a [`Ref`] of the value is held.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, tells all receivers, if there are any, and returns the former value.
    ///
    /// # Panics
    ///
    /// If a [`Ref`] of the value is held.
    #[track_caller]
    pub fn send_replace(&self, value: T) -> T {
        self.shared.modify(|held| (true, std::mem::replace(held, value))).1
    }

    /// Changes the value in place and tells all receivers. Should `modify` panic, nobody is told.
    ///
    /// # Panics
    ///
    /// If a [`Ref`] of the value is held, or `modify` uses the channel.
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.shared.modify(|held| (true, modify(held)));
    }

    /// Changes the value in place, and tells all receivers if `modify` says so; returns what it said.
    ///
    /// # Panics
    ///
    /// As [`send_modify`](Self::send_modify).
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        self.shared.modify(|held| (modify(held), ())).0
    }

    /// The value. While the `Ref` is held nothing can be sent.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow(self.shared.version.get())
    }

    /// A receiver that has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(Rc::clone(&self.shared), self.shared.version.get())
    }

    /// Waits until there is no receiver.
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) {
        until(&self.shared.mourners, |_| self.is_closed().then_some(())).await;
    }

    /// Whether there is no receiver.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Whether two senders are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.changed.release_all(Place::Dismissed);
        }
    }
}

/// Sees the last value; made by [`channel`] and [`Sender::subscribe`], and cloned.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::watch::Receiver<()>>();
/// ```
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(shared: Rc<Shared<T>>, seen: u64) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        Self { shared, seen }
    }

    /// The value, which does not count as seen. While the `Ref` is held nothing can be sent.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow(self.seen)
    }

    /// The value, which is seen then. While the `Ref` is held nothing can be sent.
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let before = std::mem::replace(&mut self.seen, self.shared.version.get());
        self.shared.borrow(before)
    }

    /// Whether there is a value that it has not seen.
    ///
    /// # Errors
    ///
    /// If all senders are dropped, also if there is.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        if self.shared.senders.get() == 0 {
            return Err(RecvError(()));
        }
        Ok(self.shared.version.get() != self.seen)
    }

    /// Waits for a value that it has not seen, which is seen then.
    ///
    /// Dropping the future loses nothing: what it did not tell is told by the next.
    ///
    /// # Errors
    ///
    /// If all senders are dropped, and the last value was seen.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        self.news().await;
        let version = self.shared.version.get();
        let changed = std::mem::replace(&mut self.seen, version) != version;
        if changed { Ok(()) } else { Err(RecvError(())) }
    }

    /// Waits for a value that it has not seen, or until all senders are dropped.
    async fn news(&self) {
        let Shared { version, senders, changed, .. } = &*self.shared;
        let is_news = || version.get() != self.seen || senders.get() == 0;
        until(changed, |_| is_news().then_some(())).await;
    }

    /// Waits for a value of which `condition` is true; the present one is asked first, whether it was seen or not.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// If all senders are dropped, and `condition` is not true of the last value.
    ///
    /// # Panics
    ///
    /// If `condition` sends.
    pub async fn wait_for(
        &mut self,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        loop {
            let closed = self.shared.senders.get() == 0;
            let before = std::mem::replace(&mut self.seen, self.shared.version.get());
            if condition(&self.shared.borrow(before)) {
                return Ok(self.shared.borrow(before));
            }
            if closed {
                return Err(RecvError(()));
            }
            self.news().await;
        }
    }

    /// Counts the present value as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.version.get().wrapping_sub(1);
    }

    /// Counts the present value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version.get();
    }

    /// Whether two receivers are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.shared), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.shared.receivers.get() - 1;
        self.shared.receivers.set(left);
        if left == 0 {
            self.shared.mourners.release_all(Place::Dismissed);
        }
    }
}

/// A look at the value. While it exists nothing can be sent: do not hold it over an await.
#[derive(Debug)]
pub struct Ref<'a, T> {
    value: CellRef<'a, T>,
    has_changed: bool,
}

impl<T> Ref<'_, T> {
    /// Whether the receiver that gave this had not seen the value.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

send_error! {
    /// There is no receiver; holds what was not sent.
    "nobody watches"
}

/// All senders are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvError(());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody will send")
    }
}

impl std::error::Error for RecvError {}
