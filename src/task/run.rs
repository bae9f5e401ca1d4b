//! The life of a task at home: spawned, run when it comes up, completed, settled.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: the algorithm over type-erased tasks")]

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::Context;

use super::cell::{self, Unstoppable};
use super::header::TaskPtr;
use super::home::{self, Home, HomeRef};
use super::id::Id;
use super::join::JoinHandle;
use super::refs::Last;
use super::state::{CANCELLED, COMPLETE, JOIN_INTEREST, OUTPUT, RUNNING};
use super::waker;
use crate::loom::atomic::Ordering;

/// Makes a task of `future` and appends it to the ready queue; after the close, one that is cancelled at once.
///
/// # Safety
///
/// `home` is alive, and this its thread (rule 2).
#[inline]
pub(super) unsafe fn spawn<F: Future + 'static>(
    home: NonNull<Home>,
    future: F,
) -> JoinHandle<F::Output> {
    // SAFETY: passed on; it was made for `F`.
    unsafe { begin(home, cell::allocate(home, future, JOIN_INTEREST), false) }
}

/// Takes a new task in, which is polled `now` or appended to the ready queue; after the close it is cancelled.
///
/// # Safety
///
/// Home thread (rule 2); the task was just made for `home`, with `JOIN_INTEREST`, and yields `T`.
#[inline(always)]
unsafe fn begin<T>(home: NonNull<Home>, task: TaskPtr, now: bool) -> JoinHandle<T> {
    // SAFETY: rules 1 and 2; `JOIN_INTEREST` keeps the task, for the handle made here, and it is not `RUNNING`.
    unsafe {
        home.as_ref().owned.insert(task);
        if home.as_ref().closed.get() {
            task.header().state.insert(CANCELLED);
            turn(task);
        } else if now {
            turn(task);
        } else {
            task.schedule();
        }
        JoinHandle::new(task)
    }
}

/// Makes a task of `future` and polls it at once; after the close, one that is cancelled. `None` as for
/// [`spawn_current`].
#[inline]
pub(super) fn spawn_polled<F: Future + 'static>(future: F) -> Option<JoinHandle<F::Output>> {
    let home = home::current()?;
    // SAFETY: rule 2; the current home is alive, and this its thread.
    Some(unsafe { begin(home, cell::allocate(home, future, JOIN_INTEREST), true) })
}

/// See [`spawn_current`], for a future that may refuse to be cancelled.
pub(super) fn spawn_unstoppable<F: Future + Unstoppable + 'static>(
    future: F,
) -> Option<JoinHandle<F::Output>> {
    let home = home::current()?;
    // SAFETY: rule 2; the current home is alive, and this its thread.
    Some(unsafe { begin(home, cell::allocate_unstoppable(home, future, JOIN_INTEREST), false) })
}

/// See [`spawn`]; `None` where the thread is inside no home.
#[inline]
pub(super) fn spawn_current<F: Future + 'static>(future: F) -> Option<JoinHandle<F::Output>> {
    let home = home::current()?;
    // SAFETY: rule 2; the current home is alive, and this its thread.
    Some(unsafe { spawn(home, future) })
}

impl HomeRef {
    /// See [`spawn`].
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        // SAFETY: rule 2; we hold a reference, and are not `Send`.
        unsafe { spawn(self.as_ptr(), future) }
    }

    /// The task that [`run_next`](Self::run_next) would run.
    pub(crate) fn next_ready(&self) -> Option<Id> {
        // SAFETY: rules 1 and 2; what is queued is `SCHEDULED`, and we are not `Send`.
        self.home().ready.first().map(|task| unsafe { task.header() }.id)
    }

    /// Runs the task that was woken first; `false` if none is ready.
    ///
    /// The caller is not inside a task of this home: it has asked [`is_running`](Self::is_running).
    #[inline(always)]
    pub(crate) fn run_next(&self) -> bool {
        debug_assert!(!self.is_running());
        let home = self.home();
        let Some(task) = home.ready.pop() else { return false };
        // SAFETY: rules 1 and 2; it was kept by `SCHEDULED` until now, and nothing ran since.
        unsafe {
            let header = task.header();
            if header.state.begin_poll() {
                home.running.set(Some(task));
                let done = poll(task);
                if done {
                    complete(task);
                }
                home.running.set(None);
                header.state.remove(RUNNING);
                if done {
                    settle(task);
                }
            } else {
                refuse(task);
            }
        }
        true
    }

    /// Closes the home and drops every future.
    ///
    /// Futures that are spawned meanwhile, by what these do when dropped, are dropped too. Entered by the caller.
    pub(crate) fn shutdown(&self) {
        assert!(!self.is_running(), "a runtime cannot be shut down from inside one of its tasks");
        self.close();
        loop {
            self.forget_ready();
            let Some(task) = self.home().owned.first() else { break };
            // SAFETY: rules 1 and 2; what is owned is not complete.
            unsafe {
                task.header().state.insert(CANCELLED);
                turn(task);
            }
        }
    }

    /// Empties the ready queue without running anything.
    fn forget_ready(&self) {
        while let Some(task) = self.home().ready.pop() {
            // SAFETY: rules 1 and 2; it was kept by `SCHEDULED` until now.
            unsafe { settle(task) };
        }
    }
}

