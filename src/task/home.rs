//! What tasks share with their executor: its queues, its memory and its inbox.
//!
//! A `Home` is counted by its executor and by every task, so its address is not used again while a task that
//! names it lives. That makes the address an identity: a thread is *home* for a task when the `Home` it entered
//! last is the task's. Comparing two pointers is all that a wake has to do to avoid every locked instruction.
//!
//! Even the count is biased. The executor draws [`CREDITS`] references at a time from the atomic count and hands
//! them to tasks without touching it.
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: a home is freed by count")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::Waker;

use super::abort::AbortHandle;
use super::cache::{self, Cache};
use super::error::{JoinError, Payload};
use super::header::TaskPtr;
use super::id::{Id, Ids};
use super::inbox::{Arrival, Arrivals, Inbox};
use super::list::{Owned, Ready};
use super::parcel::HeadPtr;
use super::state::CANCELLED;
use super::waker;
use crate::loom::atomic::{AtomicUsize, Ordering, fence};

/// How many references an executor draws at once.
const CREDITS: usize = 1024;

/// How much is taken in at once; what more was sent waits for the next look, and the core looks at all else before.
const ARRIVALS_MAX: usize = 256;

/// How many parcels are polled as they arrive; what more comes at once waits its turn with the ready.
const POLLED_PARCELS: u32 = 8;

crate::loom::thread_local! {
    static CURRENT: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is inside `home`.
#[inline]
pub(super) fn is_current(home: NonNull<Home>) -> bool {
    CURRENT.with(|current| ptr::eq(current.get(), home.as_ptr()))
}

/// The home this thread is inside of. It is alive for as long as the thread does not leave it.
#[inline]
pub(super) fn current() -> Option<NonNull<Home>> {
    CURRENT.with(|current| NonNull::new(current.get().cast_mut()))
}

/// The thread is inside a home while this exists.
///
/// Such guards are dropped in the reverse order of their making. One that is not, or that is forgotten, keeps its
/// home for ever and the thread inside some home: wrong, but sound.
#[derive(Debug)]
pub(crate) struct Entered {
    home: ManuallyDrop<Rc<HomeRef>>,
    previous: *const Home,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let innermost = is_current(self.home.0);
        debug_assert!(innermost, "homes are left in the reverse order of entering them");
        if innermost {
            CURRENT.with(|current| current.set(self.previous));
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.home) };
        }
    }
}

/// What is to be done with a panic that nobody will take.
#[derive(Clone)]
pub(crate) struct PanicHook(pub(crate) Rc<dyn Fn(JoinError)>);

impl fmt::Debug for PanicHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicHook")
    }
}

/// The part of an executor that its tasks know.
#[derive(Debug)]
pub(crate) struct Home {
    // On any thread.
    refs: AtomicUsize,
    pub(super) inbox: Inbox,
    unpark: Waker,
    // By the home thread alone (rule 2).
    pub(super) ready: Ready,
    pub(super) owned: Owned,
    pub(super) cache: Cache,
    pub(super) ids: Ids,
    credits: Cell<usize>,
    pub(super) closed: Cell<bool>,
    pub(super) running: Cell<Option<TaskPtr>>,
    /// What came out of the inbox and was not taken in.
    arrivals: Arrivals,
    caught_panics: Cell<u64>,
    unhandled_panics: Cell<u64>,
    /// Dropped with the executor's own reference, for it stays on the home thread.
    panic_hook: RefCell<Option<PanicHook>>,
    /// Set when the home's memory goes, for tests that watch it from outside.
    #[cfg(test)]
    pub(super) freed: tests::Freed,
}

impl Home {
    /// Wakes the home thread, from any other.
    pub(super) fn ring(&self) {
        self.unpark.wake_by_ref();
    }

    /// Has a parcel do what it does on arrival, with time for a first poll or not. A waker that it calls may panic.
    fn deliver(&self, head: HeadPtr, now: bool) {
        // SAFETY: rule 7; it was taken out of our inbox, so it is ours.
        self.shield(|| unsafe { head.arrive(now) });
    }

