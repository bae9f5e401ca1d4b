//! A value behind permits, and the guards that may touch it: what `Mutex` and `RwLock` have in common.
//!
//! An owned guard has to reach the value through an `Rc`, which no safe cell of std allows, so the access is here.
//!
//! # Safety rules
//!
//! 1. Access. A `Shared` guard holds one permit and an `Exclusive` one holds all there are, from its making to its
//!    drop. Nobody else takes or puts any, so beside an exclusive guard there is no other.
//! 2. Same value. A guard's pointer is a `&L` or an `Rc<L>`, which lead to the same live lock each time, and the lock
//!    to the same `Guarded`.
#![allow(unsafe_code, reason = "room 6: a value that a guard reaches through a shared lock")]

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::rc::Rc;

use super::mutex::Mutex;
use super::permits::{Claim, Permits, Take};
use super::rwlock::{MAX_READERS, RwLock};

/// A value and the permits to touch it.
#[derive(Debug)]
pub struct Guarded<T: ?Sized> {
    permits: Permits,
    value: UnsafeCell<T>,
}

impl<T> Guarded<T> {
    /// Has as many permits as `Lock::all` of the lock around it says.
    pub(super) const fn new(value: T, all: usize) -> Self {
        Self { permits: Permits::new(all), value: UnsafeCell::new(value) }
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Guarded<T> {
    pub(super) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// A lock around a guarded value. Not to be implemented outside this crate.
///
/// # Safety
///
/// `guarded` gives the same one each time, which was made with `all` permits (rules 1 and 2).
pub unsafe trait Lock {
    /// What is behind the lock.
    type Value: ?Sized;
    /// The value and its permits.
    fn guarded(&self) -> &Guarded<Self::Value>;
    /// How many permits there are.
    fn all(&self) -> usize;
}

// SAFETY: a field of its own, made by `Mutex::new`.
unsafe impl<T: ?Sized> Lock for Mutex<T> {
    type Value = T;

    #[inline]
    fn guarded(&self) -> &Guarded<T> {
        &self.guarded
    }

    #[inline]
    fn all(&self) -> usize {
        1
    }
}

// SAFETY: a field of its own, made by `RwLock::new`.
unsafe impl<T: ?Sized> Lock for RwLock<T> {
    type Value = T;

    #[inline]
    fn guarded(&self) -> &Guarded<T> {
        &self.guarded
    }

    #[inline]
    fn all(&self) -> usize {
        MAX_READERS
    }
}

/// A way to a lock that a guard can hold: `&L` or `Rc<L>`. Not to be implemented outside this crate.
///
/// # Safety
///
/// Leads to the same live lock each time (rule 2).
pub unsafe trait Pointer: Deref + Clone {}

// SAFETY: a reference leads to one place.
unsafe impl<L: ?Sized> Pointer for &L {}
// SAFETY: an `Rc` leads to one place, and keeps it.
unsafe impl<L: ?Sized> Pointer for Rc<L> {}

type ValueOf<P> = <<P as Deref>::Target as Lock>::Value;

/// Exclusive access to the value of a lock, until it is dropped.
///
/// `P` is `&L` or `Rc<L>`, where `L` is the lock: the aliases that name this type say which.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct Exclusive<P: Pointer<Target: Lock>> {
    lock: P,
}

/// Access to the value of a lock beside other readers, until it is dropped.
///
/// `P` is `&L` or `Rc<L>`, where `L` is the lock: the aliases that name this type say which.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct Shared<P: Pointer<Target: Lock>> {
    lock: P,
}

/// Asks for exclusive access.
struct ClaimAll<'a, L: ?Sized>(&'a L);

/// Asks for access beside other readers.
struct ClaimOne<'a, L: ?Sized>(&'a L);

impl<'a, L: Lock + ?Sized> Claim<'a> for ClaimAll<'a, L> {
    type Output = Exclusive<&'a L>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.0.guarded().permits
    }

    #[inline]
    fn count(&self) -> usize {
        self.0.all()
    }

    #[inline]
    fn granted(&self) -> Exclusive<&'a L> {
        Exclusive { lock: self.0 }
    }

    fn refused(&self) -> Exclusive<&'a L> {
        panic!("the permits of a lock are never closed");
    }
}

