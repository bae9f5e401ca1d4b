//! The submission and completion queues, shared with the kernel.
//!
//! One `Ring` per core, touched by its thread only. It moves entries; it does not know what they mean. The
//! `io-uring` crate maps the queues; the enter call is our own, because that crate forgets the registered index
//! of the ring and cannot pass `NO_IOWAIT`.
//!
//! # Safety rules
//!
//! 1. An entry passed to `push` names only memory that stays valid until its last completion was popped. The
//!    caller owes this; `driver::operation` is where it is argued.
//! 2. `enter` passes only memory that lives across the call.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::IoUring;

use super::setup::Features;
use super::{Cqe, Sqe, register};

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct WaitArgument {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_us: u32,
    timespec: u64,
}

/// The two queues and the descriptor behind them.
pub(crate) struct Ring {
    uring: IoUring,
    registered: Option<u32>,
    /// What `io_uring_enter` is called with: the registered index, or the descriptor.
    enter_fd: i32,
    enter_flags: u32,
    /// Added to calls that sleep.
    wait_flags: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("fd", &self.uring.as_raw_fd()).finish_non_exhaustive()
    }
}

impl Ring {
    /// Takes a ring that `setup` made. `registered` is its index in this thread's table of rings.
    pub(crate) fn new(uring: IoUring, registered: Option<u32>, features: Features) -> Self {
        let (enter_fd, enter_flags) = match registered {
            Some(index) => (index.cast_signed(), ENTER_REGISTERED_RING),
            None => (uring.as_raw_fd(), 0),
        };
        let wait_flags = if features.no_iowait { ENTER_NO_IOWAIT } else { 0 };
        Self { uring, registered, enter_fd, enter_flags, wait_flags }
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Copies as many entries as fit into the submission queue; returns their count.
    ///
    /// # Safety
    ///
    /// Each entry obeys rule 1.
    pub(crate) unsafe fn push(&mut self, entries: &[Sqe]) -> usize {
        let mut queue = self.uring.submission();
        let count = entries.len().min(queue.capacity() - queue.len());
        // SAFETY: rule 1, passed on by our caller.
        let pushed = unsafe { queue.push_multiple(&entries[..count]) };
        if pushed.is_ok() { count } else { 0 }
    }

    /// The kernel has something for us that is not in the completion queue yet.
    pub(crate) fn needs_enter(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Submits what was pushed, runs deferred work, and waits for `want` completions, at most for `timeout`.
    ///
    /// Returns the number of entries that the kernel consumed. An elapsed timeout is `ETIME`.
    #[inline]
    pub(crate) fn enter(&mut self, want: u32, timeout: Option<Duration>) -> io::Result<usize> {
        let to_submit = self.uring.submission().len();
        let mut flags = ENTER_GETEVENTS | self.enter_flags;
        if want > 0 {
            flags |= self.wait_flags;
        }
        let Some(timeout) = timeout else {
            return self.enter_raw(to_submit, want, flags, std::ptr::null(), 0);
        };
        let timespec = libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let argument = WaitArgument {
            sigmask: 0,
            sigmask_size: 8,
            min_wait_us: 0,
            timespec: (&raw const timespec).addr() as u64,
        };
        let size = size_of::<WaitArgument>();
        self.enter_raw(to_submit, want, flags | ENTER_EXT_ARG, (&raw const argument).cast(), size)
    }

    fn enter_raw(
        &self,
        to_submit: usize,
        want: u32,
        flags: u32,
        argument: *const libc::c_void,
        size: usize,
    ) -> io::Result<usize> {
        // SAFETY: rule 2; `argument` is null or points to a live `WaitArgument` of our caller.
        let consumed = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                to_submit as libc::c_uint,
                want,
                flags,
                argument,
                size,
            )
        };
        usize::try_from(consumed).map_err(|_| io::Error::last_os_error())
    }

    /// Hands each completion that is in the queue now to `each`, then gives the space back to the kernel.
    #[inline]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Cqe)) -> u32 {
        let mut count = 0;
        for entry in self.uring.completion() {
            each(Cqe {
                user_data: entry.user_data(),
                result: entry.result(),
                flags: entry.flags(),
            });
            count += 1;
        }
        count
    }

    pub(crate) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(index) = self.registered {
            // Fails only on a foreign thread, whose table never had the ring; the index dies with its thread.
            let _ = register::forget_ring(self.uring.as_raw_fd(), index);
        }
    }
}
