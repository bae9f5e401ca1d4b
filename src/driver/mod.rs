//! Room 3: the life of one operation, from the entry to the last completion.
//!
//! `operation` is the contract, `slots` the place where an operation lives, `payload` how it lies there, `inflight`
//! the future that waits for it, `actions` what reaping leaves to be done, `current` how a constructor finds its
//! driver, `depth` what waits until others ended. The driver names no operation: a new one is a file in `op`.

mod actions;
pub(crate) mod current;
mod depth;
mod inflight;
mod operation;
mod payload;
mod shutdown;
mod slots;
mod staged;
mod starved;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actions::Action;
pub(crate) use actions::Actions;
use depth::{Depth, HELD};
pub(crate) use inflight::{InFlight, Op};
pub(crate) use operation::{Operation, Outcome, Standing, WhenDropped, gone};
pub use shutdown::Leaked;
pub(crate) use slots::Key;
use slots::{Abandoned, Slots, Waiting};
use staged::Staged;
pub(crate) use starved::Place;

use crate::buf::{Pool, PoolOptions, Registration, Table};
use crate::sys::Cqe;
use crate::sys::affinity::Processors;
use crate::sys::register;
use crate::sys::ring::Ring;
use crate::sys::setup::{Features, RingOptions, ring};

/// A core's ring and the operations in it. Futures, streams and descriptors hold it by `Rc`.
#[derive(Debug)]
pub(crate) struct Driver {
    /// `None` after shutdown.
    ring: RefCell<Option<Ring>>,
    staged: RefCell<Staged>,
    slots: RefCell<Slots>,
    actions: RefCell<Actions>,
    depth: RefCell<Depth>,
    pool: OnceCell<Rc<Pool>>,
    pool_options: PoolOptions,
    /// Made with the first registered memory.
    registered: OnceCell<Rc<Table>>,
    limits: Limits,
    features: Features,
    /// False from the moment of shutdown: nothing is submitted any more.
    open: Cell<bool>,
    /// Streams that were dropped with bytes still to send.
    lingering: Cell<usize>,
    /// Tasks that wait for a descriptor to be closed, because none was left.
    descriptor_waiters: RefCell<Vec<Waker>>,
    caught_panics: Cell<u64>,
    enters: Cell<u64>,
}

/// The bounds that resources of this core keep, set by the builder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one stream that arrived and were not taken.
    pub(crate) undelivered_max: usize,
    /// Connections of one listener that were accepted and not taken.
    pub(crate) untaken_max: usize,
    /// How long a dropped stream may go on sending.
    pub(crate) linger: Duration,
    /// How many dropped streams may do so at once.
    pub(crate) lingering_max: usize,
    /// Reads and writes past the page cache that are in the kernel at once.
    pub(crate) direct_depth: usize,
    /// Ranges of registered memory.
    pub(crate) registered_pools: u16,
}

