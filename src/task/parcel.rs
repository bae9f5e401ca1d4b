//! Work that is sent to a home, its outcome on the way back, and who waits for that: one allocation, one word.
//!
//! A parcel goes into the inbox of its target as a woken task does, and shares its handshake with a home that sleeps.
//! There the work is taken out and the outcome put in. If somebody waits by then, the parcel goes back into the
//! inbox of the home that it came from, and wakes them there: their task's memory never leaves its core. What was
//! sent from outside a home stays, and the waker is called from the target.
//!
//! ```text
//! begin      the parcel, or an abort, sets BEGUN and has the work; whoever did so owes an outcome
//! settle     they put the outcome in and set DONE; who was WAITING before is then theirs to wake
//! wait       the ticket puts a waker in and sets WAITING; or finds DONE
//! leave      the ticket sets LEFT; or finds DONE, and drops the outcome
//! let go     both sides set their bit last, and who comes second frees the memory
//! ```
//!
//! # Safety rules
//!
//! By number, those of `task`.
#![allow(unsafe_code, reason = "room 4: parcels are type-erased, and freed by a word")]

use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::PoisonError;
use std::task::{Context, Poll, RawWakerVTable, Waker};

use super::abort::AbortHandle;
use super::address::{self, Address};
use super::cache;
use super::home;
use super::inbox::InboxLink;
use crate::loom::atomic::{AtomicU8, Ordering};
use crate::loom::{Mutex, MutexGuard, UnsafeCell};

/// The work was taken out: by the parcel, at its target, or by an abort.
const BEGUN: u8 = 1;
/// The outcome is in.
const DONE: u8 = 1 << 1;
/// The parcel put it in, and carries it back if somebody waits.
const CARRIED: u8 = 1 << 2;
/// A waker is in its slot, for who puts the outcome in.
const WAITING: u8 = 1 << 3;
/// Somebody wants the work to end.
const ABORTED: u8 = 1 << 4;
/// Nobody will take the outcome.
const LEFT: u8 = 1 << 5;
/// The parcel will not look at the memory again.
const PARCEL_GONE: u8 = 1 << 6;
/// Nor will the ticket.
const TICKET_GONE: u8 = 1 << 7;

/// What comes of work.
pub(crate) trait Outcome {
    /// The work never began, and was dropped.
    fn never_began() -> Self;
    /// Nobody takes it.
    fn untaken(self);
}

/// What can be sent.
pub(crate) trait Work<R>: Send + Sized + 'static {
    /// The parcel arrived: this is the thread of the home that it was sent to, which is entered. If that is closing,
    /// what is spawned here is cancelled at once. `now`: the turn has time for a first poll of it.
    fn arrive(parcel: Parcel<Self, R>, now: bool);
}

/// What the inbox knows of a parcel, and what does not depend on its content.
pub(super) struct Head {
    pub(super) link: InboxLink,
    state: AtomicU8,
    vtable: &'static Vtable,
    /// Where the outcome is waited for; `None` outside a home.
    origin: Option<Address>,
    /// Of who waits (rule 9).
    waker: UnsafeCell<Option<Waker>>,
    /// Of the task that the work became, if that did not end in its first poll.
    running: Mutex<Option<AbortHandle>>,
}

/// What does depend on it.
struct Vtable {
    arrive: unsafe fn(HeadPtr, bool),
    /// Drops the work, puts in that it never began, and calls who waits. The caller has set `BEGUN` (rule 8).
    refuse: unsafe fn(HeadPtr),
    /// Moves the outcome to the place given, which has its type (rule 8).
    take: unsafe fn(HeadPtr, *mut ()),
    /// Frees the memory (rule 7).
    free: unsafe fn(HeadPtr),
}

/// The address of a parcel. Copying it counts nothing; who may follow it is rule 7.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadPtr(NonNull<Head>);