impl<'a, L: Lock + ?Sized> Claim<'a> for ClaimOne<'a, L> {
    type Output = Shared<&'a L>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.0.guarded().permits
    }

    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn granted(&self) -> Shared<&'a L> {
        Shared { lock: self.0 }
    }

    fn refused(&self) -> Shared<&'a L> {
        panic!("the permits of a lock are never closed");
    }
}

impl<'a, L: Lock + ?Sized> Exclusive<&'a L> {
    #[inline]
    pub(super) fn wait(lock: &'a L) -> impl Future<Output = Self> {
        Take::new(ClaimAll(lock))
    }
}

impl<'a, L: Lock + ?Sized> Shared<&'a L> {
    #[inline]
    pub(super) fn wait(lock: &'a L) -> impl Future<Output = Self> {
        Take::new(ClaimOne(lock))
    }
}

impl<P: Pointer<Target: Lock>> Exclusive<P> {
    /// As `wait`, whatever the pointer.
    pub(super) async fn wait_by(lock: P) -> Self {
        // Not dropped: its permits are the new guard's.
        let _borrowed = ManuallyDrop::new(Exclusive::wait(&*lock).await);
        Self { lock }
    }

    #[inline]
    pub(super) fn now(lock: P) -> Option<Self> {
        lock.guarded().permits.try_take(lock.all()).then(|| Self { lock })
    }

    pub(super) fn pointer(&self) -> &P {
        &self.lock
    }

    /// Puts back all permits but one.
    pub(super) fn into_shared(self) -> Shared<P> {
        // Not dropped: its pointer and one of its permits are the new guard's.
        let this = ManuallyDrop::new(self);
        // SAFETY: read once, out of what is not dropped.
        let shared = Shared { lock: unsafe { ptr::read(&this.lock) } };
        shared.lock.guarded().permits.put(shared.lock.all() - 1);
        shared
    }
}

impl<P: Pointer<Target: Lock>> Shared<P> {
    /// As `wait`, whatever the pointer.
    pub(super) async fn wait_by(lock: P) -> Self {
        // Not dropped: its permit is the new guard's.
        let _borrowed = ManuallyDrop::new(Shared::wait(&*lock).await);
        Self { lock }
    }

    #[inline]
    pub(super) fn now(lock: P) -> Option<Self> {
        lock.guarded().permits.try_take(1).then(|| Self { lock })
    }
}

impl<P: Pointer<Target: Lock>> Deref for Exclusive<P> {
    type Target = ValueOf<P>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: rules 1 and 2; what is given out borrows the guard.
        unsafe { &*self.lock.guarded().value.get() }
    }
}

impl<P: Pointer<Target: Lock>> DerefMut for Exclusive<P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: rules 1 and 2; what is given out borrows the guard, exclusively.
        unsafe { &mut *self.lock.guarded().value.get() }
    }
}

impl<P: Pointer<Target: Lock>> Deref for Shared<P> {
    type Target = ValueOf<P>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: rules 1 and 2; what is given out borrows the guard.
        unsafe { &*self.lock.guarded().value.get() }
    }
}

impl<P: Pointer<Target: Lock>> Drop for Exclusive<P> {
    #[inline]
    fn drop(&mut self) {
        self.lock.guarded().permits.put(self.lock.all());
    }
}

impl<P: Pointer<Target: Lock>> Drop for Shared<P> {
    #[inline]
    fn drop(&mut self) {
        self.lock.guarded().permits.put(1);
    }
}

impl<P: Pointer<Target: Lock>> fmt::Debug for Exclusive<P>
where
    ValueOf<P>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<P: Pointer<Target: Lock>> fmt::Debug for Shared<P>
where
    ValueOf<P>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What a lock shows of itself: its value if nobody has it exclusively.
pub(super) fn fmt_lock<L: Lock<Value: fmt::Debug> + ?Sized>(
    name: &str,
    lock: &L,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    match Shared::now(lock) {
        Some(guard) => shown.field("value", &&*guard),
        None => shown.field("value", &format_args!("<locked>")),
    };
    shown.finish()
}
