//! A lock for one task at a time, held over await points.

use std::fmt;
use std::rc::Rc;

use super::error::TryLockError;
use super::guarded::{self, Exclusive, Guarded, Pointer};

/// A value that one task at a time may touch, also while it awaits.
///
/// ```
/// use std::rc::Rc;
/// use annulus::sync::Mutex;
///
/// annulus::run(async {
///     let total = Rc::new(Mutex::new(0));
///     let other = Rc::clone(&total);
///     let task = annulus::spawn(async move {
///         let mut total = other.lock().await;
///         let before = *total;
///         annulus::task::yield_now().await; // nobody else comes in between
///         *total = before + 1;
///     });
///     *total.lock().await += 1;
///     task.await?;
///     assert_eq!(*total.lock().await, 2);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// The lock is fair: who asked first gets it first, and nobody overtakes. It is given back when the guard is
/// dropped, so also when a task that holds it is cancelled or panics; there is no poisoning, and the next holder
/// finds the value as it was left. Locking it again in the task that holds it waits for ever.
///
/// Where nothing is awaited while the value is touched, a `Cell` or a `RefCell` does the same for less.
///
/// It belongs to one thread, and so do its guards:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Mutex<()>>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::MutexGuard<'static, ()>>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::OwnedMutexGuard<()>>();
/// ```
pub struct Mutex<T: ?Sized> {
    pub(super) guarded: Guarded<T>,
}

/// Access to the value of a [`Mutex`], given back when it is dropped; made by [`Mutex::lock`].
pub type MutexGuard<'a, T> = Exclusive<&'a Mutex<T>>;

/// A [`MutexGuard`] that keeps the mutex alive; made by [`Mutex::lock_owned`].
pub type OwnedMutexGuard<T> = Exclusive<Rc<Mutex<T>>>;

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { guarded: Guarded::new(value, 1) }
    }

    /// The value; nobody holds the lock, or it would be borrowed.
    pub fn into_inner(self) -> T {
        self.guarded.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    ///
    /// Dropping the future gives up its place in the queue; if the lock was just passed to it, the next one gets it.
    #[inline]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Exclusive::wait(self)
    }

    /// Waits for the lock, with a guard that does not borrow.
    ///
    /// Dropping the future has the effect it has in [`lock`](Self::lock).
    #[inline]
    pub fn lock_owned(self: Rc<Self>) -> impl Future<Output = OwnedMutexGuard<T>> {
        Exclusive::wait_by(self)
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    ///
    /// If it is held, or passed to a task that has not run yet.
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        Exclusive::now(self).ok_or(TryLockError(()))
    }

    /// Takes the lock if it is free, with a guard that does not borrow.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    #[inline]
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        Exclusive::now(self).ok_or(TryLockError(()))
    }

    /// The value, without locking: the borrow shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.guarded.get_mut()
    }
}

impl<T: ?Sized, P: Pointer<Target = Mutex<T>>> Exclusive<P> {
    /// The mutex that the guard is of.
    pub fn mutex(this: &Self) -> &Mutex<T> {
        this.pointer()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        guarded::fmt_lock("Mutex", self, f)
    }
}