impl HeadPtr {
    pub(super) fn new(head: NonNull<Head>) -> Self {
        Self(head)
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    /// # Safety
    ///
    /// The caller is one of the two that the parcel's memory is of (rule 7).
    #[inline]
    pub(super) unsafe fn head<'a>(self) -> &'a Head {
        // SAFETY: rule 7. A head is only ever borrowed shared.
        unsafe { self.0.as_ref() }
    }

    /// Gives the parcel to its content, with time for a first poll or not.
    ///
    /// # Safety
    ///
    /// The parcel is the caller's, and is given up (rule 7).
    pub(super) unsafe fn arrive(self, now: bool) {
        // SAFETY: rule 7.
        unsafe { (self.head().vtable.arrive)(self, now) };
    }

    /// Says that the caller will not look at the memory again, and frees it if the other has said so.
    ///
    /// # Safety
    ///
    /// The caller is that one of the two whose bit is `own`, and does not follow the pointer afterwards (rule 7).
    #[inline]
    unsafe fn let_go(self, own: u8) {
        let other = own ^ (PARCEL_GONE | TICKET_GONE);
        // SAFETY: rule 7.
        let head = unsafe { self.head() };
        // Acquire and Release: what the other did with the memory is done before it is freed. Where the other's bit
        // is seen already nobody is left to be told.
        if head.state.load(Ordering::Acquire) & other != 0
            || head.state.fetch_or(own, Ordering::AcqRel) & other != 0
        {
            // SAFETY: rule 7; we came second.
            unsafe { (head.vtable.free)(self) };
        }
    }
}

impl Head {
    fn running(&self) -> MutexGuard<'_, Option<AbortHandle>> {
        // Nothing of the user's runs under the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls who waited.
    ///
    /// # Safety
    ///
    /// The caller set `DONE`, and `WAITING` was set before it (rule 9); for the first time.
    unsafe fn wake(&self) {
        // SAFETY: rule 9.
        let waker = self.waker.with_mut(|slot| unsafe { (*slot).take() });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Work until it has begun, then its outcome until that is taken (rule 8).
union Cargo<W, R> {
    work: ManuallyDrop<W>,
    outcome: ManuallyDrop<R>,
}

/// A parcel in memory.
#[repr(C)]
struct Posted<W, R> {
    head: Head,
    cargo: UnsafeCell<Cargo<W, R>>,
}

impl<W: Work<R>, R: Outcome> Posted<W, R> {
    const VTABLE: Vtable = Vtable {
        arrive: arrive::<W, R>,
        refuse: refuse::<W, R>,
        take: take::<W, R>,
        free: free::<W, R>,
    };
}

/// # Safety
///
/// The parcel was made for `W` and `R`, and the caller is one of its two (rule 7).
#[inline]
unsafe fn posted<'a, W, R>(head: HeadPtr) -> &'a Posted<W, R> {
    // SAFETY: rule 7; the pointer is the whole allocation's, which begins with the head.
    unsafe { &*head.as_ptr().cast() }
}

/// See [`Vtable::arrive`].
unsafe fn arrive<W: Work<R>, R: Outcome>(head: HeadPtr, now: bool) {
    // SAFETY: rule 7.
    let state = unsafe { head.head() }.state.load(Ordering::Acquire);
    let parcel = Parcel(head, PhantomData);
    if state & BEGUN == 0 {
        W::arrive(parcel, now);
    } else if state & CARRIED != 0 {
        // SAFETY: rule 9; it goes back only to who was waiting when it set `DONE`.
        unsafe { head.head().wake() };
    }
}

/// See [`Vtable::refuse`].
unsafe fn refuse<W: Work<R>, R: Outcome>(head: HeadPtr) {
    // SAFETY: rules 7 and 8, by the caller's promise.
    let (posted, work) = unsafe { (posted::<W, R>(head), take_work::<W, R>(head)) };
    // SAFETY: rule 8.
    if unsafe { posted.put(R::never_began(), DONE) } & WAITING != 0 {
        // SAFETY: rule 9.
        unsafe { posted.head.wake() };
    }
    drop(work);
}

/// See [`Vtable::take`].
unsafe fn take<W: Work<R>, R: Outcome>(head: HeadPtr, place: *mut ()) {
    // SAFETY: rules 7 and 8, by the caller's promise.
    unsafe { place.cast::<R>().write(posted::<W, R>(head).outcome()) };
}

/// See [`Vtable::free`].
unsafe fn free<W: Work<R>, R: Outcome>(head: HeadPtr) {
    let posted = head.as_ptr().cast::<Posted<W, R>>();
    let memory = NonNull::new(posted.cast()).expect("a parcel is not at null");
    let home = home::current();
    // SAFETY: rule 7 for the memory; rule 8, the cargo was taken. Rule 2 for the cache of the current home.
    unsafe {
        ptr::drop_in_place(posted);
        match home {
            Some(home) => home.as_ref().cache.recycle(memory, const { layout::<W, R>() }),
            None => cache::free(memory, const { layout::<W, R>() }),
        }
    }
}

const fn layout<W, R>() -> Layout {
    cache::rounded(Layout::new::<Posted<W, R>>())
}

/// Moves the work out.
///
/// # Safety
///
/// The caller is one of the two (rule 7) and has set `BEGUN`, first (rule 8).
#[inline]
unsafe fn take_work<W, R>(head: HeadPtr) -> W {
    // SAFETY: rules 7 and 8.
    unsafe {
        let cargo = &posted::<W, R>(head).cargo;
        cargo.with(|cargo| ManuallyDrop::into_inner(ptr::read(&raw const (*cargo).work)))
    }
}

impl<W, R> Posted<W, R> {
    /// Puts the outcome in, which `bits` says; the state before.
    ///
    /// # Safety
    ///
    /// The caller took the work (rule 8); once.
    #[inline]
    unsafe fn put(&self, outcome: R, bits: u8) -> u8 {
        let outcome = ManuallyDrop::new(outcome);
        // SAFETY: rule 8; the place is empty.
        self.cargo.with_mut(|cargo| unsafe { (&raw mut (*cargo).outcome).write(outcome) });
        // Release: for who takes it. Acquire: for the waker, and for what who left has done.
        self.head.state.fetch_or(bits, Ordering::AcqRel)
    }

    /// Moves the outcome out.
    ///
    /// # Safety
    ///
    /// It is the caller's, who does so once (rule 8).
    #[inline]
    unsafe fn outcome(&self) -> R {
        // SAFETY: rule 8.
        self.cargo.with(|cargo| unsafe {
            ManuallyDrop::into_inner(ptr::read(&raw const (*cargo).outcome))
        })
    }
}

/// The side that travels: the right to send what is posted, to do the work and to put in the outcome. Dropped, it
/// lets go, and whoever waits waits for ever, unless [`settle`](Self::settle) or [`refuse`](Self::refuse) came before.
pub(crate) struct Parcel<W, R>(HeadPtr, PhantomData<(W, R)>);

impl<W: Work<R>, R: Outcome> Parcel<W, R> {
    /// A parcel of `work`, from here, and the ticket for its outcome, which calls `waker`, if there is one.
    #[inline]
    pub(crate) fn new(work: W, waker: Option<Waker>) -> (Self, Ticket<R>) {
        let registered = waker.as_ref().map(identity);
        let head = Head {
            link: InboxLink::new(),
            state: AtomicU8::new(if waker.is_some() { WAITING } else { 0 }),
            vtable: const { &Posted::<W, R>::VTABLE },
            origin: Address::here(),
            waker: UnsafeCell::new(waker),
            running: Mutex::new(None),
        };
        let cargo = UnsafeCell::new(Cargo { work: ManuallyDrop::new(work) });
        let memory = match home::current() {
            // SAFETY: rule 2; the current home is alive, and this its thread.
            Some(home) => unsafe { home.as_ref() }.cache.allocate(const { layout::<W, R>() }),
            None => cache::allocate(const { layout::<W, R>() }),
        };
        let posted = memory.cast::<Posted<W, R>>();
        // SAFETY: fresh memory of that layout.
        unsafe { posted.write(Posted { head, cargo }) };
        let head = HeadPtr(posted.cast());
        (Self(head, PhantomData), Ticket { head, registered, outcome: PhantomData })
    }

    /// The work, unless it was aborted on the way. Who gets it puts an outcome in.
    #[inline]
    pub(crate) fn begin(&self) -> Option<W> {
        // SAFETY: rule 7.
        let state = &unsafe { self.0.head() }.state;
        if state.fetch_or(BEGUN, Ordering::AcqRel) & BEGUN != 0 {
            return None;
        }
        // SAFETY: rules 7 and 8.
        Some(unsafe { take_work::<W, R>(self.0) })
    }

    /// The work goes on in this task: an abort ends it from now on, and one that came before does so here.
    pub(crate) fn goes_on_in(&self, task: AbortHandle) {
        // SAFETY: rule 7.
        let head = unsafe { self.0.head() };
        *head.running() = Some(task);
        // After the lock: whoever aborts says so before it, so one of the two sees the other.
        if head.state.load(Ordering::Acquire) & ABORTED != 0 {
            abort_running(head);
        }
    }

    /// Puts the outcome in, and sees to it that who waits is told. `went_on`: after
    /// [`goes_on_in`](Self::goes_on_in).
    ///
    /// The caller had the work from [`begin`](Self::begin).
    pub(crate) fn settle(self, outcome: R, went_on: bool) {
        // SAFETY: rule 7.
        let posted = unsafe { posted::<W, R>(self.0) };
        if went_on {
            // Here, where dropping it is cheap.
            let running = posted.head.running().take();
            drop(running);
        }
        // SAFETY: rule 8, by the contract of `begin`.
        let before = unsafe { posted.put(outcome, DONE | CARRIED) };
        if before & LEFT != 0 {
            // SAFETY: rule 8; the ticket had left before.
            let outcome = unsafe { posted.outcome() };
            drop(self);
            return outcome.untaken();
        }
        if before & WAITING == 0 {
            return;
        }
        let origin = posted.head.origin.as_ref().map(Address::home);
        let returned = match origin {
            // SAFETY: rules 1 and 7; the parcel is ours, and keeps its origin.
            Some(origin) => unsafe { address::send_owner(origin, self.into_head()) },
            None => Err(self.into_head()),
        };
        if let Err(head) = returned {
            let parcel = Self::from_head(head);
            // SAFETY: rule 9; rule 7, it came back to us.
            unsafe { parcel.0.head().wake() };
        }
    }

    /// Ends a parcel whose work will not be done, and drops that, unless an abort has.
    pub(crate) fn refuse(self) {
        // SAFETY: rule 7.
        let state = &unsafe { self.0.head() }.state;
        if state.fetch_or(BEGUN, Ordering::AcqRel) & BEGUN == 0 {
            // SAFETY: rules 7 and 8.
            let work = unsafe { take_work::<W, R>(self.0) };
            self.settle(R::never_began(), false);
            drop(work);
        }
    }
}

impl<W, R> Parcel<W, R> {
    pub(super) fn into_head(self) -> HeadPtr {
        ManuallyDrop::new(self).0
    }

    /// Of one that [`into_head`](Self::into_head) gave, of this type, and which is the caller's again.
    pub(super) fn from_head(head: HeadPtr) -> Self {
        Self(head, PhantomData)
    }
}

impl<W, R> Drop for Parcel<W, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: rule 7.
        unsafe { self.0.let_go(PARCEL_GONE) };
    }
}

impl<W, R> fmt::Debug for Parcel<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parcel").field(&self.0).finish()
    }
}

