//! Wakers of tasks: right on any thread, at any time, also after the runtime died.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::header::{Header, TaskRef};

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// A waker that stands for a counted reference which the caller hands over.
///
/// # Safety
///
/// The task is allocated as long as the waker lives; a reference is counted, or the waker is never dropped.
pub(super) unsafe fn waker(task: TaskRef) -> Waker {
    let data = task.0.as_ptr().cast_const().cast();
    // SAFETY: the functions of the table keep the contract of `RawWaker`: rule 1.
    unsafe { Waker::new(data, &TABLE) }
}

fn task(data: *const ()) -> TaskRef {
    TaskRef(NonNull::new(data.cast_mut().cast::<Header>()).expect("a waker points to its task"))
}

unsafe fn clone(data: *const ()) -> RawWaker {
    task(data).retain();
    RawWaker::new(data, &TABLE)
}

unsafe fn wake(data: *const ()) {
    task(data).wake();
    task(data).release();
}

unsafe fn wake_by_ref(data: *const ()) {
    task(data).wake();
}

unsafe fn release(data: *const ()) {
    task(data).release();
}
