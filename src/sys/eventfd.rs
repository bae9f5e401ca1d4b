//! The bell that ends a core's sleep from another thread: an eventfd behind a `Waker`.
//!
//! # Safety rules
//!
//! 1. The descriptor is owned by an `Arc`, so no ringer can write to a number that was closed and reused.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

/// The descriptor. A poll of it stands in the ring; each ringing completes it.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    descriptor: Arc<Descriptor>,
}

#[derive(Debug)]
struct Descriptor(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a plain call that touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
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
        Waker::from(Arc::clone(&self.descriptor))
    }
}

impl Wake for Descriptor {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. The only failure is a counter near 2^64, which already means "rung".
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}
