//! The bare ring under the hand-written server and the load generator: as fast as this bench knows how.
//!
//! It is set up like annulus sets up its own, so that what separates the two is the runtime and not a flag.
//! The enter call is made here because the `io-uring` crate forgets the registered ring fd.

#![allow(unsafe_code, reason = "a bare ring is unsafe by nature")]

pub(crate) mod buffers;

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter};

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

pub(crate) struct Uring {
    ring: IoUring,
    /// The ring's place in the thread's table of registered rings.
    registered_index: u32,
    wait_flags: u32,
}

/// Both queues of a ring, held over the whole loop so that each turn touches the shared heads and tails once.
pub(crate) struct Queues<'ring> {
    submission: SubmissionQueue<'ring>,
    completion: CompletionQueue<'ring>,
    registered_index: u32,
    wait_flags: u32,
}

/// What a completion says, copied out of the queue.
#[derive(Clone, Copy)]
pub(crate) struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Uring {
    /// A ring for the calling thread alone, with a completion queue of eight times `entries`.
    pub(crate) fn new(entries: u32) -> io::Result<Self> {
        let build = |no_array: bool| {
            let mut builder = IoUring::builder();
            builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_taskrun_flag()
                .setup_submit_all()
                .setup_clamp()
                .setup_cqsize(entries * 8)
                .dontfork();
            if no_array {
                builder.setup_no_sqarray();
            }
            builder.build(entries)
        };
        let ring = build(true).or_else(|_| build(false))?;
        let wait_flags = if ring.params().is_feature_no_iowait() { ENTER_NO_IOWAIT } else { 0 };
        let mut update = [u64::from(u32::MAX), ring.as_raw_fd() as u64];
        // SAFETY: `update` is one io_uring_rsrc_update, which is what the call reads and answers in.
        let registered = unsafe {
            let fd = ring.as_raw_fd();
            libc::syscall(
                libc::SYS_io_uring_register,
                fd,
                REGISTER_RING_FDS,
                update.as_mut_ptr(),
                1_u32,
            )
        };
        match registered {
            1 => Ok(Self { ring, registered_index: update[0] as u32, wait_flags }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn submitter(&self) -> Submitter<'_> {
        self.ring.submitter()
    }

    #[allow(dead_code, reason = "only the mesh bench sends messages to rings")]
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    pub(crate) fn queues(&mut self) -> Queues<'_> {
        let (_, submission, completion) = self.ring.split();
        let Self { registered_index, wait_flags, .. } = *self;
        Queues { submission, completion, registered_index, wait_flags }
    }
}

impl Drop for Uring {
    /// Frees the place in the thread's table, of which there are sixteen; closing the ring does not.
    fn drop(&mut self) {
        let mut update = [u64::from(self.registered_index), 0];
        // SAFETY: as in `new`.
        unsafe {
            let (fd, one) = (self.ring.as_raw_fd(), 1_u32);
            let operation = UNREGISTER_RING_FDS;
            libc::syscall(libc::SYS_io_uring_register, fd, operation, update.as_mut_ptr(), one);
        }
    }
}

impl Queues<'_> {
    /// Queues one entry; what it points at must outlive its last completion, which is the caller's promise.
    #[inline]
    pub(crate) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: every caller keeps buffers and file descriptors until the completion came.
        while unsafe { self.submission.push(entry) }.is_err() {
            self.submission.sync();
            self.enter(0)?;
            self.submission.sync();
        }
        Ok(())
    }

    /// Submits what was pushed and waits for completions, all in one call; none at all when there are
    /// completions to take and nothing to submit.
    #[inline]
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.completion.sync();
        self.submission.sync();
        let ready = !self.completion.is_empty();
        if ready && self.submission.is_empty() {
            return Ok(());
        }
        let flagged = self.submission.taskrun() || self.submission.cq_overflow();
        self.enter(u32::from(!ready && !flagged))?;
        self.completion.sync();
        Ok(())
    }

    /// Submits what was pushed and takes what is done, without waiting.
    #[inline]
    #[allow(dead_code, reason = "only an open loop does not wait")]
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.submission.sync();
        let flagged = self.submission.taskrun() || self.submission.cq_overflow();
        if flagged || !self.submission.is_empty() {
            self.enter(0)?;
        }
        self.completion.sync();
        Ok(())
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<Completion> {
        self.completion.next().map(|entry| Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        })
    }

    #[inline]
    fn enter(&self, want: u32) -> io::Result<()> {
        let flags = ENTER_GETEVENTS | ENTER_REGISTERED_RING | self.wait_flags;
        // SAFETY: the index names this thread's ring, and no argument points anywhere.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.registered_index,
                self.submission.len() as u32,
                want,
                flags,
                0_usize,
                0_usize,
            )
        };
        if entered >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
            _ => Err(error),
        }
    }
}
