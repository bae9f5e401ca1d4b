//! CLOSE, and the descriptor that is closed when the last operation has released it.
//!
//! # Safety rules
//!
//! 1. An `Fd` owns its number; every operation that names it shares the `Fd`, through an `Rc` of it or of what
//!    contains it, so the number is given up
//!    only when no entry, staged or in the kernel, names it. Then it moves into one `Close`.
//! 2. The entry names no memory.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

use socket2::SockRef;

use crate::driver::{Actions, Driver, Operation, Outcome, Standing, WhenDropped, gone};
use crate::sys::{Cqe, Sqe, plain};

/// A descriptor that operations share. Dropping the last handle closes it through the ring, where a close that waits,
/// as that of a file for its server, holds up nobody; after the runtime's end, by the system call.
pub(crate) struct Fd {
    number: ManuallyDrop<OwnedFd>,
    lingers: Cell<bool>,
    driver: Rc<Driver>,
}

// A connection has one, and so has each descriptor that comes beside a message.
const _: () = assert!(size_of::<Fd>() == 16);

impl Fd {
    pub(crate) fn new(driver: Rc<Driver>, fd: OwnedFd) -> Self {
        Self { number: ManuallyDrop::new(fd), lingers: Cell::new(false), driver }
    }

    /// It is a socket whose close would wait for the peer (`SO_LINGER` above zero), here also through the ring: the
    /// kernel does not hand the close of a socket to a thread. So it is told to close at once, which loses nothing: it
    /// goes on sending as long as without the option.
    pub(crate) fn set_lingers(&self, lingers: bool) {
        self.lingers.set(lingers);
    }

    /// See [`set_lingers`](Self::set_lingers).
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.get()
    }

    pub(crate) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// The number for an entry.
    pub(crate) fn target(&self) -> io_uring::types::Fd {
        io_uring::types::Fd(self.as_raw_fd())
    }

    /// The descriptor itself, not to be closed by us any more.
    pub(crate) fn into_owned(self) -> OwnedFd {
        let mut fd = ManuallyDrop::new(self);
        // SAFETY: `fd` is never dropped, so each field is moved out exactly once.
        let number = unsafe { ManuallyDrop::take(&mut fd.number) };
        // SAFETY: as above.
        drop(unsafe { std::ptr::read(&raw const fd.driver) });
        number
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fd").field(&self.as_raw_fd()).finish()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.number.as_raw_fd()
    }
}

impl AsFd for Fd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.number.as_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if self.lingers.get() {
            // An error leaves a close that waits, as the user has asked for.
            let _ = SockRef::from(&*self).set_linger(None);
        }
        // SAFETY: rule 1; `self` is being dropped, so this is the only move.
        let number = unsafe { ManuallyDrop::take(&mut self.number) };
        let close = Close { number: number.into_raw_fd(), driver: Rc::downgrade(&self.driver) };
        if let Err(close) = self.driver.stand(close) {
            plain::close(close.number);
        }
    }
}

/// A close whose result somebody waits for. Dropped before it happened, it leaves the close to the [`Fd`].
#[derive(Debug)]
pub(crate) struct CloseChecked {
    pub(crate) fd: Fd,
}

// SAFETY: rules 1 and 2.
unsafe impl Operation for CloseChecked {
    type Output = io::Result<()>;

    const KIND: &'static str = "close";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Finish;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Close::new(self.fd.target()).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> io::Result<()> {
        match outcome.result {
            // The runtime is gone, or cancelled it as it ended: the descriptor is still open.
            Err(error) if error.raw_os_error().is_none_or(|code| code == libc::ECANCELED) => {
                Err(error)
            }
            // With any other error, too, the kernel has given the number up.
            result => {
                let driver = Rc::clone(self.fd.driver());
                let _closed = self.fd.into_owned().into_raw_fd();
                driver.descriptor_closed();
                result.map(drop)
            }
        }
    }
}

/// The operation. It always happens, also if the runtime shuts down.
struct Close {
    number: RawFd,
    driver: Weak<Driver>,
}

// SAFETY: rules 1 and 2.
unsafe impl Standing for Close {
    const KIND: &'static str = "close";
    const CANCELLABLE: bool = false;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Close::new(io_uring::types::Fd(self.number)).build()
    }

    fn deliver(&mut self, _cqe: Cqe, _actions: &mut Actions) {}
}

impl Drop for Close {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.descriptor_closed();
        }
    }
}
