//! A task in memory: the header, and then the future or what came of it.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: future and output share their place")]

use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use super::cache;
use super::error::{JoinError, Payload};
use super::header::{Header, TaskPtr, Vtable};
use super::home::Home;
use super::inbox::InboxLink;
use super::list::Links;
use super::refs::Refs;
use super::state::{CANCELLED, OUTPUT, State};
use crate::loom::atomic::AtomicBool;

/// What a join handle yields.
pub(super) type Outcome<T> = Result<T, JoinError>;

/// One allocation.
#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// The future until it is done, then its outcome until somebody takes it (rule 3).
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<F::Output>>,
}

/// A future that waits for what cannot be stopped once it has begun elsewhere.
pub(crate) trait Unstoppable {
    /// Whether an abort has no effect any more. The end of the runtime does not ask. Runs no code of the user's.
    fn is_unstoppable(&self) -> bool;
}

impl<F: Future> TaskCell<F> {
    const VTABLE: Vtable = Vtable {
        poll: poll::<F>,
        cancel: cancel::<F>,
        drop_output: drop_output::<F>,
        stage_offset: offset_of!(Self, stage),
        layout: cache::rounded(Layout::new::<Self>()),
    };
}

impl<F: Future + Unstoppable> TaskCell<F> {
    const UNSTOPPABLE: Vtable = Vtable { cancel: cancel_or_refuse::<F>, ..Self::VTABLE };
}

/// A header for a new task of `home`, with no counted references.
///
/// # Safety
///
/// `home` is alive, and this its thread (rule 2).
#[inline]
pub(super) unsafe fn new_header(home: NonNull<Home>, vtable: &'static Vtable, flags: u8) -> Header {
    // SAFETY: the caller's promise.
    let shared = unsafe { home.as_ref() };
    shared.lend();
    Header {
        vtable,
        home,
        state: State::new(flags),
        queued: AtomicBool::new(false),
        cancel: AtomicBool::new(false),
        finished: AtomicBool::new(false),
        refs: Refs::new(),
        next: Cell::new(None),
        owned: Links::default(),
        inbox_link: InboxLink::new(),
        join_waker: Cell::new(None),
        id: shared.ids.next(),
    }
}

/// Puts a future into a task of `home`, which is in none of its lists yet.
///
/// # Safety
///
/// `home` is alive, and this its thread (rule 2). `flags` are those that hold for a new task (rules 1 and 3).
#[inline]
pub(super) unsafe fn allocate<F: Future + 'static>(
    home: NonNull<Home>,
    future: F,
    flags: u8,
) -> TaskPtr {
    // SAFETY: the caller's promise.
    unsafe { allocate_with(home, future, flags, const { &TaskCell::<F>::VTABLE }) }
}

/// As [`allocate`], for a future that may refuse to be cancelled.
///
/// # Safety
///
/// As for [`allocate`].
pub(super) unsafe fn allocate_unstoppable<F: Future + Unstoppable + 'static>(
    home: NonNull<Home>,
    future: F,
    flags: u8,
) -> TaskPtr {
    // SAFETY: the caller's promise.
    unsafe { allocate_with(home, future, flags, const { &TaskCell::<F>::UNSTOPPABLE }) }
}

/// # Safety
///
/// As for [`allocate`]; `vtable` is one of `TaskCell<F>`.
#[inline]
unsafe fn allocate_with<F: Future + 'static>(
    home: NonNull<Home>,
    future: F,
    flags: u8,
    vtable: &'static Vtable,
) -> TaskPtr {
    // SAFETY: rule 2.
    let memory = unsafe { home.as_ref() }.cache.allocate(vtable.layout).cast::<TaskCell<F>>();
    // SAFETY: fresh memory of that layout; rule 2.
    unsafe {
        (&raw mut (*memory.as_ptr()).header).write(new_header(home, vtable, flags));
        let task = TaskPtr::new(memory.cast());
        future_of::<F>(task).write(future);
        task
    }
}

/// Where the future lies.
///
/// # Safety
///
/// The task is alive and was made for `F` (rules 1 and 3).
#[inline]
unsafe fn future_of<F: Future>(task: TaskPtr) -> *mut F {
    // SAFETY: rules 1 and 3. No reference is made.
    unsafe {
        let stage = UnsafeCell::raw_get(&raw const (*task.as_ptr().cast::<TaskCell<F>>()).stage);
        (&raw mut (*stage).future).cast()
    }
}

