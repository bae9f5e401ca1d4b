//! Permits that tasks take, hold and give back.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::rc::Rc;

use super::error::{AcquireError, ReleaseError, TryAcquireError};
use super::permits::{Claim, Permits, Take};

/// A number of permits, of which tasks take some and give them back.
///
/// ```
/// use annulus::sync::Semaphore;
///
/// annulus::run(async {
///     let connections = Semaphore::new(2);
///     let first = connections.acquire().await.expect("open");
///     let second = connections.acquire().await.expect("open");
///     assert!(connections.try_acquire().is_err(), "both are taken");
///     drop(first);
///     assert_eq!(connections.available_permits(), 1);
///     drop(second);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// It is fair: who asked first is served first. While a task waits for many permits, one that asks for few waits
/// behind it, and `try_acquire` is refused.
///
/// A permit is given back when it is dropped, so also when its task is cancelled. [`forget`](Permit::forget) and
/// [`add_permits`](Self::add_permits) are for those who count otherwise; to have a release that nobody acquired
/// refused, make the semaphore with [`bounded`](Self::bounded).
///
/// It belongs to one thread, and so do its permits:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Semaphore>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::OwnedSemaphorePermit>();
/// ```
#[derive(Debug)]
pub struct Semaphore {
    permits: Permits,
    /// How many there are: free, held and granted.
    total: Cell<usize>,
    bound: usize,
}

/// Permits of a [`Semaphore`], given back when it is dropped; made by [`Semaphore::acquire`].
pub type SemaphorePermit<'a> = Permit<&'a Semaphore>;

/// A [`SemaphorePermit`] that keeps the semaphore alive; made by [`Semaphore::acquire_owned`].
pub type OwnedSemaphorePermit = Permit<Rc<Semaphore>>;

impl Semaphore {
    /// The most permits there may be.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// A semaphore of so many free permits, of which there may be more later.
    ///
    /// # Panics
    ///
    /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "more permits than Semaphore::MAX_PERMITS");
        Self { permits: Permits::new(permits), total: Cell::new(permits), bound: Self::MAX_PERMITS }
    }

    /// A semaphore that never has more permits than it is made with, which refuses a release without an acquire.
    ///
    /// ```
    /// use annulus::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::bounded(1);
    /// semaphore.try_acquire().expect("free").forget();
    /// assert!(semaphore.try_add_permits(1).is_ok(), "this was acquired");
    /// assert!(semaphore.try_add_permits(1).is_err(), "and this was not");
    /// ```
    ///
    /// # Panics
    ///
    /// If there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[track_caller]
    pub const fn bounded(permits: usize) -> Self {
        let mut semaphore = Self::new(permits);
        semaphore.bound = permits;
        semaphore
    }

    /// Waits for a permit.
    ///
    /// Dropping the future gives up its place in the queue; permits that it had just been granted go to the next.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or gets closed meanwhile.
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        Take::new(ClaimOne(self))
    }

    /// Waits for `count` permits at once; otherwise as [`acquire`](Self::acquire).
    ///
    /// More than there ever are are waited for until the semaphore is closed.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_many(
        &self,
        count: u32,
    ) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        Take::new(ClaimPermits(self, count))
    }

    /// As [`acquire`](Self::acquire), with a permit that does not borrow.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    /// As [`acquire_many`](Self::acquire_many), with permits that do not borrow.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_many_owned(
        self: Rc<Self>,
        count: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        let mut borrowed = self.acquire_many(count).await?;
        // Its permits are the new one's.
        borrowed.count = 0;
        drop(borrowed);
        Ok(Permit { semaphore: self, count })
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// `NoPermits` if that is not so, `Closed` if the semaphore is closed.
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        Permit::now(self, 1)
    }

    /// Takes `count` permits if they are free and nobody waits.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many(&self, count: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        Permit::now(self, count)
    }

    /// As [`try_acquire`](Self::try_acquire), with a permit that does not borrow.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Permit::now(self, 1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), with permits that do not borrow.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many_owned(
        self: Rc<Self>,
        count: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Permit::now(self, count)
    }

    /// How many permits are free. Somebody may wait for them: one who wants more.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Adds `count` free permits, and wakes those who can be served with them.
    ///
    /// # Panics
    ///
    /// If there would be more than the semaphore may have: see [`try_add_permits`](Self::try_add_permits).
    #[track_caller]
    pub fn add_permits(&self, count: usize) {
        if let Err(error) = self.try_add_permits(count) {
            panic!("Semaphore::add_permits: {error}");
        }
    }

    /// Adds `count` free permits, and wakes those who can be served with them.
    ///
    /// # Errors
    ///
    /// If there would be more than the semaphore was made with, for a [`bounded`](Self::bounded) one, or than
    /// [`MAX_PERMITS`](Self::MAX_PERMITS). Then none is added. Those that are held count; those
    /// [forgotten](Permit::forget) do not.
    pub fn try_add_permits(&self, count: usize) -> Result<(), ReleaseError> {
        let room = self.bound - self.total.get();
        if count > room {
            return Err(ReleaseError { released: count, room });
        }
        self.total.set(self.total.get() + count);
        self.permits.put(count);
        Ok(())
    }

    /// Takes up to `count` free permits away for good, and returns how many. None while somebody waits.
    pub fn forget_permits(&self, count: usize) -> usize {
        let taken = count.min(self.permits.free());
        if !self.permits.try_take(taken) {
            return 0;
        }
        self.total.set(self.total.get() - taken);
        taken
    }

    /// Refuses all who wait for permits, those included who were granted some and have not run since, and all who will;
    /// permits that are held stay held.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether the semaphore was closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

