//! Readiness of any descriptor: for what the ring has no operation for, and for libraries that do their own calls.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ready_guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard};
use super::{Interest, Ready};
use crate::driver;
use crate::executor::budget;
use crate::op::poll::{Direction, Id, Watch};

/// A descriptor of somebody else's, and a way to wait until it is ready.
///
/// The value is not touched: it is read and written by its own methods, inside [`try_io`](AsyncFdReadyGuard::try_io),
/// which says "not ready after all" when they would block. For that it must not block: `O_NONBLOCK` is set by the
/// caller, who knows whether other processes share the open file. What was found ready counts as ready until
/// somebody says otherwise; then the kernel is asked anew, which costs an operation and misses nothing.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use annulus::io::AsyncFd;
///
/// annulus::run(async {
///     let (near, mut far) = UnixStream::pair()?;
///     near.set_nonblocking(true)?;
///     let near = AsyncFd::new(near)?;
///     far.write_all(b"hello")?;
///     let mut bytes = [0; 16];
///     let count = loop {
///         let mut guard = near.readable().await?;
///         match guard.try_io(|socket| socket.get_ref().read(&mut bytes)) {
///             Ok(result) => break result?,
///             Err(_would_block) => continue,
///         }
///     };
///     assert_eq!(&bytes[..count], b"hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
///
/// Any number of tasks may wait, also for the same thing; dropping their futures loses nothing. What is always ready,
/// as a file on a disk, is always ready here. Dropping it drops the value, and those who wait with it.
///
/// The descriptor is that of [`AsFd`], because a number alone would not keep it open; around a bare number goes a
/// [`BorrowedFd`], whose maker promises that.
pub struct AsyncFd<T: AsFd + 'static> {
    // Dropped before the value, which then may close the descriptor.
    watch: Watch,
    inner: T,
    interest: Interest,
}

impl<T: AsFd + 'static> AsyncFd<T> {
    /// Wraps a value that has a descriptor, to wait for reading and writing.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// As [`new`](Self::new), to wait for no more than `interest`.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        let watch = Watch::new(driver::current::expect("AsyncFd"));
        Ok(Self { watch, inner, interest })
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The value, which may exchange its descriptor for another: nothing is known of it any more.
    pub fn get_mut(&mut self) -> &mut T {
        self.watch.disarm();
        &mut self.inner
    }

    /// The value back.
    pub fn into_inner(self) -> T {
        let Self { watch, inner, interest: _ } = self;
        drop(watch);
        inner
    }

    /// Waits until it is ready for one of `interest`. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of a poll, as that the descriptor is none, or that the runtime is gone.
    ///
    /// # Panics
    ///
    /// If `interest` is not part of what the value was wrapped for.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let ready = self.wait(interest).await?;
        Ok(AsyncFdReadyGuard::new(self, interest, ready))
    }

    /// As [`ready`](Self::ready), for who needs the value by a mutable reference.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let ready = self.wait(interest).await?;
        Ok(AsyncFdReadyMutGuard::new(self, interest, ready))
    }

    /// Waits until a read will not wait. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`ready`](Self::ready).
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::READABLE).await
    }

    /// As [`readable`](Self::readable), for who needs the value by a mutable reference.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// Waits until a write will not wait. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`ready`](Self::ready).
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// As [`writable`](Self::writable), for who needs the value by a mutable reference.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// Does `io` whenever it is ready for `interest`, until it no longer would block. If the future is dropped, `io`
    /// was not done, or would have blocked.
    ///
    /// # Errors
    ///
    /// As for [`ready`](Self::ready), and those of `io`.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut io: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut guard = self.ready(interest).await?;
            if let Ok(result) = guard.try_io(|fd| io(fd.get_ref())) {
                return result;
            }
        }
    }

    /// Does `io` if it is known to be ready for `interest`, and notes when it would have blocked.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is not known to be ready, and those of `io`.
    ///
    /// # Panics
    ///
    /// As for [`ready`](Self::ready).
    pub fn try_io<R>(
        &self,
        interest: Interest,
        io: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.check(interest);
        if self.known(interest).is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = io(&self.inner);
        if is_would_block(&result) {
            self.forget(interest);
        }
        result
    }

    /// Waits as [`readable`](Self::readable) does, for futures written by hand. Of those that poll this way, the last
    /// one's task is woken.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        self.poll_by_hand(Interest::READABLE, cx)
    }

    /// Waits as [`writable`](Self::writable) does; otherwise as [`poll_read_ready`](Self::poll_read_ready).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        self.poll_by_hand(Interest::WRITABLE, cx)
    }

    fn poll_by_hand<'a>(
        &'a self,
        interest: Interest,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        self.check(interest);
        ready!(budget::proceed(cx));
        let mut ids = [BY_HAND; 3];
        let ready = ready!(self.poll_ready(interest, &mut ids, cx))?;
        Poll::Ready(Ok(AsyncFdReadyGuard::new(self, interest, ready)))
    }

    async fn wait(&self, interest: Interest) -> io::Result<Ready> {
        self.check(interest);
        poll_fn(budget::proceed).await;
        Waiting { fd: self, interest, ids: [0; 3] }.await
    }

    #[track_caller]
    fn check(&self, interest: Interest) {
        assert!(
            self.interest | interest == self.interest,
            "this AsyncFd was made to wait for {:?}, not for {interest:?}",
            self.interest
        );
    }

    fn poll_ready(
        &self,
        interest: Interest,
        ids: &mut [Id; 3],
        cx: &Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        let mut found = Ready::EMPTY;
        for direction in interest.directions() {
            let id = &mut ids[direction as usize];
            match self.watch.poll_known(self.inner.as_fd(), direction, id, cx) {
                Poll::Ready(Ok(events)) => found |= Ready::from_events(events),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if found.is_empty() { Poll::Pending } else { Poll::Ready(Ok(found)) }
    }

    /// What is known to be ready of `interest`.
    pub(super) fn known(&self, interest: Interest) -> Ready {
        let known = |direction| Ready::from_events(self.watch.known(direction));
        interest.directions().fold(Ready::EMPTY, |found, direction| found | known(direction))
    }

    /// It is not ready any more.
    pub(super) fn forget(&self, interest: Interest) {
        interest.directions().for_each(|direction| self.watch.forget(direction));
    }
}

/// The place of who polls by hand.
const BY_HAND: Id = Id::MAX;

/// True if nothing was done, because it would have had to wait.
pub(super) fn is_would_block<R>(result: &io::Result<R>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Waits; dropped, it gives its places up.
struct Waiting<'a, T: AsFd + 'static> {
    fd: &'a AsyncFd<T>,
    interest: Interest,
    ids: [Id; 3],
}

impl<T: AsFd> Future for Waiting<'_, T> {
    type Output = io::Result<Ready>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.fd.poll_ready(this.interest, &mut this.ids, cx)
    }
}

impl<T: AsFd> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        for direction in Direction::ALL {
            let id = self.ids[direction as usize];
            if id != 0 {
                self.fd.watch.leave(direction, id);
            }
        }
    }
}

impl<T: AsFd + 'static> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd + 'static> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug + 'static> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).finish_non_exhaustive()
    }
}
