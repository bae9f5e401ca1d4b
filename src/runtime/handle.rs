//! The handle of a runtime for other threads: spawn there, and wait for the outcome here.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::Runtime;
use super::remote::{RemoteError, RemoteHandle};
use crate::task::Address;

/// A runtime, as other threads know it: it takes work from any of them.
///
/// It is [`Send`], [`Sync`] and cheap to clone, and keeps nothing of the runtime alive but a little memory. What is
/// sent after the runtime's end is dropped, and its handle says [`RemoteError::NeverBegan`].
///
/// The future itself need not be `Send`: what travels is the closure that makes it, and its output.
///
/// ```
/// use std::rc::Rc;
///
/// let runtime = annulus::Runtime::new()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || {
///     let task = handle.spawn(async move || {
///         let local = Rc::new(20);
///         annulus::task::yield_now().await;
///         *local + 22
///     });
///     task.wait()
/// });
/// runtime.block_on(async {
///     while !thread.is_finished() {
///         annulus::time::sleep(std::time::Duration::from_millis(1)).await;
///     }
/// });
/// assert_eq!(thread.join().unwrap().unwrap(), 42);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    address: Address,
}

impl Handle {
    pub(super) fn new(address: Address) -> Self {
        Self { address }
    }

    /// The handle of the runtime that this thread is in.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current().expect(
            "Handle::current was called outside a runtime: `try_current` asks without panicking",
        )
    }

    /// The handle of the runtime that this thread is in, or `None` outside one.
    pub fn try_current() -> Option<Self> {
        Address::here().map(Self::new)
    }

    /// Whether this thread is in the runtime.
    pub fn is_current(&self) -> bool {
        self.address.is_here()
    }

    /// Makes a task of `work` on the runtime, from any thread, and returns at once.
    ///
    /// The closure is called there, when the runtime's loop comes to it; what it captures and what the task gives
    /// must be `Send`, the future need not be. It costs a system call if the runtime sleeps, and none if it is
    /// awake. The tasks that were sent and have not begun are bounded by nothing but memory, like those that are
    /// spawned there: a thread that sends without end awaits its handles, or a channel's room.
    ///
    /// A panic is an error of the handle. Dropping the handle detaches the task. If the runtime is gone, `work` is
    /// dropped here.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> RemoteHandle<T> {
        RemoteHandle::send(&self.address, work, None).unwrap_or_else(|refused| refused)
    }

    /// As [`spawn`](Self::spawn), but told at once that the runtime is gone; `work` is dropped here then.
    pub(crate) fn try_spawn<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Result<RemoteHandle<T>, ()> {
        RemoteHandle::send(&self.address, work, None).map_err(drop)
    }

    /// Makes a task of `work` on the runtime and waits for its output; nothing is sent before the first poll.
    ///
    /// If the future is dropped, the task is aborted: work that has not begun never happens, and of what has begun
    /// the future is dropped there, as it would be here.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: the runtime is gone, the task panicked or was dropped by the end of its runtime.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Result<T, RemoteError> {
        let mut work = Some(work);
        let mut call = Call(None);
        poll_fn(|cx| {
            if let Some(work) = work.take() {
                // With the waker from the start: there is nothing to look at for some time.
                match RemoteHandle::send(&self.address, work, Some(cx.waker().clone())) {
                    Ok(sent) => {
                        call.0 = Some(sent);
                        return Poll::Pending;
                    }
                    Err(refused) => call.0 = Some(refused),
                }
            }
            Pin::new(call.0.as_mut().expect("it was sent")).poll(cx)
        })
        .await
    }
}

/// A call that is waited for.
struct Call<T>(Option<RemoteHandle<T>>);

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

impl Runtime {
    /// A handle that sends work to this runtime from other threads.
    ///
    /// It is done while [`block_on`](Self::block_on) runs.
    pub fn handle(&self) -> Handle {
        Handle::new(self.worker.executor().address())
    }
}