/// Permits of a semaphore, given back when it is dropped.
///
/// `P` is `&Semaphore` or `Rc<Semaphore>`: see [`SemaphorePermit`] and [`OwnedSemaphorePermit`].
#[must_use = "the permits are given back when this is dropped"]
pub struct Permit<P: Deref<Target = Semaphore>> {
    semaphore: P,
    count: u32,
}

/// Asks for one permit: the count is known where it is inlined.
struct ClaimOne<'a>(&'a Semaphore);

impl<'a> Claim<'a> for ClaimOne<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.0.permits
    }

    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn granted(&self) -> Self::Output {
        Ok(Permit { semaphore: self.0, count: 1 })
    }

    fn refused(&self) -> Self::Output {
        Err(AcquireError(()))
    }
}

/// Asks for so many permits.
struct ClaimPermits<'a>(&'a Semaphore, u32);

impl<'a> Claim<'a> for ClaimPermits<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.0.permits
    }

    #[inline]
    fn count(&self) -> usize {
        self.1 as usize
    }

    #[inline]
    fn granted(&self) -> Self::Output {
        Ok(Permit { semaphore: self.0, count: self.1 })
    }

    fn refused(&self) -> Self::Output {
        Err(AcquireError(()))
    }
}

impl<P: Deref<Target = Semaphore>> Permit<P> {
    #[inline]
    fn now(semaphore: P, count: u32) -> Result<Self, TryAcquireError> {
        match semaphore.permits.try_take(count as usize) {
            true => Ok(Self { semaphore, count }),
            false if semaphore.is_closed() => Err(TryAcquireError::Closed),
            false => Err(TryAcquireError::NoPermits),
        }
    }

    /// How many permits these are.
    pub fn num_permits(&self) -> usize {
        self.count as usize
    }

    /// The semaphore they are of.
    pub fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }

    /// Does not give the permits back: the semaphore has so many fewer from now on.
    pub fn forget(mut self) {
        let count = mem::take(&mut self.count) as usize;
        self.semaphore.total.set(self.semaphore.total.get() - count);
    }

    /// Adds the permits of another to these.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore, or more than `u32::MAX` together.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            std::ptr::eq(&*self.semaphore, &*other.semaphore),
            "permits of two semaphores cannot be merged",
        );
        let count = self.count.checked_add(other.count).expect("at most u32::MAX permits in one");
        self.count = count;
        other.count = 0;
    }

    /// Parts `count` permits from these; `None` if they are fewer.
    pub fn split(&mut self, count: usize) -> Option<Self>
    where
        P: Clone,
    {
        let parted = u32::try_from(count).ok().filter(|count| *count <= self.count)?;
        self.count -= parted;
        Some(Self { semaphore: self.semaphore.clone(), count: parted })
    }
}

impl<P: Deref<Target = Semaphore>> Drop for Permit<P> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.permits.put(self.count as usize);
    }
}

impl<P: Deref<Target = Semaphore>> fmt::Debug for Permit<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}