/// Has the task aborted that the work became, if it did.
#[cold]
fn abort_running(head: &Head) {
    let task = head.running().clone();
    if let Some(task) = task {
        task.abort();
    }
}

/// What tells wakers apart, as [`Waker::will_wake`] does.
type Identity = (*const (), &'static RawWakerVTable);

fn identity(waker: &Waker) -> Identity {
    (waker.data(), waker.vtable())
}

/// The side that waits for the outcome. Dropping it lets the work go on.
pub(crate) struct Ticket<R: Outcome> {
    head: HeadPtr,
    /// Of the waker in the slot, so that it can be compared without a look at it (rule 9).
    registered: Option<Identity>,
    outcome: PhantomData<fn() -> R>,
}

// SAFETY: rule 7. By `&self` it hands out no outcome; aborting drops the work, which is `Send`, and puts in an `R`.
unsafe impl<R: Outcome + Send> Send for Ticket<R> {}
// SAFETY: as above.
unsafe impl<R: Outcome + Send> Sync for Ticket<R> {}

impl<R: Outcome> Ticket<R> {
    /// Whether the outcome is there to be taken; if not, `cx` is woken when it is.
    #[inline]
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_done() {
            return Poll::Ready(());
        }
        let same = |(data, vtable): Identity| {
            ptr::eq(data, cx.waker().data()) && ptr::eq(vtable, cx.waker().vtable())
        };
        if self.registered.is_some_and(same) { Poll::Pending } else { self.register(cx.waker()) }
    }

    fn register(&mut self, waker: &Waker) -> Poll<()> {
        // Cloning runs code of the user's, so nothing is half done.
        let waker = waker.clone();
        let registered = identity(&waker);
        // SAFETY: rule 7.
        let head = unsafe { self.head.head() };
        if self.registered.take().is_some()
            && head.state.fetch_and(!WAITING, Ordering::AcqRel) & DONE != 0
        {
            // The slot is whose who set it.
            return Poll::Ready(());
        }
        // SAFETY: rule 9; `WAITING` is not set.
        let former = head.waker.with_mut(|slot| unsafe { (*slot).replace(waker) });
        drop(former);
        if head.state.fetch_or(WAITING, Ordering::AcqRel) & DONE != 0 {
            // SAFETY: rule 9; it was not set when `DONE` was.
            drop(head.waker.with_mut(|slot| unsafe { (*slot).take() }));
            return Poll::Ready(());
        }
        self.registered = Some(registered);
        Poll::Pending
    }

    /// Takes the outcome, which [`is_done`](Self::is_done) says is there.
    #[inline]
    pub(crate) fn take(self) -> R {
        assert!(self.is_done(), "the outcome is there");
        let this = ManuallyDrop::new(self);
        // SAFETY: rule 8; `DONE` is set, and the ticket goes with it. Rule 7 for the rest.
        unsafe {
            let outcome = this.take_outcome();
            this.head.let_go(TICKET_GONE);
            outcome
        }
    }

    /// # Safety
    ///
    /// `DONE` was seen, and this is the first time (rule 8).
    #[inline]
    unsafe fn take_outcome(&self) -> R {
        let mut outcome = std::mem::MaybeUninit::<R>::uninit();
        // SAFETY: rules 7 and 8.
        unsafe {
            (self.head.head().vtable.take)(self.head, outcome.as_mut_ptr().cast());
            outcome.assume_init()
        }
    }

    /// Whether the outcome is there.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: rule 7. Acquire: for the outcome.
        unsafe { self.head.head() }.state.load(Ordering::Acquire) & DONE != 0
    }

    /// Has the task dropped, or never begun.
    pub(crate) fn abort(&self) {
        // SAFETY: rule 7.
        let head = unsafe { self.head.head() };
        let before = head.state.fetch_or(BEGUN | ABORTED, Ordering::AcqRel);
        if before & BEGUN == 0 {
            // SAFETY: rule 8; we have set it.
            unsafe { (head.vtable.refuse)(self.head) };
        } else if before & (DONE | ABORTED) == 0 {
            abort_running(head);
        }
    }
}

impl<R: Outcome> Drop for Ticket<R> {
    fn drop(&mut self) {
        // SAFETY: rule 7.
        let head = unsafe { self.head.head() };
        // Release: who finds it set may drop the outcome. Acquire: for the outcome.
        if head.state.fetch_or(LEFT, Ordering::AcqRel) & DONE != 0 {
            // SAFETY: rule 8; it came before we left. Rule 7, we do not look again.
            let outcome = unsafe {
                let outcome = self.take_outcome();
                self.head.let_go(TICKET_GONE);
                outcome
            };
            return outcome.untaken();
        }
        // SAFETY: rule 9; who puts the outcome in finds `LEFT`. Rule 7, we do not look again.
        let waker = unsafe {
            let waker = head.waker.with_mut(|slot| (*slot).take());
            self.head.let_go(TICKET_GONE);
            waker
        };
        drop(waker);
    }
}

impl<R: Outcome> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("is_done", &self.is_done()).finish()
    }
}
