//! A task's memory: the header, then the future or what became of it.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::JoinError;
use super::header::{Header, TaskRef};
use super::id::Id;
use super::state::{CANCELLED, COMPLETE, JOIN_INTEREST, OUTPUT, RUNNING, SCHEDULED};
use super::waker;
use crate::executor::Executor;

/// The functions of one task type.
pub(crate) struct Table {
    pub(super) layout: Layout,
    /// Polls the future, or drops it if the task is cancelled; true if it is over and the stage holds a result.
    poll: unsafe fn(TaskRef) -> bool,
    /// Drops the result.
    drop_output: unsafe fn(TaskRef),
    /// Moves the result out, to a `Poll<Result<T, JoinError>>`.
    take_output: unsafe fn(TaskRef, *mut ()),
}

impl Table {
    /// A table for a task that has no future.
    pub(super) const fn bare(poll: unsafe fn(TaskRef) -> bool) -> Self {
        unsafe fn nothing(_task: TaskRef) {}
        unsafe fn no_output(_task: TaskRef, _destination: *mut ()) {}
        let layout = Layout::new::<Header>();
        Self { layout, poll, drop_output: nothing, take_output: no_output }
    }
}

#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

enum Stage<F: Future> {
    Future(F),
    Finished(Result<F::Output, JoinError>),
    Empty,
}

/// Writes a new task, not yet known to any list.
pub(crate) fn allocate<F: Future + 'static>(executor: &Executor, id: Id, future: F) -> TaskRef {
    let layout = Layout::new::<TaskCell<F>>();
    let memory = executor.allocate(layout).cast::<TaskCell<F>>();
    let header = Header::new(table::<F>(), executor.count_shared(), id, JOIN_INTEREST);
    let cell = TaskCell { header, stage: UnsafeCell::new(Stage::Future(future)) };
    // SAFETY: fresh memory of the right layout.
    unsafe { memory.write(cell) };
    TaskRef(memory.cast())
}

/// Writes a task that is only a header.
pub(super) fn allocate_bare(executor: &Executor, id: Id, table: &'static Table) -> TaskRef {
    let memory = executor.allocate(Layout::new::<Header>()).cast::<Header>();
    let header = Header::new(table, executor.count_shared(), id, JOIN_INTEREST);
    // SAFETY: fresh memory of the right layout.
    unsafe { memory.write(header) };
    TaskRef(memory)
}

fn table<F: Future + 'static>() -> &'static Table {
    const {
        &Table {
            layout: Layout::new::<TaskCell<F>>(),
            poll: poll::<F>,
            drop_output: drop_output::<F>,
            take_output: take_output::<F>,
        }
    }
}

/// # Safety
///
/// The task is a `TaskCell<F>`, this is its home thread, and no other reference to the stage exists (rule 4).
unsafe fn stage<'a, F: Future>(task: TaskRef) -> &'a mut Stage<F> {
    let cell = task.0.cast::<TaskCell<F>>();
    // SAFETY: our caller's promise. The reference is to the stage alone, not to the header.
    unsafe { &mut *UnsafeCell::raw_get(&raw const (*cell.as_ptr()).stage) }
}

/// # Safety
///
/// As for `stage`, and the task is `RUNNING`.
unsafe fn poll<F: Future + 'static>(task: TaskRef) -> bool {
    // SAFETY: our caller's promise.
    let stage = unsafe { stage::<F>(task) };
    let result = if task.state.has(CANCELLED) {
        Err(JoinError::cancelled(task.id))
    } else {
        let Stage::Future(future) = &mut *stage else { return false };
        // SAFETY: rule 4: the future stays in the cell until it is dropped there.
        let future = unsafe { Pin::new_unchecked(future) };
        match catch_unwind(AssertUnwindSafe(|| poll_future(task, future))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(JoinError::panicked(task.id, payload)),
        }
    };
    // The future is dropped in its place, before anything is moved there.
    let dropped = catch_unwind(AssertUnwindSafe(|| *stage = Stage::Empty));
    *stage = Stage::Finished(match (result, dropped) {
        (Err(error), Err(payload)) if error.is_cancelled() => {
            Err(JoinError::panicked(task.id, payload))
        }
        (result, _) => result,
    });
    true
}

