//! The owner's end of a task: await it, abort it, or let go of it.
//!
//! # Safety rules
//!
//! By number, those of `task`. A `JoinHandle` is the anchor `JOIN_INTEREST` (rule 1), and being `!Send` it
//! proves that this is the home thread (rule 2), also where the executor is not entered or gone.
#![allow(unsafe_code, reason = "room 4: takes the output out of the task")]

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::abort::AbortHandle;
use super::cell;
use super::error::JoinError;
use super::header::{Header, TaskPtr};
use super::id::Id;
use super::run;
use super::state::{COMPLETE, JOIN_INTEREST, OUTPUT};
use super::waker;

/// A spawned task, to be awaited for its output.
///
/// Awaiting it gives the task's output, or a [`JoinError`] if the task was aborted, dropped by the end of its
/// runtime, or panicked. Dropping the handle does not stop the task: it runs on *detached*, and its output is
/// dropped when it comes. Dropping a handle whose task has finished drops the output; a panic of that drop is
/// caught. Where the output is the panic of the task, it goes to
/// [`Builder::on_unhandled_panic`](crate::Builder::on_unhandled_panic).
///
/// The handle stays on the thread of its runtime:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::task::JoinHandle<()>>();
/// ```
///
/// ```compile_fail,E0277
/// let handle = annulus::task::spawn(async {});
/// std::thread::spawn(move || drop(handle));
/// ```
///
/// It may outlive the runtime there: the end of the runtime cancels the task, and the handle says so.
///
/// # Panics
///
/// When polled again after it gave its result.
pub struct JoinHandle<T> {
    task: TaskPtr,
    output: PhantomData<T>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    ///
    /// Home thread (rule 2). The task is alive, yields `T`, and its `JOIN_INTEREST` is set for this handle
    /// (rules 1 and 3).
    pub(super) unsafe fn new(task: TaskPtr) -> Self {
        Self { task, output: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: rule 1; we are an anchor.
        unsafe { self.task.header() }
    }

    /// Asks the runtime to drop the task's future instead of polling it again.
    ///
    /// Returns at once; the future is dropped when the task comes up next, and never inside this call. A task
    /// that aborts itself is dropped after the poll that did it returns. Awaiting the handle then gives a
    /// cancelled [`JoinError`], unless the task had finished: then there is no effect.
    pub fn abort(&self) {
        // SAFETY: rule 1; we are an anchor.
        unsafe { self.task.abort() };
    }

    /// Whether the task has finished, be it with an output, a panic or a cancellation.
    pub fn is_finished(&self) -> bool {
        self.header().state.has(COMPLETE)
    }

    /// A handle that can abort the task from any thread, and keeps neither the task nor its output alive.
    pub fn abort_handle(&self) -> AbortHandle {
        // SAFETY: rule 1; we are an anchor.
        AbortHandle::new(unsafe { waker::counted(self.task) })
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.header().id
    }

    /// How many wakers and abort handles exist.
    #[cfg(test)]
    pub(crate) fn references(&self) -> isize {
        self.header().refs.count()
    }

    /// Has the task wake `cx` when it completes.
    fn register(&self, cx: &Context<'_>) {
        let slot = &self.header().join_waker;
        // Out of the cell while the waker's own code may run (rule 6).
        let registered = slot.take();
        let waker = match registered {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        drop(slot.replace(Some(waker)));
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &self.header().state;
        if !state.has(COMPLETE) {
            self.register(cx);
        }
        // Asked again: where it is polled outside the runtime, the waker's own code may have run the task.
        if !state.has(COMPLETE) {
            return Poll::Pending;
        }
        assert!(state.has(OUTPUT), "a JoinHandle was polled after it gave its result");
        state.remove(OUTPUT);
        // SAFETY: rules 2 and 3; the flag said that the outcome is there, and now says it is not.
        Poll::Ready(unsafe { cell::take_outcome(self.task) })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let header = self.header();
        if header.state.has(COMPLETE) {
            // SAFETY: rules 1 and 2; `JOIN_INTEREST` keeps the task while the output is dropped.
            unsafe { run::discard_output(self.task) };
        }
        if let Some(waker) = header.join_waker.take() {
            // SAFETY: rule 1; we are an anchor.
            unsafe { header.home.as_ref() }.shield(|| drop(waker));
        }
        header.state.remove(JOIN_INTEREST);
        // SAFETY: rules 1 and 2; we do not look at it again.
        unsafe { run::settle(self.task) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