    /// Runs code of the user's that must not unwind into ours. A panic is counted and dropped.
    #[inline]
    pub(super) fn shield(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.count_panic();
            // The payload's own drop may panic; what that throws is leaked.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop::<Payload>(payload)));
            let _leaked = ManuallyDrop::new(dropped.err());
        }
    }

    #[cold]
    pub(super) fn count_panic(&self) {
        self.caught_panics.set(self.caught_panics.get() + 1);
    }

    /// Counts a panic that nobody will take, and gives it to the hook. The caller catches what that throws.
    #[cold]
    pub(super) fn report_panic(&self, error: JoinError) {
        self.unhandled_panics.set(self.unhandled_panics.get() + 1);
        let hook = self.panic_hook.borrow().clone();
        if let Some(PanicHook(hook)) = hook {
            hook(error);
        }
    }

    /// Hands one reference to a new task.
    #[inline]
    pub(super) fn lend(&self) {
        if self.credits.get() == 0 {
            // Relaxed: we hold a reference ourselves.
            self.refs.fetch_add(CREDITS, Ordering::Relaxed);
            self.credits.set(CREDITS);
        }
        self.credits.set(self.credits.get() - 1);
    }

    /// Counts one more reference, on any thread.
    pub(super) fn retain(&self) {
        // Relaxed: the caller holds a reference, so nothing is published by making another.
        self.refs.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a reference back that [`lend`](Self::lend) handed out, or one like it; home thread only.
    pub(super) fn take_back(&self) {
        self.credits.set(self.credits.get() + 1);
    }

    /// Drops `count` references, from any thread.
    ///
    /// # Safety
    ///
    /// The caller owns that many (rule 1).
    pub(super) unsafe fn release(this: NonNull<Self>, count: usize) {
        // SAFETY: rule 1.
        let refs = &unsafe { this.as_ref() }.refs;
        if refs.fetch_sub(count, Ordering::Release) == count {
            fence(Ordering::Acquire);
            // SAFETY: it was made by `Box` in `HomeRef::new`, and nobody knows it any more.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    pub(crate) use std::sync::atomic::Ordering::SeqCst;

    /// How often a home's memory went: never or once.
    pub(crate) type Freed = Arc<AtomicUsize>;
}

#[cfg(test)]
impl Drop for Home {
    fn drop(&mut self) {
        self.freed.fetch_add(1, tests::SeqCst);
    }
}

/// Frees the memory of a task: into the cache at home, to the global allocator elsewhere.
///
/// # Safety
///
/// The caller is the last to know the task (rule 4). Future, output and join waker are gone (rule 3).
pub(super) unsafe fn free(task: TaskPtr) {
    // SAFETY: rule 4; we free it below and not before.
    let (home, layout) = unsafe { (task.header().home, task.header().vtable.layout) };
    let memory = NonNull::new(task.as_ptr().cast::<u8>()).expect("tasks are not at null");
    // SAFETY: rule 4 for the memory. Rule 2 at home for cache and credits; abroad rule 1 for the reference
    // that the task held.
    unsafe {
        if is_current(home) {
            home.as_ref().cache.recycle(memory, layout);
            home.as_ref().credits.set(home.as_ref().credits.get() + 1);
        } else {
            cache::free(memory, layout);
            Home::release(home, 1);
        }
    }
}

/// The executor's reference to its home, from which everything home-only is reached.
///
/// Not `Send`, and made on the home thread: holding one proves to be there (rule 2).
#[derive(Debug)]
pub(crate) struct HomeRef(NonNull<Home>);

impl HomeRef {
    /// A new home on this thread, which other threads wake through `unpark`.
    pub(crate) fn new(unpark: Waker) -> Self {
        let home = Home {
            refs: AtomicUsize::new(1 + CREDITS),
            inbox: Inbox::new(),
            unpark,
            ready: Ready::default(),
            owned: Owned::default(),
            cache: Cache::new(),
            ids: Ids::default(),
            credits: Cell::new(CREDITS),
            closed: Cell::new(false),
            running: Cell::new(None),
            arrivals: Arrivals::none(),
            caught_panics: Cell::new(0),
            unhandled_panics: Cell::new(0),
            panic_hook: RefCell::new(None),
            #[cfg(test)]
            freed: tests::Freed::default(),
        };
        Self(NonNull::from(Box::leak(Box::new(home))))
    }

    pub(super) fn as_ptr(&self) -> NonNull<Home> {
        self.0
    }

    #[inline]
    pub(super) fn home(&self) -> &Home {
        // SAFETY: rule 1; we hold a reference.
        unsafe { self.0.as_ref() }
    }

    /// Makes this thread be inside this home until the guard is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        let previous = CURRENT.with(|current| current.replace(self.0.as_ptr()));
        Entered { home: ManuallyDrop::new(Rc::clone(self)), previous }
    }

    /// How many tasks are ready.
    #[inline]
    pub(crate) fn ready_count(&self) -> u32 {
        self.home().ready.count()
    }

    /// How many futures exist.
    pub(crate) fn live_count(&self) -> usize {
        self.home().owned.count()
    }

    /// Whether a task is being run on this stack.
    pub(crate) fn is_running(&self) -> bool {
        self.home().running.get().is_some()
    }

    /// How many panics of the user's code were caught.
    pub(crate) fn caught_panics(&self) -> u64 {
        self.home().caught_panics.get()
    }

    /// How many panics of tasks nobody took.
    pub(crate) fn unhandled_panics(&self) -> u64 {
        self.home().unhandled_panics.get()
    }

    /// Sets what is done with panics that nobody takes.
    pub(crate) fn set_panic_hook(&self, hook: PanicHook) {
        self.home().panic_hook.replace(Some(hook));
    }

    /// Whether something came from other threads.
    #[inline]
    pub(crate) fn has_arrivals(&self) -> bool {
        self.home().inbox.has_arrivals() || !self.home().arrivals.is_empty()
    }

    /// Moves the wakes and aborts of other threads to the ready queue, and takes parcels in; whether there were any.
    #[inline]
    pub(crate) fn take_inbox(&self) -> bool {
        // Each turn looks, and most find nothing.
        self.has_arrivals() && self.take_arrivals()
    }

    #[inline(never)]
    fn take_arrivals(&self) -> bool {
        let mut parcels = 0;
        let mut any = false;
        let arrivals = &self.home().arrivals;
        if arrivals.is_empty() {
            arrivals.refill(self.home().inbox.take());
        }
        for arrival in std::iter::from_fn(|| arrivals.pop()).take(ARRIVALS_MAX) {
            any = true;
            match arrival {
                // SAFETY: rules 1 and 2; the arrival's reference is ours.
                Arrival::Task(task) => unsafe { take_in(task) },
                Arrival::Parcel(head) => {
                    parcels += 1;
                    self.home().deliver(head, parcels <= POLLED_PARCELS);
                }
            }
        }
        any
    }

    /// How many cells the cache keeps.
    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.home().cache.count()
    }

    /// How many tasks, not freed yet, hold a reference that came from the credits.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.home().refs.load(Ordering::SeqCst) - 1 - self.home().credits.get()
    }

    /// Counts up when the home's own memory goes.
    #[cfg(test)]
    pub(crate) fn freed(&self) -> tests::Freed {
        self.home().freed.clone()
    }

    /// Announces that the home thread sleeps. `false`: something arrived, do not.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.home().arrivals.is_empty() && self.home().inbox.begin_sleep()
    }

    /// Takes the announcement back.
    pub(crate) fn end_sleep(&self) {
        self.home().inbox.end_sleep();
    }

    /// Refuses new tasks and wakes from elsewhere.
    pub(super) fn close(&self) {
        self.home().closed.set(true);
        let unseen = self.home().inbox.close();
        for arrival in std::iter::from_fn(|| self.home().arrivals.pop().or_else(|| unseen.pop())) {
            match arrival {
                // SAFETY: rule 1; the arrival's reference.
                Arrival::Task(task) => unsafe { task.release() },
                Arrival::Parcel(head) => self.home().deliver(head, false),
            }
        }
    }
}

