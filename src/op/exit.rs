//! WAITID of a child, or POLL_ADD of its descriptor where the kernel lacks that: when it has ended.
//!
//! Neither reaps: the child stays a zombie, and its number its own, until `try_wait` takes the status. So nothing is
//! lost by a dropped wait, and a signal cannot reach somebody else. The operation holds the child as its handle does:
//! when the handle is dropped the operation stays, and the last of the two to go reaps.
//!
//! # Safety rules
//!
//! 1. The entry names no memory: the kernel is not asked for more than that the child has ended. The descriptor of the
//!    child, if there is one, is kept open by `ending`.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::driver::{Actions, Driver, Standing, gone};
use crate::sys::process::pidfd;
use crate::sys::{Cqe, Sqe};

/// Children that outlived the runtime that started them, of all threads: whoever starts another one reaps those that
/// have ended.
static ORPHANS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Reaps the children that outlived their runtime and have ended since.
pub(crate) fn reap_orphans() {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    orphans.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

/// A child, of which the handle and the operation wait for the end.
#[derive(Debug)]
pub(crate) struct Ending {
    /// `None` only while it is dropped.
    child: RefCell<Option<Child>>,
    id: u32,
    /// Where there is no WAITID.
    descriptor: Option<OwnedFd>,
    status: Cell<Option<ExitStatus>>,
    is_armed: Cell<bool>,
    /// The operation completed: there is a status to take, or a reason to ask anew.
    is_told: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Ending {
    /// Takes a child over.
    ///
    /// # Errors
    ///
    /// That there is no descriptor left, where one is needed; the child was killed then.
    pub(crate) fn new(mut child: Child, driver: &Driver) -> io::Result<Rc<Self>> {
        let mut is_gone = false;
        let descriptor = match driver.features().wait_id {
            true => None,
            false => match pidfd(child.id()) {
                Ok(descriptor) => Some(descriptor),
                // Where `SIGCHLD` is ignored the kernel reaps it at once; the wait says so.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                    is_gone = true;
                    None
                }
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(error);
                }
            },
        };
        Ok(Rc::new(Self {
            id: child.id(),
            child: RefCell::new(Some(child)),
            descriptor,
            status: Cell::new(None),
            is_armed: Cell::new(false),
            is_told: Cell::new(is_gone),
            waiting: RefCell::default(),
        }))
    }

    /// The number of the process, until its status was taken.
    pub(crate) fn id(&self) -> Option<u32> {
        self.status.get().is_none().then_some(self.id)
    }

    /// The status, if it has ended. The first time, that reaps it.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        if self.status.get().is_none()
            && let Some(child) = &mut *self.child.borrow_mut()
        {
            self.status.set(child.try_wait()?);
        }
        Ok(self.status.get())
    }

    /// Waits for the end.
    pub(crate) fn poll_wait(
        self: &Rc<Self>,
        driver: &Driver,
        cx: &Context<'_>,
    ) -> Poll<io::Result<ExitStatus>> {
        if self.is_told.replace(false) || self.status.get().is_some() {
            match self.try_wait() {
                Ok(Some(status)) => return Poll::Ready(Ok(status)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // Cloning runs code of the user's, so nothing is borrowed.
        let waker = cx.waker().clone();
        let stale = self.waiting.replace(Some(waker));
        drop(stale);
        if self.arm(driver) {
            return Poll::Pending;
        }
        // Nobody will say it any more, but it may have ended.
        Poll::Ready(self.try_wait().and_then(|status| status.ok_or_else(gone)))
    }

    /// Has the kernel say when it ends; false if the runtime is gone.
    fn arm(self: &Rc<Self>, driver: &Driver) -> bool {
        self.is_armed.get()
            || driver.stand(Exit { ending: Rc::clone(self) }).is_ok()
                && !self.is_armed.replace(true)
    }

    /// The handle is being dropped: the child is reaped when it ends, if need be after the runtime.
    pub(crate) fn abandon(self: &Rc<Self>, driver: &Driver) {
        drop(self.waiting.take());
        if !matches!(self.try_wait(), Ok(Some(_))) {
            self.arm(driver);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take()
            && self.status.get().is_none()
            && matches!(child.try_wait(), Ok(None))
        {
            ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }
}

struct Exit {
    ending: Rc<Ending>,
}

// SAFETY: rule 1.
unsafe impl Standing for Exit {
    const KIND: &'static str = "wait";

    fn prepare(&mut self) -> Sqe {
        if let Some(descriptor) = &self.ending.descriptor {
            let target = io_uring::types::Fd(descriptor.as_raw_fd());
            return io_uring::opcode::PollAdd::new(target, libc::POLLIN as u32).build();
        }
        let options = libc::WEXITED | libc::WNOWAIT;
        io_uring::opcode::WaitId::new(libc::P_PID, self.ending.id, options).build()
    }

    fn deliver(&mut self, _cqe: Cqe, actions: &mut Actions) {
        // Whatever it says, the wait itself says it again.
        self.ending.is_armed.set(false);
        self.ending.is_told.set(true);
        actions.wake_taken(&mut self.ending.waiting.borrow_mut());
    }
}
