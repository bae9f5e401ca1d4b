//! Where parcels are sent to: a home, as other threads know it.
//!
//! # Safety rules
//!
//! By number, those of `task`. An address owns a reference to its home (rule 1).
#![allow(unsafe_code, reason = "room 4: a home is freed by count")]

use std::fmt;
use std::ptr::NonNull;

use super::home::{self, Home, HomeRef};
use super::inbox::{Delivery, Node};
use super::parcel::{HeadPtr, Parcel};

/// A counted reference to a home, on any thread.
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
    #[inline]
    pub(crate) fn here() -> Option<Self> {
        let home = home::current()?;
        // SAFETY: rule 2; the current home is alive, and this its thread.
        unsafe { home.as_ref() }.lend();
        Some(Self(home))
    }

    /// Whether this thread is inside of the home.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        home::is_current(self.0)
    }

    /// The home itself, which this keeps.
    #[inline]
    pub(super) fn home(&self) -> NonNull<Home> {
        self.0
    }

    /// Sends a parcel there, or gives it back if the home is closed.
    #[inline]
    pub(crate) fn send<W, R>(&self, parcel: Parcel<W, R>) -> Result<(), Parcel<W, R>> {
        // SAFETY: rule 1; we are a reference. Rule 7; the parcel was the caller's.
        unsafe { push(self.0, parcel.into_head(), || ()) }.map_err(Parcel::from_head)
    }
}

/// Sends a parcel that keeps the home itself, by its address, or gives it back if the home is closed.
///
/// # Safety
///
/// The parcel is the caller's (rule 7), and has a counted reference to the home (rule 1).
#[inline]
pub(super) unsafe fn send_owner(home: NonNull<Home>, head: HeadPtr) -> Result<(), HeadPtr> {
    // Once the parcel is in the inbox the reference may go with it.
    let mut held = false;
    let hold = || {
        if !std::mem::replace(&mut held, true) {
            // SAFETY: rule 1; the home is alive until the parcel is in the inbox.
            unsafe { home.as_ref() }.retain();
        }
    };
    // SAFETY: rule 1, as above; rule 7, passed on.
    let result = unsafe { push(home, head, hold) };
    if held {
        // SAFETY: rule 1; the reference counted above.
        unsafe { Home::release(home, 1) };
    }
    result
}

/// Puts a parcel into the inbox of a home, and rings if that sleeps; or gives it back.
///
/// # Safety
///
/// The parcel is the caller's (rule 7). The home is alive until the parcel is in the inbox, and then, if `hold` was
/// called, until this returns (rule 1).
#[inline]
unsafe fn push(home: NonNull<Home>, head: HeadPtr, hold: impl FnMut()) -> Result<(), HeadPtr> {
    // SAFETY: rules 1 and 7, by the caller's promise.
    match unsafe { home.as_ref().inbox.push(Node::parcel(head), hold) } {
        Delivery::Queued => Ok(()),
        Delivery::QueuedAsleep => {
            // SAFETY: rule 1; `hold` was called.
            unsafe { home.as_ref() }.ring();
            Ok(())
        }
        Delivery::Closed => Err(head),
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
    #[inline]
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
