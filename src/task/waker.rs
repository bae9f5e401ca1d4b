//! The waker of a task: a counted reference that is right on any thread, also after the executor is gone.
//!
//! Waking only queues. It never polls and never drops anything of the user's.
//!
//! # Safety rules
//!
//! By number, those of `task`. A waker owns one counted reference (rule 1), except the one that
//! [`borrowed`] makes.
#![allow(unsafe_code, reason = "room 4: a RawWaker vtable")]

use std::task::{RawWaker, RawWakerVTable, Waker};

use super::header::TaskPtr;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// What a waker of a task is known by. Whatever is done with one runs no code of the user's and touches nothing but
/// the home of the task: a list, a count, the inbox and its bell.
pub(crate) fn table() -> &'static RawWakerVTable {
    &VTABLE
}

/// A waker that owns a reference of its own.
///
/// # Safety
///
/// The task is alive (rule 1).
pub(super) unsafe fn counted(task: TaskPtr) -> Waker {
    // SAFETY: rule 1; the waker owns what is counted here.
    unsafe {
        task.retain();
        borrowed(task)
    }
}

/// A waker for the duration of a poll, which counts nothing.
///
/// # Safety
///
/// The caller never drops it, and keeps the task alive while it exists (rule 1).
#[inline]
pub(super) unsafe fn borrowed(task: TaskPtr) -> Waker {
    // SAFETY: the functions of the vtable keep `RawWaker`'s contract; the data is a live task's.
    unsafe { Waker::from_raw(raw(task)) }
}

/// The task of a waker made here.
///
/// # Safety
///
/// `waker` came from [`counted`], or is a clone of such a one.
pub(super) unsafe fn task_of(waker: &Waker) -> TaskPtr {
    // SAFETY: the caller's promise.
    unsafe { TaskPtr::from_data(waker.data()) }
}

#[inline]
fn raw(task: TaskPtr) -> RawWaker {
    RawWaker::new(task.as_data(), &VTABLE)
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: rule 1; the waker that is cloned keeps the task.
    unsafe {
        let task = TaskPtr::from_data(data);
        task.retain();
        raw(task)
    }
}

unsafe fn wake(data: *const ()) {
    // SAFETY: rule 1; the reference is ours.
    unsafe { TaskPtr::from_data(data).wake_and_release() };
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: rule 1; the waker keeps the task.
    unsafe { TaskPtr::from_data(data).wake() };
}

unsafe fn drop(data: *const ()) {
    // SAFETY: rule 1; the reference is ours.
    unsafe { TaskPtr::from_data(data).release() };
}