impl Driver {
    /// Makes the ring. The receive buffers come with the first receive.
    pub(crate) fn new(
        options: &RingOptions,
        pool_options: PoolOptions,
        limits: Limits,
    ) -> io::Result<Rc<Self>> {
        let (ring, features) = ring(options)?;
        Ok(Rc::new(Self {
            ring: RefCell::new(Some(ring)),
            staged: RefCell::default(),
            slots: RefCell::new(Slots::new()),
            actions: RefCell::default(),
            depth: RefCell::new(Depth::new(limits.direct_depth)),
            pool: OnceCell::new(),
            pool_options,
            registered: OnceCell::new(),
            limits,
            lingering: Cell::new(0),
            features,
            open: Cell::new(true),
            descriptor_waiters: RefCell::default(),
            caught_panics: Cell::new(0),
            enters: Cell::new(0),
        }))
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Keeps the kernel's worker threads for this ring on these processors, where the kernel can.
    pub(crate) fn keep_workers_on(&self, processors: &[usize]) {
        if let Some(ring) = self.ring.borrow().as_ref() {
            let processors = Processors::new(processors.iter().copied());
            // A kernel or a policy that refuses leaves them where they are, which is no reason not to run.
            let _ = register::worker_processors(ring.as_raw_fd(), &processors);
        }
    }

    /// The number of streams that were dropped with bytes still to send.
    pub(crate) fn lingering(&self) -> &Cell<usize> {
        &self.lingering
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// The core's receive buffers, made at the first call.
    pub(crate) fn pool(&self) -> io::Result<&Rc<Pool>> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let ring_fd = self.ring.borrow().as_ref().ok_or_else(gone)?.as_raw_fd();
        let pool = Pool::new(ring_fd, &self.pool_options)?;
        Ok(self.pool.get_or_init(|| pool))
    }

    /// The core's table of registered memory, made at the first call.
    pub(crate) fn registered(&self) -> io::Result<&Rc<Table>> {
        if let Some(table) = self.registered.get() {
            return Ok(table);
        }
        let ring_fd = self.ring.borrow().as_ref().ok_or_else(gone)?.as_raw_fd();
        let table = Table::new(ring_fd, self.limits.registered_pools)?;
        Ok(self.registered.get_or_init(|| table))
    }

    /// The number by which this core's ring knows the memory.
    #[inline]
    pub(crate) fn number_of(&self, registration: &Registration) -> Option<u16> {
        registration.place_in(self.registered.get()?)
    }

    /// Stages a one-shot operation; `waker` is called when it is over. Gives it back if the runtime is gone.
    #[inline]
    pub(crate) fn submit<T: Operation>(&self, operation: T, waker: Waker) -> Result<Key, T> {
        let mut operation = Some(operation);
        let staged = self.stage(&mut operation, Some(waker));
        staged.ok_or_else(|| operation.expect("what was not staged is still there"))
    }

    /// As [`submit`](Self::submit), of an operation that is moved from where it lies; `None` if the runtime is gone.
    #[inline]
    pub(crate) fn stage<T: Operation>(
        &self,
        operation: &mut Option<T>,
        waker: Option<Waker>,
    ) -> Option<Key> {
        if !self.is_open() {
            return None;
        }
        let number = self.staged.borrow().next();
        let mut unprepared = self.slots.borrow_mut().insert(operation, waker, number);
        let key = unprepared.key;
        // With nothing borrowed: the address of a buffer is the user's to say, or to panic instead.
        let unwinding = GiveUp { driver: self, key };
        let entry = unprepared.prepare();
        let _prepared = ManuallyDrop::new(unwinding);
        let entered =
            if T::BOUNDED { self.depth.borrow_mut().enter(key, entry) } else { Some(entry) };
        let Some(entry) = entered else {
            self.slots.borrow_mut().renumber(key, HELD);
            return Some(key);
        };
        let mut staged = self.staged.borrow_mut();
        if staged.next() != number {
            self.slots.borrow_mut().renumber(key, staged.next());
        }
        staged.push(entry);
        Some(key)
    }

    /// Stages an operation that belongs to a resource. Gives it back if the runtime is gone.
    pub(crate) fn stand<T: Standing>(&self, operation: T) -> Result<Key, T> {
        if !self.is_open() {
            return Err(operation);
        }
        let mut staged = self.staged.borrow_mut();
        let number = staged.next();
        let (key, entry) = self.slots.borrow_mut().insert_standing(operation, number);
        staged.push(entry);
        Ok(key)
    }

    /// Nobody waits for the operation any more: it is taken back, cancelled or left to finish, by its own policy.
    pub(crate) fn abandon(&self, key: Key) {
        let unseen = self.staged.borrow().first();
        let (waker, abandoned) = self.slots.borrow_mut().abandon(key, unseen);
        match abandoned {
            Abandoned::Nothing => {}
            Abandoned::Staged { entry, bounded } => {
                self.take_back(key, entry, bounded);
                self.release(key);
            }
            Abandoned::Cancel => self.cancel(key),
            Abandoned::Release => self.release(key),
        }
        drop(waker);
    }

    /// The kernel will not see the entry of this number.
    fn take_back(&self, key: Key, entry: u64, bounded: bool) {
        if entry == HELD {
            self.depth.borrow_mut().take_back(key);
            return;
        }
        self.staged.borrow_mut().blank(entry);
        if bounded {
            self.depth.borrow_mut().leave(1);
            self.stage_held();
        }
    }

    /// Stages what waited, as far as there is room.
    fn stage_held(&self) {
        let mut depth = self.depth.borrow_mut();
        while let Some((key, entry)) = depth.next() {
            let mut staged = self.staged.borrow_mut();
            self.slots.borrow_mut().renumber(key, staged.next());
            staged.push(entry);
        }
    }

    /// Asks the kernel to end an operation. Its own completion says what came of it.
    pub(crate) fn cancel(&self, key: Key) {
        self.staged.borrow_mut().cancel(key);
    }

    /// Releases the payload of a leaving operation, with nothing borrowed meanwhile.
    fn release(&self, key: Key) {
        let leaving = self.slots.borrow_mut().leave(key);
        if let Some(leaving) = leaving {
            let key = leaving.key;
            self.catching(|| leaving.release());
            self.slots.borrow_mut().free(key);
        }
    }

    /// Runs code of the user's that must not unwind into ours. A panic is counted and dropped.
    pub(crate) fn catching(&self, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.caught_panics.set(self.caught_panics.get() + 1);
            // The payload's own drop may panic; what that throws is leaked.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            let _leaked = ManuallyDrop::new(dropped.err());
        }
    }

