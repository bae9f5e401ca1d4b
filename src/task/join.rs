//! The handle that waits for a task's output.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::abort::AbortHandle;
use super::error::JoinError;
use super::header::TaskRef;
use super::id::Id;
use super::state::{COMPLETE, JOIN_INTEREST, OUTPUT};
use crate::executor::budget;

/// Waits for a task. Dropping it detaches the task, which runs on.
///
/// ```
/// annulus::run(async {
///     let task = annulus::spawn(std::future::pending::<()>());
///     task.abort();
///     assert!(task.await.unwrap_err().is_cancelled());
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// It stays on its thread; an [`AbortHandle`] may leave it.
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<annulus::task::JoinHandle<()>>();
/// ```
pub struct JoinHandle<T> {
    task: TaskRef,
    /// Not `Send`, not `Sync`; drops a `T`.
    output: PhantomData<(T, *const ())>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Takes over the interest that the task was allocated with.
    ///
    /// # Safety
    ///
    /// The task's future has the output `T`, and no other handle of this kind exists.
    pub(crate) unsafe fn new(task: TaskRef) -> Self {
        Self { task, output: PhantomData }
    }

    /// Asks for the task's end: its future is dropped by the loop, and the handle gives
    /// [`JoinError::is_cancelled`]. No effect on a task that is over.
    pub fn abort(&self) {
        self.task.cancel();
    }

    /// A handle for [`abort`](Self::abort) that can go to other tasks and threads.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(self.task)
    }

    /// True if the task is over: it returned, panicked or was cancelled.
    pub fn is_finished(&self) -> bool {
        self.task.state.has(COMPLETE)
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.task.id
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If it is polled again after it gave the output.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if budget::proceed(cx).is_pending() {
            return Poll::Pending;
        }
        let task = self.task;
        if !task.state.has(COMPLETE) {
            let unchanged = match task.join_waker.take() {
                Some(waker) if waker.will_wake(cx.waker()) => Some(waker),
                stale => {
                    drop(stale);
                    None
                }
            };
            task.join_waker.set(Some(unchanged.unwrap_or_else(|| cx.waker().clone())));
            return Poll::Pending;
        }
        assert!(task.state.has(OUTPUT), "a JoinHandle was polled after it gave its output");
        let mut output = Poll::Pending;
        // SAFETY: `new`'s promise about `T`; rule 2: this handle is `!Send`.
        unsafe { task.take_output(&mut output) };
        output
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        drop(self.task.join_waker.take());
        self.task.drop_output();
        self.task.state.remove(JOIN_INTEREST);
        self.task.settle();
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
