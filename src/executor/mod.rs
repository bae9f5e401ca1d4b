//! Who runs next: the ready queue, the tasks that exist, and what other threads send.
//!
//! `inbox` takes wakes from other threads, `shared` is the part they see, `memory` recycles cells, `budget` makes
//! tasks give way. The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

pub(crate) mod budget;
mod inbox;
mod memory;
mod owned;
mod ready;
mod shared;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

pub(crate) use inbox::Node;
use memory::Memory;
pub(crate) use memory::free as free_memory;
use owned::Owned;
use ready::Ready;
pub(crate) use shared::Shared;

use crate::task::{Id, Ids, JoinHandle, Root, TaskRef, allocate};

/// A core's tasks.
#[derive(Debug)]
pub(crate) struct Executor {
    ready: Ready,
    owned: Owned,
    shared: NonNull<Shared>,
    /// Counts of `shared` that were taken in advance, so that a spawn touches no atomic.
    credits: Cell<usize>,
    memory: Memory,
    ids: Ids,
    tick_budget: u32,
    /// The root's turn came, and its future was not polled since.
    root_is_up: Cell<bool>,
    running: Cell<Option<Id>>,
    closed: Cell<bool>,
    caught_panics: Cell<u64>,
}

thread_local! {
    static ENTERED: Cell<*const Executor> = const { Cell::new(std::ptr::null()) };
}

/// Restores the executor that was entered before.
#[derive(Debug)]
pub(crate) struct EnterGuard {
    _executor: Rc<Executor>,
    previous: *const Executor,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        ENTERED.set(self.previous);
        budget::lift();
    }
}

/// Hands the executor that this thread has entered to `f`.
#[inline]
pub(crate) fn with_entered<R>(f: impl FnOnce(Option<&Executor>) -> R) -> R {
    // SAFETY: rule 5 of `task`.
    f(unsafe { ENTERED.get().as_ref() })
}

/// The executor that this thread has entered.
pub(crate) fn current() -> Option<Rc<Executor>> {
    let executor = ENTERED.get();
    if executor.is_null() {
        return None;
    }
    // SAFETY: rule 5 of `task`: it is the inside of an `Rc` that the guard holds.
    unsafe { Rc::increment_strong_count(executor) };
    // SAFETY: the count was just raised for this handle.
    Some(unsafe { Rc::from_raw(executor) })
}

/// The task that is being polled on this thread.
pub(crate) fn running_task() -> Option<Id> {
    with_entered(|entered| entered.and_then(|executor| executor.running.get()))
}

/// How many counts of `Shared` are taken at once.
const CREDITS: usize = 1024;

impl Executor {
    /// An executor that other threads wake through `unpark`; a tick polls at most `tick_budget` tasks.
    pub(crate) fn new(unpark: Waker, tick_budget: u32) -> Rc<Self> {
        Rc::new(Self {
            ready: Ready::default(),
            owned: Owned::default(),
            shared: Shared::new(unpark),
            credits: Cell::new(0),
            memory: Memory::default(),
            ids: Ids::default(),
            tick_budget,
            root_is_up: Cell::new(false),
            running: Cell::new(None),
            closed: Cell::new(false),
            caught_panics: Cell::new(0),
        })
    }

    /// Makes this the executor that wakers on this thread find themselves at home with. Guards nest.
    pub(crate) fn enter(self: &Rc<Self>) -> EnterGuard {
        let previous = ENTERED.replace(Rc::as_ptr(self));
        EnterGuard { _executor: Rc::clone(self), previous }
    }

