//! What is sent to a home beside wakes: one allocation, that travels through the inbox and says what to do there.
//!
//! A parcel shares the inbox, and so its handshake with a sleeping home: sending one is a compare-and-exchange, and a
//! ring if home sleeps. It can be sent on, or back, as often as its content likes, without another allocation.
//! Whoever waits for it shares its content by an `Arc`.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: parcels are type-erased and linked through their heads")]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use super::home::{self, Home, HomeRef};
use super::inbox::{Delivery, InboxLink, Node};

/// The content of a parcel.
pub(crate) trait Deliver: Send + Sync + Sized + 'static {
    /// The parcel arrived: this is the thread of the home it was sent to, which is entered. If that home is closing,
    /// what is spawned here is cancelled at once.
    fn arrive(parcel: Parcel<Self>);
}

/// What the inbox knows of a parcel.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) link: InboxLink,
    arrive: unsafe fn(HeadPtr),
}

/// The address of a parcel, whose `Arc` it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadPtr(NonNull<Head>);

impl HeadPtr {
    pub(super) fn new(head: NonNull<Head>) -> Self {
        Self(head)
    }

    pub(super) fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    /// # Safety
    ///
    /// The parcel is the caller's (rule 7).
    pub(super) unsafe fn head<'a>(self) -> &'a Head {
        // SAFETY: rule 7.
        unsafe { self.0.as_ref() }
    }

    /// Gives the parcel to its content.
    ///
    /// # Safety
    ///
    /// The parcel is the caller's, and is given up (rule 7).
    pub(super) unsafe fn arrive(self) {
        // SAFETY: rule 7.
        unsafe { (self.head().arrive)(self) };
    }
}

/// A parcel in memory: what its sender, its receiver and those who wait for it share.
#[repr(C)]
pub(crate) struct Posted<T> {
    head: Head,
    content: T,
}

impl<T> Deref for Posted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.content
    }
}

/// The right to send what is posted; there is one. Dropping it sends nothing.
pub(crate) struct Parcel<T>(Arc<Posted<T>>);

impl<T: Deliver> Parcel<T> {
    pub(crate) fn new(content: T) -> Self {
        let head = Head { link: InboxLink::new(), arrive: arrive::<T> };
        Self(Arc::new(Posted { head, content }))
    }

    /// What its sender keeps to wait with.
    pub(crate) fn ticket(&self) -> Arc<Posted<T>> {
        Arc::clone(&self.0)
    }

    /// Sends the parcel to an address that it holds itself, or gives it back if the home there is closed.
    pub(crate) fn send_to(self, address: impl FnOnce(&T) -> &Address) -> Result<(), Self> {
        let home = address(&self.0.content).0;
        let mut held = false;
        let hold = || {
            if !std::mem::replace(&mut held, true) {
                // SAFETY: rule 1; the address is ours until the parcel is in the inbox.
                unsafe { home.as_ref() }.retain();
            }
        };
        // SAFETY: rule 1, as above.
        let result = unsafe { push(home, self, hold) };
        if held {
            // SAFETY: rule 1; the reference counted above.
            unsafe { Home::release(home, 1) };
        }
        result
    }
}

/// Puts the parcel into the inbox of `home`, and rings if it sleeps.
///
/// # Safety
///
/// `home` is alive until the parcel is in the inbox, and then, if `hold` was called, until this returns (rule 1).
unsafe fn push<T: Deliver>(
    home: NonNull<Home>,
    parcel: Parcel<T>,
    hold: impl FnMut(),
) -> Result<(), Parcel<T>> {
    let posted = Arc::into_raw(parcel.0);
    // The whole allocation's pointer: `Posted` begins with its head.
    let head = HeadPtr(NonNull::new(posted.cast_mut().cast()).expect("an `Arc` is not at null"));
    // SAFETY: rule 1 for home, by the caller's promise; rule 7, the parcel was ours.
    match unsafe { home.as_ref().inbox.push(Node::parcel(head), hold) } {
        Delivery::Queued => {}
        // SAFETY: rule 1; `hold` was called.
        Delivery::QueuedAsleep => unsafe { home.as_ref() }.ring(),
        // SAFETY: rule 7; it is still ours.
        Delivery::Closed => return Err(Parcel(unsafe { Arc::from_raw(posted) })),
    }
    Ok(())
}

/// See [`Head::arrive`].
///
/// # Safety
///
/// The parcel has this content, is the caller's, and is given up (rule 7).
unsafe fn arrive<T: Deliver>(head: HeadPtr) {
    // SAFETY: rule 7; `push` made the pointer from this `Arc`.
    let posted = unsafe { Arc::from_raw(head.as_ptr().cast::<Posted<T>>()) };
    T::arrive(Parcel(posted));
}

impl<T> Deref for Parcel<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.content
    }
}

/// Where parcels are sent to: a counted reference to a home, on any thread.
pub(crate) struct Address(NonNull<Home>);

// SAFETY: rule 1: it owns a counted reference. It touches only what of a home is for any thread, but for the credits,
// at home (rule 2).
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    /// The address of a home, on its thread.
    pub(crate) fn of(home: &HomeRef) -> Self {
        home.home().lend();
        Self(home.as_ptr())
    }

    /// The address of the home that this thread is inside of.
    pub(crate) fn here() -> Option<Self> {
        let home = home::current()?;
        // SAFETY: rule 2; the current home is alive, and this its thread.
        unsafe { home.as_ref() }.lend();
        Some(Self(home))
    }

    /// Whether this thread is inside of the home.
    pub(crate) fn is_here(&self) -> bool {
        home::is_current(self.0)
    }

    /// Sends a parcel there, or gives it back if the home is closed.
    pub(crate) fn send<T: Deliver>(&self, parcel: Parcel<T>) -> Result<(), Parcel<T>> {
        // SAFETY: rule 1; we are a reference.
        unsafe { push(self.0, parcel, || ()) }
    }
}

impl Clone for Address {
    fn clone(&self) -> Self {
        // SAFETY: rule 1; we are a reference. Rule 2 at home.
        let home = unsafe { self.0.as_ref() };
        if self.is_here() {
            home.lend()
        } else {
            home.retain()
        }
        Self(self.0)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: rule 1, and rule 2: this is its thread.
            unsafe { self.0.as_ref() }.take_back();
        } else {
            // SAFETY: rule 1; the reference is ours.
            unsafe { Home::release(self.0, 1) };
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.0).finish()
    }
}

impl<T> fmt::Debug for Parcel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").finish_non_exhaustive()
    }
}
