//! The bell that ends a core's sleep from another thread: an eventfd behind a `Waker`.
//!
//! # Safety rules
//!
//! 1. The descriptor is owned by an `Arc`, so no ringer can write to a number that was closed and reused.
//! 2. The data of a waker with our `VTABLE`, which nobody else has, came from `Arc::into_raw` of a `Descriptor`, and
//!    the waker owns that reference.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// The descriptor. A poll of it stands in the ring; each ringing completes it.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    descriptor: Arc<Descriptor>,
}

#[derive(Debug)]
struct Descriptor(OwnedFd);

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        // Not blocking: a ring may write to it, which it then does in the call that submits it.
        // SAFETY: a plain call that touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: rule 1; the kernel just gave us this descriptor and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { descriptor: Arc::new(Descriptor(fd)) })
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.descriptor.0.as_raw_fd()
    }

    /// A waker for any thread. It writes to the descriptor, which stays open as long as a waker does.
    pub(crate) fn waker(&self) -> Waker {
        let data = Arc::into_raw(Arc::clone(&self.descriptor));
        // SAFETY: rule 2; the functions of the table keep `RawWaker`'s contract.
        unsafe { Waker::from_raw(RawWaker::new(data.cast(), &VTABLE)) }
    }

    /// The bell that a waker rings; `None` if it is not of a bell.
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        if !ptr::eq(waker.vtable(), &VTABLE) {
            return None;
        }
        // SAFETY: rule 2; the waker keeps its reference.
        let own = ManuallyDrop::new(unsafe { Self::from_data(waker.data()) });
        Some(Self::clone(&own))
    }

    /// Ends the sleep of its core, or the next one.
    pub(crate) fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. The only failure is a counter near 2^64, which already means "rung".
        unsafe { libc::write(self.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// # Safety
    ///
    /// The data is that of our waker, whose reference becomes the bell's (rule 2).
    unsafe fn from_data(data: *const ()) -> Self {
        // SAFETY: rule 2.
        Self { descriptor: unsafe { Arc::from_raw(data.cast()) } }
    }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: rule 2; the waker that is cloned keeps its reference.
    unsafe { Arc::<Descriptor>::increment_strong_count(data.cast()) };
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: rule 2; the reference is ours.
    unsafe { Bell::from_data(data) }.ring();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: rule 2; the waker keeps its reference.
    ManuallyDrop::new(unsafe { Bell::from_data(data) }).ring();
}

unsafe fn drop(data: *const ()) {
    // SAFETY: rule 2; the reference is ours.
    std::mem::drop(unsafe { Bell::from_data(data) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_known_by_its_wakers_and_closed_with_the_last() {
        let bell = Bell::new().expect("a descriptor is left");
        let waker = bell.waker();
        let known = Bell::of(&waker.clone()).expect("it is of a bell");
        assert_eq!(known.as_raw_fd(), bell.as_raw_fd());
        assert!(Bell::of(Waker::noop()).is_none());
        let descriptor = Arc::downgrade(&bell.descriptor);
        assert_eq!(Arc::strong_count(&bell.descriptor), 3, "bell, waker and what was asked for");
        waker.wake_by_ref();
        known.ring();
        drop_all((bell, known));
        waker.wake();
        assert!(descriptor.upgrade().is_none());
    }

    fn drop_all<T>(_: T) {}
}