fn poll_future<F: Future>(task: TaskRef, future: Pin<&mut F>) -> Poll<F::Output> {
    // SAFETY: the task is running, so it is allocated; the waker is not dropped, so no reference is given up.
    let waker = ManuallyDrop::new(unsafe { waker::waker(task) });
    future.poll(&mut Context::from_waker(&waker))
}

/// # Safety
///
/// As for `stage`; the stage holds a result.
unsafe fn drop_output<F: Future>(task: TaskRef) {
    // SAFETY: our caller's promise.
    let stage = unsafe { stage::<F>(task) };
    drop(std::mem::replace(stage, Stage::Empty));
}

/// # Safety
///
/// As for `stage`; `destination` is a `Poll<Result<F::Output, JoinError>>`.
unsafe fn take_output<F: Future>(task: TaskRef, destination: *mut ()) {
    // SAFETY: our caller's promise.
    let stage = unsafe { stage::<F>(task) };
    if let Stage::Finished(result) = std::mem::replace(stage, Stage::Empty) {
        // SAFETY: our caller's promise.
        unsafe { *destination.cast::<Poll<Result<F::Output, JoinError>>>() = Poll::Ready(result) };
    }
}

impl TaskRef {
    /// Runs a task that was popped from the ready queue, or that is in no queue. If it is over, `unlink` takes it
    /// out of the list of tasks. Returns the number of panics that were caught outside a poll.
    #[inline]
    pub(crate) fn run(self, unlink: impl FnOnce(Self)) -> u64 {
        self.state.remove(SCHEDULED);
        if self.state.has(COMPLETE) {
            self.settle();
            return 0;
        }
        debug_assert!(!self.state.has(RUNNING), "a task cannot run inside itself");
        self.state.insert(RUNNING);
        // SAFETY: rules 2 and 4: popped at home, and `RUNNING` was not set.
        let over = unsafe { (self.table.poll)(self) };
        self.state.remove(RUNNING);
        if !over {
            return 0;
        }
        unlink(self);
        self.finish()
    }

    /// Ends a task whose stage holds the result: tells who waits, drops what nobody wants.
    fn finish(self) -> u64 {
        self.state.insert(COMPLETE | OUTPUT | RUNNING);
        self.mark_finished();
        let mut caught = 0;
        if let Some(waker) = self.join_waker.take() {
            caught += u64::from(catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err());
        }
        if !self.state.has(JOIN_INTEREST) {
            caught += self.drop_output();
        }
        self.state.remove(RUNNING);
        self.settle();
        caught
    }

    /// Drops the result, if it is there; on the home thread.
    pub(super) fn drop_output(self) -> u64 {
        if !self.state.has(OUTPUT) {
            return 0;
        }
        self.state.remove(OUTPUT);
        // SAFETY: rule 2; the flag said that the result is there, and it is cleared.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (self.table.drop_output)(self) }));
        u64::from(dropped.is_err())
    }

    /// Moves the result to `destination`, if it is there; on the home thread.
    ///
    /// # Safety
    ///
    /// The task's future has the output `T`.
    pub(super) unsafe fn take_output<T>(self, destination: &mut Poll<Result<T, JoinError>>) {
        if !self.state.has(OUTPUT) {
            return;
        }
        self.state.remove(OUTPUT);
        // SAFETY: our caller's promise; rule 2; the flag said that the result is there.
        unsafe { (self.table.take_output)(self, (&raw mut *destination).cast()) };
    }

    pub(crate) fn id(self) -> Id {
        self.id
    }

    /// Marks a new task as queued.
    pub(crate) fn mark_scheduled(self) {
        self.state.insert(SCHEDULED);
    }

    /// Marks the task so that its next run drops the future.
    pub(crate) fn cancel_at_home(self) {
        self.state.insert(CANCELLED);
    }
}