    /// Makes a task of a future. After shutdown the future is dropped at once and the handle says "cancelled".
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let task = allocate(self, self.ids.next(), future);
        // SAFETY: a task of this future, which was given no handle yet.
        let handle = unsafe { JoinHandle::new(task) };
        self.owned.push(task);
        if self.closed.get() {
            task.cancel_at_home();
            self.run(task);
        } else {
            self.schedule_new(task);
        }
        handle
    }

    fn schedule_new(&self, task: TaskRef) {
        task.mark_scheduled();
        self.ready.push(task);
    }

    #[inline]
    pub(crate) fn push_ready(&self, task: TaskRef) {
        self.ready.push(task);
    }

    /// Polls what is ready, in order, at most a tick's budget; returns how many were polled.
    ///
    /// What is woken meanwhile goes to the end of the queue and runs in the same tick if the budget allows: the loop
    /// looks at the kernel after so many polls, however few tasks there are.
    pub(crate) fn run_batch(&self) -> u32 {
        let mut polled = 0;
        while polled < self.tick_budget
            && let Some(task) = self.ready.pop()
        {
            self.run(task);
            polled += 1;
        }
        budget::lift();
        polled
    }

    fn run(&self, task: TaskRef) {
        let outer = self.running.replace(Some(task.id()));
        budget::reset();
        let caught = task.run(|task| self.owned.remove(task));
        self.caught_panics.set(self.caught_panics.get() + caught);
        self.running.set(outer);
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.ready.len() > 0 || self.root_is_up.get()
    }

    /// Moves what other threads woke to the ready queue. One load if there is nothing.
    pub(crate) fn take_inbox(&self) -> bool {
        let mut any = false;
        for node in self.shared_ref().take() {
            any = true;
            TaskRef::arrive(node, self);
        }
        any
    }

    /// Announces a sleep. False if something arrived meanwhile: then there is no sleep.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.shared_ref().begin_sleep()
    }

    /// The sleep is over: nobody needs to ring any more.
    pub(crate) fn end_sleep(&self) {
        self.shared_ref().end_sleep();
    }

    /// Drops every task, and what those spawn while they are dropped. The executor is entered.
    pub(crate) fn shutdown(&self) {
        self.closed.set(true);
        for node in self.shared_ref().close() {
            TaskRef::discard(node);
        }
        loop {
            while let Some(task) = self.ready.pop() {
                task.cancel_at_home();
                self.run(task);
            }
            let Some(task) = self.owned.first() else { break };
            task.cancel_at_home();
            self.run(task);
        }
    }

    /// Tasks that were spawned and are not over.
    pub(crate) fn live_tasks(&self) -> usize {
        self.owned.len()
    }

    pub(crate) fn caught_panics(&self) -> u64 {
        self.caught_panics.get()
    }

    /// The place in the queue of a `block_on`. The executor is entered.
    pub(crate) fn root(&self) -> Root {
        Root::new(self)
    }

    pub(crate) fn root_came_up(&self, up: bool) {
        self.root_is_up.set(up);
    }

    pub(crate) fn next_id(&self) -> Id {
        self.ids.next()
    }

    #[inline]
    pub(crate) fn shared(&self) -> NonNull<Shared> {
        self.shared
    }

    fn shared_ref(&self) -> &Shared {
        // SAFETY: rule 6 of `task`: the executor holds a count.
        unsafe { self.shared.as_ref() }
    }

    /// A count of `shared` for a new task.
    #[inline]
    pub(crate) fn count_shared(&self) -> NonNull<Shared> {
        if self.credits.get() == 0 {
            self.shared_ref().retain(CREDITS);
            self.credits.set(CREDITS);
        }
        self.credits.set(self.credits.get() - 1);
        self.shared
    }

    /// Memory for a task.
    #[inline]
    pub(crate) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        self.memory.allocate(layout)
    }

    /// Takes back a task's memory and its count of `shared`.
    #[inline]
    pub(crate) fn recycle(&self, memory: NonNull<u8>, layout: Layout) {
        self.credits.set(self.credits.get() + 1);
        self.memory.recycle(memory, layout);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if !self.closed.get() {
            let previous = ENTERED.replace(&raw const *self);
            self.shutdown();
            ENTERED.set(previous);
        }
        let shared = self.shared;
        // SAFETY: rule 6 of `task`: the counts that were taken in advance, and our own.
        unsafe { Shared::release_many(shared, self.credits.get() + 1) };
    }
}
