//! What a wait for readiness gives: the descriptor, what was found, and a way to say that it is no longer so.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use super::async_fd::is_would_block;
use super::{AsyncFd, Interest, Ready};

/// A descriptor that was found ready.
///
/// It counts as ready until it is cleared, by [`clear_ready`](Self::clear_ready) or by a
/// [`try_io`](Self::try_io) that would have blocked. Dropping the guard clears nothing.
#[must_use = "what was found ready stays so until it is cleared"]
pub struct AsyncFdReadyGuard<'a, T: AsFd + 'static> {
    fd: &'a AsyncFd<T>,
    interest: Interest,
    ready: Ready,
}

/// As [`AsyncFdReadyGuard`], with a mutable reference to the value.
#[must_use = "what was found ready stays so until it is cleared"]
pub struct AsyncFdReadyMutGuard<'a, T: AsFd + 'static> {
    fd: &'a mut AsyncFd<T>,
    interest: Interest,
    ready: Ready,
}

/// It would have blocked: it was not ready after all, and counts as not ready now.
#[derive(Debug)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it would have blocked")
    }
}

impl Error for TryIoError {}

impl<'a, T: AsFd + 'static> AsyncFdReadyGuard<'a, T> {
    pub(super) fn new(fd: &'a AsyncFd<T>, interest: Interest, ready: Ready) -> Self {
        Self { fd, interest, ready }
    }

    /// What was found.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// It is not ready any more: the next wait asks the kernel.
    pub fn clear_ready(&mut self) {
        self.fd.forget(self.interest);
        self.ready = Ready::EMPTY;
    }

    /// It is still ready. This is what happens anyway, said aloud.
    pub fn retain_ready(&mut self) {}

    /// Does `io`, and clears the readiness if that would have blocked.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if it would have blocked; what else `io` returns is inside the `Ok`.
    pub fn try_io<R>(
        &mut self,
        io: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = io(self.fd);
        if is_would_block(&result) {
            self.clear_ready();
            return Err(TryIoError(()));
        }
        Ok(result)
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.fd
    }

    /// The value.
    pub fn get_inner(&self) -> &'a T {
        self.fd.get_ref()
    }
}

impl<'a, T: AsFd + 'static> AsyncFdReadyMutGuard<'a, T> {
    pub(super) fn new(fd: &'a mut AsyncFd<T>, interest: Interest, ready: Ready) -> Self {
        Self { fd, interest, ready }
    }

    /// What was found.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// It is not ready any more: the next wait asks the kernel.
    pub fn clear_ready(&mut self) {
        self.fd.forget(self.interest);
        self.ready = Ready::EMPTY;
    }

    /// It is still ready. This is what happens anyway, said aloud.
    pub fn retain_ready(&mut self) {}

    /// Does `io`, and clears the readiness if that would have blocked.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if it would have blocked; what else `io` returns is inside the `Ok`.
    pub fn try_io<R>(
        &mut self,
        io: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = io(self.fd);
        if is_would_block(&result) {
            self.clear_ready();
            return Err(TryIoError(()));
        }
        Ok(result)
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &AsyncFd<T> {
        self.fd
    }

    /// The value.
    pub fn get_inner(&self) -> &T {
        self.fd.get_ref()
    }

    /// The value, as [`AsyncFd::get_mut`] gives it: nothing is known to be ready afterwards.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }
}

impl<T: AsFd + fmt::Debug + 'static> fmt::Debug for AsyncFdReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AsyncFdReadyGuard");
        debug.field("fd", self.fd).field("ready", &self.ready).finish()
    }
}

impl<T: AsFd + fmt::Debug + 'static> fmt::Debug for AsyncFdReadyMutGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AsyncFdReadyMutGuard");
        debug.field("fd", self.fd).field("ready", &self.ready).finish()
    }
}