/// What is done instead of a poll with a task that came up.
///
/// # Safety
///
/// Home thread (rule 2); the task is alive and not `RUNNING`. It may be gone afterwards.
#[cold]
unsafe fn refuse(task: TaskPtr) {
    // SAFETY: rules 1 and 2.
    unsafe { if task.header().state.has(COMPLETE) { settle(task) } else { turn(task) } }
}

/// Polls the future; whether it is gone and the outcome stored.
///
/// # Safety
///
/// Home thread (rule 2); the task is alive and not complete, and the caller made it `RUNNING`.
#[inline]
unsafe fn poll(task: TaskPtr) -> bool {
    // SAFETY: rule 1 for the waker, which is borrowed from us, counted nowhere and not dropped; rules 2 and 3 for the
    // poll.
    unsafe {
        let waker = ManuallyDrop::new(waker::borrowed(task));
        let mut cx = Context::from_waker(&waker);
        (task.header().vtable.poll)(task, &mut cx).is_ready()
    }
}

/// Polls the task, or drops its future if it was cancelled; completes it if that was the end of it.
///
/// # Safety
///
/// Home thread (rule 2); the task is alive, neither complete nor `RUNNING`. It may be gone afterwards.
#[inline]
unsafe fn turn(task: TaskPtr) {
    // SAFETY: rule 1.
    let (header, home) = unsafe { (task.header(), task.header().home.as_ref()) };
    let cancelled = header.state.has(CANCELLED);
    header.state.insert(RUNNING);
    let outer = home.running.replace(Some(task));
    let done = if cancelled {
        // SAFETY: rules 2 and 3; not complete, and `RUNNING` is ours.
        unsafe { (header.vtable.cancel)(task) }
    } else {
        // SAFETY: rules 2 and 3; not complete, and `RUNNING` is ours.
        unsafe { poll(task) }
    };
    if done {
        // SAFETY: as above; the future is gone and the outcome stored.
        unsafe { complete(task) };
    }
    home.running.set(outer);
    header.state.remove(RUNNING);
    if done {
        // SAFETY: rules 1 and 2.
        unsafe { settle(task) };
    }
}

/// Tells whoever waits that the outcome is there, or drops it if nobody does.
///
/// # Safety
///
/// Home thread (rule 2); the task is `RUNNING`, its future gone, its outcome stored, and this is the first time.
unsafe fn complete(task: TaskPtr) {
    // SAFETY: rule 1.
    let (header, home) = unsafe { (task.header(), task.header().home.as_ref()) };
    header.state.insert(COMPLETE);
    header.finished.store(true, Ordering::Release);
    // SAFETY: rules 1 and 2; it was inserted when it was made.
    unsafe { home.owned.remove(task) };
    if !header.state.has(JOIN_INTEREST) {
        // SAFETY: rules 1 and 2.
        unsafe { discard_output(task) };
    } else if let Some(waker) = header.join_waker.take() {
        home.shield(|| waker.wake());
    }
}

/// Drops the outcome, if there is one.
///
/// # Safety
///
/// Home thread (rule 2); something keeps the task meanwhile (rule 1).
pub(super) unsafe fn discard_output(task: TaskPtr) {
    // SAFETY: rule 1.
    let (header, home) = unsafe { (task.header(), task.header().home.as_ref()) };
    if header.state.has(OUTPUT) {
        header.state.remove(OUTPUT);
        // SAFETY: rules 2 and 3; the flag said it is there, and now says it is not.
        home.shield(|| unsafe { (header.vtable.drop_output)(task) });
    }
}

/// Stops keeping the task if nothing at home needs it, and frees it if nobody else does either.
///
/// # Safety
///
/// Home thread (rule 2); the task is alive, and the caller does not follow the pointer afterwards.
#[inline]
pub(super) unsafe fn settle(task: TaskPtr) {
    // SAFETY: rule 1.
    let header = unsafe { task.header() };
    if header.state.is_settled() && header.refs.merge() == Last::Yes {
        // SAFETY: rule 4.
        unsafe { home::free(task) };
    }
}