impl Drop for HomeRef {
    fn drop(&mut self) {
        self.home().cache.clear();
        let hook = self.home().panic_hook.take();
        self.home().shield(|| drop(hook));
        let credits = self.home().credits.take();
        // SAFETY: rule 1; our own reference and those not lent.
        unsafe { Home::release(self.0, credits + 1) };
    }
}

/// Makes a task ready that was woken or aborted from elsewhere.
///
/// # Safety
///
/// Home thread (rule 2); the caller owns a counted reference (rule 1), which is released.
unsafe fn take_in(task: TaskPtr) {
    // SAFETY: rules 1 and 2; the reference keeps the task until we release it.
    unsafe {
        let header = task.header();
        // Relaxed: `queued` ordered it.
        if header.cancel.load(Ordering::Relaxed) {
            header.state.insert(CANCELLED);
        }
        task.schedule();
        task.release();
    }
}

/// Whether the home of this thread takes new tasks.
#[inline]
pub(super) fn accepts_tasks() -> Option<bool> {
    // SAFETY: rule 2; the current home is alive, and this its thread.
    current().map(|home| !unsafe { home.as_ref() }.closed.get())
}

/// See [`Home::report_panic`]; outside a home the panic is dropped.
pub(super) fn report_panic(error: JoinError) {
    if let Some(home) = current() {
        // SAFETY: rule 2; the current home is alive, and this its thread.
        let home = unsafe { home.as_ref() };
        home.shield(|| home.report_panic(error));
    }
}

/// A handle of the task that runs on this thread.
pub(super) fn running_abort_handle() -> Option<AbortHandle> {
    let home = current()?;
    // SAFETY: rule 2 for the home; rule 1 for the task, which is `RUNNING`.
    unsafe { Some(AbortHandle::new(waker::counted(home.as_ref().running.get()?))) }
}

/// The id of the task that runs on this thread.
pub(super) fn running_id() -> Option<Id> {
    let home = current()?;
    // SAFETY: rule 2 for the home; rule 1 for the task, which is `RUNNING`.
    unsafe { Some(home.as_ref().running.get()?.header().id) }
}