/// Where the outcome lies.
///
/// # Safety
///
/// The task is alive and was made for `F` (rules 1 and 3).
#[inline]
unsafe fn outcome_of<F: Future>(task: TaskPtr) -> *mut Outcome<F::Output> {
    // SAFETY: rules 1 and 3. No reference is made.
    unsafe {
        let stage = UnsafeCell::raw_get(&raw const (*task.as_ptr().cast::<TaskCell<F>>()).stage);
        (&raw mut (*stage).outcome).cast()
    }
}

/// Stores what the join handle will find.
///
/// # Safety
///
/// Home thread (rule 2); made for `F`, and the future is gone (rule 3).
#[inline]
unsafe fn store<F: Future>(task: TaskPtr, outcome: Outcome<F::Output>) {
    // SAFETY: rules 1 to 3.
    unsafe {
        outcome_of::<F>(task).write(outcome);
        task.header().state.insert(OUTPUT);
    }
}

/// See [`Vtable::poll`].
unsafe fn poll<F: Future>(task: TaskPtr, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: rule 3; the future is in place, `RUNNING` makes us the only one to touch it, and it is pinned
    // because it is dropped where it lies.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        Pin::new_unchecked(&mut *future_of::<F>(task)).poll(cx)
    }));
    // SAFETY: rule 1.
    let (header, home) = unsafe { (task.header(), task.header().home.as_ref()) };
    let outcome = match polled {
        Ok(Poll::Pending) => return Poll::Pending,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(payload) => {
            home.count_panic();
            Err(JoinError::panicked(header.id, payload))
        }
    };
    if std::mem::needs_drop::<F>() {
        // SAFETY: rule 3; dropped once, and not looked at again.
        home.shield(|| unsafe { ptr::drop_in_place(future_of::<F>(task)) });
    }
    // SAFETY: the caller's promise; the future is gone.
    unsafe { store::<F>(task, outcome) };
    Poll::Ready(())
}

/// See [`Vtable::cancel`].
unsafe fn cancel<F: Future>(task: TaskPtr) -> bool {
    // SAFETY: rule 3; dropped once, and not looked at again.
    let dropped: Result<(), Payload> =
        catch_unwind(AssertUnwindSafe(|| unsafe { ptr::drop_in_place(future_of::<F>(task)) }));
    // SAFETY: rule 1.
    let (id, home) = unsafe { (task.header().id, task.header().home.as_ref()) };
    let error = match dropped {
        Ok(()) => JoinError::cancelled(id),
        Err(payload) => {
            home.count_panic();
            JoinError::panicked(id, payload)
        }
    };
    // SAFETY: the caller's promise; the future is gone.
    unsafe { store::<F>(task, Err(error)) };
    true
}

/// See [`Vtable::cancel`].
unsafe fn cancel_or_refuse<F: Future + Unstoppable>(task: TaskPtr) -> bool {
    // SAFETY: rule 1.
    let (header, home) = unsafe { (task.header(), task.header().home.as_ref()) };
    // SAFETY: rule 3; the future is in place, and `RUNNING` makes us the only one to touch it.
    if home.closed.get() || !unsafe { &*future_of::<F>(task) }.is_unstoppable() {
        // SAFETY: passed on.
        return unsafe { cancel::<F>(task) };
    }
    header.state.remove(CANCELLED);
    // The turn may have been that of a wake too.
    // SAFETY: rules 1 and 2.
    unsafe { task.schedule() };
    false
}

/// See [`Vtable::drop_output`].
unsafe fn drop_output<F: Future>(task: TaskPtr) {
    // SAFETY: rule 3; it is moved out, or dropped where it lies, and not looked at again.
    unsafe {
        let outcome = outcome_of::<F>(task);
        match &*outcome {
            Err(error) if error.is_panic() => {
                let Err(error) = outcome.read() else { return };
                task.header().home.as_ref().report_panic(error);
            }
            _ => ptr::drop_in_place(outcome),
        }
    }
}

/// Moves the outcome out.
///
/// # Safety
///
/// Home thread (rule 2); the task yields `T`, and `OUTPUT` was set and is now cleared (rule 3).
pub(super) unsafe fn take_outcome<T>(task: TaskPtr) -> Outcome<T> {
    // SAFETY: rules 1 to 3; the vtable knows where the stage of the unnamed future begins.
    unsafe {
        let stage = task.as_ptr().byte_add(task.header().vtable.stage_offset);
        stage.cast::<Outcome<T>>().read()
    }
}
