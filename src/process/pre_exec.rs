//! `Command::pre_exec`, in a file of its own because its caller has to promise something.
//!
//! # Safety rules
//!
//! 1. The promise of [`std::os::unix::process::CommandExt::pre_exec`] is handed on to the caller as it is.
#![allow(unsafe_code, reason = "the closure runs between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;

use super::Command;

impl Command {
    /// Has a closure run in the child, after the fork and before the exec. Several run in their order; an error of one
    /// is that of [`spawn`](Self::spawn).
    ///
    /// The child is then made by `fork(2)`, which copies the page tables of the process: it takes longer the more
    /// memory the process has, and the core waits for it.
    ///
    /// # Safety
    ///
    /// The closure runs in a copy of the process with this one thread, in which locks may be held by threads that are
    /// not there. So it must do nothing that is not async-signal-safe; above all it must not allocate, and not touch
    /// the runtime: no future, no ring, no waker.
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Self
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: rule 1.
        unsafe { self.as_std_mut().pre_exec(f) };
        self
    }
}
