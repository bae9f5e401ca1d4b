//! Room 3: the life of one operation, from the entry to the last completion.
//!
//! `operation` is the contract, `slots` the place where an operation lives, `payload` how it lies there, `submit` how
//! it gets there and is taken back, `inflight` the future that waits for it, `actions` what reaping leaves to be done,
//! `current` how a constructor finds its driver, `depth` what waits until others ended, `scratch` memory for
//! arguments.
//! The driver names no operation: a new one is a file in `op`.

mod actions;
pub(crate) mod current;
mod depth;
mod inflight;
mod operation;
mod payload;
mod scratch;
mod shutdown;
mod slots;
mod staged;
mod starved;
mod submit;
#[cfg(test)]
pub(crate) mod tests;
mod wakers;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, RawWakerVTable, Waker};
use std::time::Duration;

use actions::Action;
pub(crate) use actions::Actions;
use actions::Trusted;
use depth::Depth;
pub(crate) use inflight::{InFlight, Op};
pub(crate) use operation::{Landed, Operation, Outcome, Standing, WhenDropped, gone};
pub(crate) use scratch::Scratch;
use scratch::Spare;
pub use shutdown::Leaked;
pub(crate) use slots::Key;
use slots::{Done, Polled, Slots};
use staged::Staged;
pub(crate) use starved::Place;
pub(crate) use wakers::Wakers;

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
    under_way: RefCell<UnderWay>,
    actions: RefCell<Actions>,
    depth: RefCell<Depth>,
    spare_blocks: RefCell<Spare>,
    trusted: Cell<Trusted>,
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

/// The operations, and the entries of those that the kernel has yet to see.
#[derive(Debug)]
struct UnderWay {
    slots: Slots,
    staged: Staged,
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
            under_way: RefCell::new(UnderWay { slots: Slots::new(), staged: Staged::default() }),
            actions: RefCell::default(),
            depth: RefCell::new(Depth::new(limits.direct_depth)),
            spare_blocks: RefCell::default(),
            trusted: Cell::default(),
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

    /// Takes wakers with this table for such as run no code of the user's, whatever is done with them, and do not touch
    /// the driver: they are called while it is borrowed, and kept for the next time.
    pub(crate) fn trust(&self, table: &'static RawWakerVTable) {
        self.trusted.set(Trusted::new(table));
        self.actions.borrow_mut().trusted = self.trusted.get();
    }

    /// See [`trust`](Self::trust).
    #[inline]
    pub(crate) fn trusts(&self, waker: &Waker) -> bool {
        self.trusted.get().covers(waker)
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

    /// Releases the payload of a leaving operation, with nothing borrowed meanwhile.
    fn release(&self, key: Key) {
        let leaving = self.under_way.borrow_mut().slots.leave(key);
        if let Some(leaving) = leaving {
            let key = leaving.key;
            self.catching(|| leaving.release());
            self.under_way.borrow_mut().slots.free(key);
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
        !self.under_way.borrow_mut().staged.is_empty()
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
        let staged = &mut self.under_way.borrow_mut().staged;
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
        let slots = &mut self.under_way.borrow_mut().slots;
        let mut actions = self.actions.borrow_mut();
        let mut ring = self.ring.borrow_mut();
        ring.as_mut().map_or(0, |ring| ring.drain(|cqe| slots.complete(cqe, &mut actions)))
    }

    /// Wakes, releases and cancels what reaping left, with nothing borrowed. A panic of a waker or a destructor
    /// is caught and counted.
    #[inline]
    pub(crate) fn act(&self) {
        if !self.actions.borrow_mut().is_empty() {
            self.act_on_all();
        }
    }

    #[inline(never)]
    fn act_on_all(&self) {
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
                Action::Drop(value) => drop(value),
            },
        );
    }

    /// A receive found no buffer, and its task still waits for one: others wait behind it.
    pub(crate) fn is_starved(&self) -> bool {
        !self.actions.borrow().starved.is_empty()
    }

    /// See [`Actions::wake_when_fed`].
    pub(crate) fn wake_when_fed(&self, wakers: Wakers) -> Place {
        self.actions.borrow_mut().wake_when_fed(wakers)
    }

    /// Who waits in a place of the queue for a buffer; `None` if it had its turn.
    #[cold]
    pub(crate) fn place(&self, place: Place) -> Option<RefMut<'_, Wakers>> {
        RefMut::filter_map(self.actions.borrow_mut(), |actions| actions.starved.get_mut(place)).ok()
    }

    /// Has as many of the tasks woken that wait for a buffer as there are buffers, and at least one.
    fn feed(&self) {
        let mut actions = self.actions.borrow_mut();
        if actions.starved.is_empty() {
            return;
        }
        let room = self.pool.get().map_or(0, |pool| pool.room()).max(1);
        let Actions { wakers, starved, .. } = &mut *actions;
        starved.take(room, wakers);
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
        let Poll::Ready((done, cqe)) = self.poll_answer::<T>(key, cx) else {
            return self.left_behind::<T>();
        };
        Poll::Ready(done.take().complete(cqe.into()))
    }

    /// As `poll_operation`, before the result is made of the answer.
    #[inline]
    fn poll_answer<T: Operation>(&self, key: Key, cx: &Context<'_>) -> Poll<(Done<T>, Cqe)> {
        let polled = self.under_way.borrow_mut().slots.poll::<T>(key, cx.waker());
        if let Polled::Done(done, cqe) = polled {
            return Poll::Ready((done, cqe));
        }
        self.wait(key, &polled, cx);
        Poll::Pending
    }

    /// What an operation resolves to that is not done: its error if the shutdown left it behind.
    pub(crate) fn left_behind<T: Operation>(&self) -> Poll<T::Output> {
        let left_behind = self.ring.borrow_mut().is_none();
        match left_behind.then(T::left_behind).flatten() {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }

    /// Sees to it that the task of `cx` is woken for an operation that is not done.
    #[inline(never)]
    fn wait<T: Operation>(&self, key: Key, polled: &Polled<T>, cx: &Context<'_>) {
        match polled {
            Polled::Done(..) | Polled::Pending => {}
            Polled::OtherWaker => {
                let waker = cx.waker().clone();
                let stale = self.under_way.borrow_mut().slots.set_waker(key, waker);
                drop(stale);
            }
            Polled::Lost => unreachable!("a slot stays until its owner takes the result"),
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
        self.under_way.borrow().slots.live()
    }

    /// Completions that named no operation of ours.
    pub(crate) fn stray_completions(&self) -> u64 {
        self.under_way.borrow().slots.stray()
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

/// What `io_uring_enter` may say in ordinary times. Everything else ends the runtime.
fn tolerate(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        // A signal came, and what was submitted stays submitted; or the timeout of the wait elapsed.
        Some(libc::EINTR | libc::ETIME) => Ok(()),
        // The kernel holds completions back until we take those that are there, or is short of memory: take them
        // and try again in the next turn.
        Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => Ok(()),
        _ => Err(error),
    }
}