    /// There is something to submit, or the kernel asks to be entered.
    pub(crate) fn needs_enter(&self) -> bool {
        !self.staged.borrow().is_empty()
            || self.ring.borrow_mut().as_mut().is_some_and(Ring::needs_enter)
    }

    /// There is something to reap or to act on without waiting: completions, or tasks in the queue for a buffer, of
    /// which those that a turn woke may have gone.
    pub(crate) fn has_more(&self) -> bool {
        self.is_starved() || self.ring.borrow_mut().as_mut().is_some_and(Ring::has_completions)
    }

    /// Submits all that is staged and waits for `want` completions, at most for `timeout`. One system call,
    /// unless more is staged than the submission queue holds.
    ///
    /// Interruptions, an elapsed timeout and a kernel that wants its completions taken first are not errors: what
    /// was not taken stays staged for the next call.
    pub(crate) fn enter(&self, want: u32, timeout: Option<Duration>) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let Some(ring) = ring.as_mut() else {
            return Ok(());
        };
        if let Some(pool) = self.pool.get() {
            pool.refill();
        }
        let mut staged = self.staged.borrow_mut();
        let mut pushed = 0;
        let result = loop {
            pushed = staged.push_into(ring, pushed);
            let last = pushed == staged.len();
            self.enters.set(self.enters.get() + 1);
            match ring.enter(if last { want } else { 0 }, timeout) {
                Ok(_) if last => break Ok(()),
                Ok(_) => {}
                Err(error) => break tolerate(error),
            }
        };
        staged.pushed(pushed);
        result
    }

    /// Takes the completions that are there; returns their count. What follows from them is left to `act`.
    pub(crate) fn reap(&self) -> u32 {
        let mut slots = self.slots.borrow_mut();
        let mut actions = self.actions.borrow_mut();
        let mut ring = self.ring.borrow_mut();
        ring.as_mut().map_or(0, |ring| ring.drain(|cqe| slots.complete(cqe, &mut actions)))
    }

    /// Wakes, releases and cancels what reaping left, with nothing borrowed. A panic of a waker or a destructor
    /// is caught and counted.
    pub(crate) fn act(&self) {
        self.feed();
        let ended = std::mem::take(&mut self.actions.borrow_mut().ended_bounded);
        if ended > 0 {
            self.depth.borrow_mut().leave(ended);
            self.stage_held();
        }
        self.act_on(|actions| &mut actions.wakers, Waker::wake);
        self.act_on(
            |actions| &mut actions.others,
            |action| match action {
                Action::Release(key) => self.release(key),
                Action::Cancel(key) => self.cancel(key),
            },
        );
    }

    /// A receive found no buffer, and its task still waits for one: others wait behind it.
    pub(crate) fn is_starved(&self) -> bool {
        !self.actions.borrow().starved.is_empty()
    }

    /// See [`Actions::wake_when_fed`].
    pub(crate) fn wake_when_fed(&self, waker: Waker) -> Place {
        self.actions.borrow_mut().wake_when_fed(waker)
    }

    /// Gives a place in the queue for a buffer to another task, and returns the waker of the one before; gives `waker`
    /// back as an error if the place had its turn.
    #[cold]
    pub(crate) fn take_place(&self, place: Place, waker: Waker) -> Result<Waker, Waker> {
        match self.actions.borrow_mut().starved.get_mut(place) {
            Some(waiting) => Ok(std::mem::replace(waiting, waker)),
            None => Err(waker),
        }
    }

    /// Has as many of the tasks woken that wait for a buffer as there are buffers, and at least one.
    fn feed(&self) {
        let mut actions = self.actions.borrow_mut();
        if actions.starved.is_empty() {
            return;
        }
        let room = self.pool.get().map_or(0, |pool| pool.room()).max(1);
        let Actions { wakers, starved, .. } = &mut *actions;
        wakers.extend(starved.take(room));
    }

    /// Empties one of the lists. A panic in the middle loses none of what follows.
    fn act_on<T>(&self, list: fn(&mut Actions) -> &mut Vec<T>, mut each: impl FnMut(T)) {
        let mut taken = {
            let mut actions = self.actions.borrow_mut();
            let list = list(&mut actions);
            if list.len() <= 1 {
                let only = list.pop();
                drop(actions);
                if let Some(item) = only {
                    self.catching(|| each(item));
                }
                return;
            }
            std::mem::take(list)
        };
        let mut items = taken.drain(..);
        while items.len() > 0 {
            self.catching(|| items.by_ref().for_each(&mut each));
        }
        drop(items);
        let mut actions = self.actions.borrow_mut();
        let list = list(&mut actions);
        if list.is_empty() {
            *list = taken;
        }
    }

    /// The operation under `key` and how it ended, once it did; until then the task of `cx` is woken for it.
    ///
    /// The key is the caller's own, of a `T`, and it has not taken the result before.
    #[inline]
    pub(crate) fn poll_operation<T: Operation>(
        &self,
        key: Key,
        cx: &Context<'_>,
    ) -> Poll<T::Output> {
        self.poll_answer(key, cx, |operation: T, cqe| operation.complete(cqe.into()))
    }

    /// As `poll_operation`; `end` makes the result of the answer.
    #[inline]
    pub(crate) fn poll_answer<T: Operation, R>(
        &self,
        key: Key,
        cx: &Context<'_>,
        end: impl FnOnce(T, Cqe) -> R,
    ) -> Poll<R> {
        match slots::poll(&self.slots, key, cx.waker(), end) {
            Ok(result) => Poll::Ready(result),
            Err(Waiting::Pending) => Poll::Pending,
            Err(Waiting::OtherWaker) => {
                let waker = cx.waker().clone();
                let stale = self.slots.borrow_mut().set_waker(key, waker);
                drop(stale);
                Poll::Pending
            }
            Err(Waiting::Lost) => unreachable!("a slot stays until its owner takes the result"),
        }
    }

    /// `waker` is called when a descriptor of this core was closed.
    pub(crate) fn wait_for_descriptor(&self, waker: Waker) {
        let mut waiters = self.descriptor_waiters.borrow_mut();
        match waiters.iter().any(|waiting| waiting.will_wake(&waker)) {
            false => waiters.push(waker),
            true => {
                drop(waiters);
                drop(waker);
            }
        }
    }

    /// A descriptor of this core was closed: whoever found none left may try again.
    pub(crate) fn descriptor_closed(&self) {
        if self.descriptor_waiters.borrow().is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut *self.descriptor_waiters.borrow_mut());
        for waker in waiters {
            self.catching(|| waker.wake());
        }
    }

    /// Operations that were staged or are in the kernel or wait to be taken.
    pub(crate) fn live_operations(&self) -> usize {
        self.slots.borrow().live()
    }

    /// Completions that named no operation of ours.
    pub(crate) fn stray_completions(&self) -> u64 {
        self.slots.borrow().stray()
    }

    /// Calls of `io_uring_enter`.
    pub(crate) fn enters(&self) -> u64 {
        self.enters.get()
    }

    pub(crate) fn caught_panics(&self) -> u64 {
        self.caught_panics.get()
    }

    /// Receive buffers that are with a chunk.
    pub(crate) fn lent_buffers(&self) -> u32 {
        self.pool.get().map_or(0, |pool| pool.lent())
    }

    /// Messages that were copied to the heap for want of a buffer to spare.
    pub(crate) fn copied_messages(&self) -> u64 {
        self.pool.get().map_or(0, |pool| pool.copied())
    }
}

/// Takes an operation back whose preparation panics.
struct GiveUp<'a> {
    driver: &'a Driver,
    key: Key,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let waker = self.driver.slots.borrow_mut().give_up(self.key);
        self.driver.release(self.key);
        self.driver.catching(|| drop(waker));
    }
}

/// What `io_uring_enter` may say in ordinary times. Everything else ends the runtime.
fn tolerate(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        // A signal came; what was submitted stays submitted.
        Some(libc::EINTR) => Ok(()),
        // The timeout of the wait elapsed.
        Some(libc::ETIME) => Ok(()),
        // The kernel holds completions back until we take those that are there, or is short of memory: take them
        // and try again in the next turn.
        Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => Ok(()),
        _ => Err(error),
    }
}
