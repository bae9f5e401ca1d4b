//! The executor: what its worker calls to run tasks, once around the loop.
//!
//! It decides how many tasks run in a turn and with what budget, what happens to wakes from other threads, and
//! the end of all tasks. The tasks themselves, and the lists they are in, are `task`'s.

pub(crate) mod budget;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;

use self::budget::Restore;
pub use self::budget::{Unconstrained, consume_budget, unconstrained, yield_now};
use crate::task::{Address, Entered, HomeRef, Id, JoinHandle, PanicHook, Root};

/// What the thread is in. The guards own it, so the thread's end has nothing to drop: without a destructor the cell
/// can be used by those of others, such as a runtime that lies in a thread local itself.
type Current = Option<ManuallyDrop<Rc<Executor>>>;

crate::loom::thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(None) };
}

/// The executor this thread entered last, or `None` outside all.
pub(crate) fn current() -> Option<Rc<Executor>> {
    CURRENT.with(|current| current.borrow().as_deref().cloned())
}

/// After how many polls a batch looks whether something came from other threads: a call from another core waits for
/// that long (`mesh`, `call_busy`), and the look costs little more than one instruction a poll.
const INBOX_POLLS: u32 = 8;

/// Runs the tasks of one thread.
///
/// Dropping it shuts it down. Its tasks' wakers and handles stay valid and have no effect any more.
#[derive(Debug)]
pub(crate) struct Executor {
    home: Rc<HomeRef>,
    tick_budget: u32,
}

impl Executor {
    /// An executor of this thread. Others wake it through `unpark`, when it said that it sleeps; a batch polls at
    /// most `tick_budget` tasks.
    pub(crate) fn new(unpark: Waker, tick_budget: u32) -> Rc<Self> {
        assert!(tick_budget > 0, "a tick budget of 0 runs nothing");
        Rc::new(Self { home: Rc::new(HomeRef::new(unpark)), tick_budget })
    }

    /// Makes this the thread's current executor until the guard is dropped; then it is again what was before.
    ///
    /// Guards are dropped in the reverse order of their making.
    pub(crate) fn enter(self: &Rc<Self>) -> EnterGuard {
        let entered = self.home.enter();
        let this = ManuallyDrop::new(Rc::clone(self));
        let previous = CURRENT.with(|current| current.replace(Some(this)));
        EnterGuard { previous, _budget: Restore::unlimited(), _entered: entered }
    }

    /// Makes a task of `future` and queues it. After [`shutdown`](Self::shutdown) the future is dropped at once
    /// and the handle says that the task was cancelled.
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.home.spawn(future)
    }

    /// Runs the tasks that are ready, in order, at most as many as the tick budget and `completions`; returns how
    /// many.
    ///
    /// What becomes ready meanwhile goes to the end of the queue and runs in the same batch if the budget allows, and
    /// so does what comes from other threads, which is looked for every few polls: the loop looks at the kernel after
    /// so many, however few tasks there are. Call it entered: it works otherwise too, but every wake takes the way of
    /// a foreign one.
    ///
    /// # Panics
    ///
    /// From inside a task of this executor.
    pub(crate) fn run_batch(&self, completions: u32) -> u32 {
        self.run_by(completions, HomeRef::run_next)
    }

    /// As [`run_batch`](Self::run_batch), with something around each poll, which is told whose it is.
    pub(crate) fn run_batch_watched(
        &self,
        completions: u32,
        around: impl Fn(Id, &dyn Fn() -> bool) -> bool,
    ) -> u32 {
        self.run_by(completions, |home| match home.next_ready() {
            Some(task) => around(task, &|| home.run_next()),
            None => false,
        })
    }

    #[inline(always)]
    fn run_by(&self, completions: u32, run_next: impl Fn(&HomeRef) -> bool) -> u32 {
        assert!(!self.home.is_running(), "an executor cannot be run from inside one of its tasks");
        let mut polled = 0;
        let budget = self.tick_budget.saturating_add(completions);
        while polled < budget {
            let part = budget.min(polled + INBOX_POLLS);
            while polled < part {
                budget::reset();
                if !run_next(&self.home) {
                    budget::lift();
                    return polled;
                }
                polled += 1;
            }
            // Nothing of a task's may run here; what comes in is made ready, and the wakers of those who called.
            budget::lift();
            self.home.take_inbox();
        }
        polled
    }

    /// Whether there is anything for [`run_batch`](Self::run_batch) to do.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.home.ready_count() > 0
    }

    /// Whether there is anything for [`take_inbox`](Self::take_inbox) to do.
    #[inline]
    pub(crate) fn has_arrivals(&self) -> bool {
        self.home.has_arrivals()
    }

    /// Moves wakes and aborts from other threads to the ready queue, and takes parcels in; whether there were any.
    #[inline]
    pub(crate) fn take_inbox(&self) -> bool {
        self.home.take_inbox()
    }

    /// Announces that this thread is about to sleep. `false`: something arrived from elsewhere, do not sleep.
    ///
    /// From here to [`end_sleep`](Self::end_sleep) the first wake from another thread rings `unpark`, once.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.home.begin_sleep()
    }

    /// Takes the announcement back; harmless without one.
    pub(crate) fn end_sleep(&self) {
        self.home.end_sleep();
    }

    /// Drops every task's future, the newest first, and refuses new ones. Handles that wait say that their task was
    /// cancelled.
    ///
    /// Enters the executor meanwhile. The second call does nothing.
    ///
    /// # Panics
    ///
    /// From inside a task of this executor.
    pub(crate) fn shutdown(&self) {
        let _entered = self.home.enter();
        let _budget = Restore::unlimited();
        self.home.shutdown();
    }

    /// How many tasks have not ended.
    pub(crate) fn live_tasks(&self) -> usize {
        self.home.live_count()
    }

    /// The part that tasks know, whose counters tests look at.
    #[cfg(test)]
    pub(crate) fn home(&self) -> &HomeRef {
        &self.home
    }

    /// Where other threads send parcels to.
    pub(crate) fn address(&self) -> Address {
        Address::of(&self.home)
    }

    /// A place in the ready queue for a future that the worker polls itself.
    pub(crate) fn root(&self) -> Root {
        Root::new(&self.home)
    }

    /// Sets what is done with panics of tasks that nobody takes.
    pub(crate) fn set_panic_hook(&self, hook: PanicHook) {
        self.home.set_panic_hook(hook);
    }

    /// How many panics of tasks nobody took.
    pub(crate) fn unhandled_panics(&self) -> u64 {
        self.home.unhandled_panics()
    }

    /// How many panics of the user's code were caught: in polls, in drops and in wakers.
    pub(crate) fn caught_panics(&self) -> u64 {
        self.home.caught_panics()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The thread is inside an executor while this exists, and the executor is alive.
#[must_use = "dropping the guard leaves the executor"]
#[derive(Debug)]
pub(crate) struct EnterGuard {
    previous: Current,
    _budget: Restore,
    _entered: Entered,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // What is taken out may be the last handle: it is dropped after the cell is free again.
        let left = CURRENT.with(|current| current.replace(previous));
        drop(left.map(ManuallyDrop::into_inner));
    }
}
