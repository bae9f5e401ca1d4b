//! A lock for many readers or one writer, held over await points.

use std::fmt;
use std::rc::Rc;

use super::error::TryLockError;
use super::guarded::{self, Exclusive, Guarded, Pointer, Shared};

/// How many readers there may be at once; more wait.
pub(super) const MAX_READERS: usize = u32::MAX as usize >> 3;

/// A value that many tasks may read or one may write, also while they await.
///
/// ```
/// use annulus::sync::RwLock;
///
/// annulus::run(async {
///     let table = RwLock::new(vec![1]);
///     {
///         let (one, two) = (table.read().await, table.read().await);
///         assert_eq!((one[0], two[0]), (1, 1));
///         assert!(table.try_write().is_err(), "it is being read");
///     }
///     table.write().await.push(2);
///     assert_eq!(*table.read().await, [1, 2]);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// The lock is fair: who asked first gets it first, readers that wait behind a writer included, so a writer is never
/// starved. A task that reads and asks to read again may therefore wait for ever, if a writer asked in between. A
/// guard that is dropped, also by a task that is cancelled or panics, gives its access back; there is no poisoning.
///
/// It belongs to one thread, and so do its guards:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::RwLock<()>>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::RwLockReadGuard<'static, ()>>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::OwnedRwLockWriteGuard<()>>();
/// ```
pub struct RwLock<T: ?Sized> {
    pub(super) guarded: Guarded<T>,
}

/// Access to the value of an [`RwLock`] beside other readers; made by [`RwLock::read`].
pub type RwLockReadGuard<'a, T> = Shared<&'a RwLock<T>>;

/// Sole access to the value of an [`RwLock`]; made by [`RwLock::write`].
pub type RwLockWriteGuard<'a, T> = Exclusive<&'a RwLock<T>>;

/// A [`RwLockReadGuard`] that keeps the lock alive; made by [`RwLock::read_owned`].
pub type OwnedRwLockReadGuard<T> = Shared<Rc<RwLock<T>>>;

/// A [`RwLockWriteGuard`] that keeps the lock alive; made by [`RwLock::write_owned`].
pub type OwnedRwLockWriteGuard<T> = Exclusive<Rc<RwLock<T>>>;

impl<T> RwLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { guarded: Guarded::new(value, MAX_READERS) }
    }

    /// The value; nobody holds the lock, or it would be borrowed.
    pub fn into_inner(self) -> T {
        self.guarded.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits to read.
    ///
    /// Dropping the future gives up its place in the queue; if it was just let in, it leaves again.
    #[inline]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        Shared::wait(self)
    }

    /// Waits to write.
    ///
    /// Dropping the future gives up its place in the queue, and lets in the readers behind it; if the lock was just
    /// passed to it, the next one gets it.
    #[inline]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        Exclusive::wait(self)
    }

    /// Waits to read, with a guard that does not borrow; otherwise as [`read`](Self::read).
    #[inline]
    pub fn read_owned(self: Rc<Self>) -> impl Future<Output = OwnedRwLockReadGuard<T>> {
        Shared::wait_by(self)
    }

    /// Waits to write, with a guard that does not borrow; otherwise as [`write`](Self::write).
    #[inline]
    pub fn write_owned(self: Rc<Self>) -> impl Future<Output = OwnedRwLockWriteGuard<T>> {
        Exclusive::wait_by(self)
    }

    /// Reads if nobody writes or waits.
    ///
    /// # Errors
    ///
    /// If the lock is held for writing, or somebody waits for it.
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        Shared::now(self).ok_or(TryLockError(()))
    }

    /// Writes if nobody reads, writes or waits.
    ///
    /// # Errors
    ///
    /// If the lock is held, or somebody waits for it.
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        Exclusive::now(self).ok_or(TryLockError(()))
    }

    /// As [`try_read`](Self::try_read), with a guard that does not borrow.
    ///
    /// # Errors
    ///
    /// If the lock is held for writing, or somebody waits for it.
    #[inline]
    pub fn try_read_owned(self: Rc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        Shared::now(self).ok_or(TryLockError(()))
    }

    /// As [`try_write`](Self::try_write), with a guard that does not borrow.
    ///
    /// # Errors
    ///
    /// If the lock is held, or somebody waits for it.
    #[inline]
    pub fn try_write_owned(self: Rc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        Exclusive::now(self).ok_or(TryLockError(()))
    }

    /// The value, without locking: the borrow shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.guarded.get_mut()
    }
}

impl<T: ?Sized, P: Pointer<Target = RwLock<T>>> Exclusive<P> {
    /// Goes on as a reader, with no writer in between.
    ///
    /// ```
    /// use annulus::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.try_write().expect("free");
    /// *writer = 2;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!((*reader, *lock.try_read().expect("readers go together")), (2, 2));
    /// ```
    pub fn downgrade(this: Self) -> Shared<P> {
        this.into_shared()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        guarded::fmt_lock("RwLock", self, f)
    }
}
