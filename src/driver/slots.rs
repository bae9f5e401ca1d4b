//! The place of each operation that was given to the kernel, and what came back.
//!
//! Slots lie in chunks whose addresses never change. A key is an index and a generation; a completion or a future
//! with a stale generation finds nothing. The payload is the operation itself, erased behind a table of functions.
//!
//! # Safety rules
//!
//! 1. A chunk is allocated once and freed only when `Slots` is dropped with no live slot; otherwise it is leaked,
//!    because the kernel may still write to what the payloads own.
//! 2. A slot that is not `Free` holds a payload of the type that its table was made for; `Done::take` and `release`
//!    move it out exactly once. `poll` frees the slot before, and its caller, the driver alone, takes the payload
//!    before the slots are touched again.
//! 3. The header of a slot is reached through a short `&mut` made from the chunk's pointer while `Slots` is
//!    borrowed; the payload only through raw pointers, because the kernel may be writing to it.
//! 4. `deliver` and `landed` get the only reference to the payload; the operation's contract says that the kernel
//!    writes to no field that they touch. `prepare` has it too: the kernel has not seen the entry, and only who holds
//!    the `Unprepared` knows the key.
#![allow(unsafe_code, reason = "room 3: the life of an operation")]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::task::Waker;

use super::actions::Actions;
use super::operation::{Operation, Standing, WhenDropped};
use super::payload::{
    PAYLOAD_WORDS, Table, VACANT, one_shot_table, payload_as, standing_table, store, store_from,
    take,
};
use crate::sys::{Cqe, Sqe};

const CHUNK: usize = 64;
const NONE: u32 = u32::MAX;
/// The number of an entry that is yet to be made.
const UNNUMBERED: u64 = u64::MAX;
/// The kind, in the top bit of `user_data`. Zero belongs to entries whose completion nobody wants.
const KIND_SLOT: NonZeroU64 = NonZeroU64::new(1 << 63).expect("it is not zero");

/// An operation's place: `kind | generation | index`, as it travels in `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(NonZeroU64);

impl Key {
    /// Of the generation and the index.
    #[inline]
    fn of(number: u64) -> Self {
        Self(KIND_SLOT | number)
    }

    pub(super) fn first(index: u32) -> Self {
        Self::of(index.into())
    }

    #[cfg(test)]
    pub(super) fn last_of(index: u32) -> Self {
        Self::of(u64::from(u32::MAX) << 32 | u64::from(index))
    }

    fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// The key of the slot's next operation. A generation that overflows begins again at zero.
    #[inline]
    pub(super) fn next(self) -> Self {
        Self::of(self.0.get().wrapping_add(1 << 32))
    }

    pub(crate) fn user_data(self) -> u64 {
        self.0.get()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Pending,
    /// The one completion came and waits to be taken.
    Done,
    /// The payload is about to be released by an action.
    Leaving,
}

#[repr(C, align(64))]
struct Slot {
    header: Header,
    payload: UnsafeCell<MaybeUninit<[u64; PAYLOAD_WORDS]>>,
}

struct Header {
    /// Of the operation in it; of a free slot, of the next one.
    key: Key,
    table: &'static Table,
    waker: Option<Waker>,
    /// The number of its entry among all that were staged.
    entry: u64,
    /// Of a free slot, the next free one.
    next_free: u32,
    result: i32,
    flags: u32,
    state: State,
    orphan: bool,
    /// Taken back before the kernel saw it.
    unsubmitted: bool,
}

impl Header {
    /// The one completion.
    #[inline]
    fn answer(&self) -> Cqe {
        Cqe { user_data: self.key.user_data(), result: self.result, flags: self.flags }
    }

    /// The payload was moved out.
    #[inline]
    fn vacate(&mut self, next_free: u32) {
        self.key = self.key.next();
        self.state = State::Free;
        self.next_free = next_free;
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots")
            .field("live", &self.live)
            .field("stray", &self.stray)
            .finish_non_exhaustive()
    }
}

const _: () = assert!(size_of::<Slot>() == 128);

/// All slots of a driver.
pub(crate) struct Slots {
    chunks: Vec<NonNull<Slot>>,
    free: u32,
    live: u32,
    stray: u64,
    /// The waker of the result that was taken last, for the next operation, which mostly is the same task's. It is
    /// trusted, so it may be dropped while we are borrowed.
    kept: Option<Waker>,
}

/// What is to be done about an operation that nobody waits for any more.
pub(super) enum Abandoned {
    /// Nothing: it was over, or finishes by itself.
    Nothing,
    /// The kernel has not seen the entry of this number: take it back, then release. `bounded` as for `Operation`.
    Staged {
        entry: u64,
        bounded: bool,
    },
    Cancel,
    /// Its result came already: release.
    Release,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, live: 0, stray: 0, kept: None }
    }

    /// Operations whose slot is not free.
    pub(super) fn live(&self) -> usize {
        self.live as usize
    }

    /// Completions that named no operation of ours.
    pub(super) fn stray(&self) -> u64 {
        self.stray
    }

    /// Moves an operation into a slot; its entry is to follow.
    ///
    /// It is taken from where it lies and not handed from call to call: to read a copy whose parts were just written
    /// costs more than all else that happens here (`file`, `read_d32`).
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    pub(super) fn insert<T: Operation>(
        &mut self,
        operation: &mut Option<T>,
        waker: Option<Waker>,
    ) -> Unprepared<T> {
        let slot = self.vacant();
        // SAFETY: rules 2 and 3: the slot is free, so its payload is ours to write.
        unsafe { store_from(payload(slot), operation) };
        let key = self.occupy(slot, one_shot_table::<T>(), waker, UNNUMBERED);
        Unprepared { key, slot, operation: PhantomData }
    }

    /// As [`insert`](Self::insert), of an operation that is made where it will lie, of parts that lie apart. No code of
    /// the user's runs in `make`; what it captures is not copied if it needs no drop.
    #[inline]
    pub(super) fn insert_made<T: Operation>(
        &mut self,
        make: impl FnOnce() -> T,
        waker: Option<Waker>,
    ) -> Unprepared<T> {
        let slot = self.vacant();
        // SAFETY: rules 2 and 3: the slot is free, so its payload is ours to write.
        unsafe { store(payload(slot), make()) };
        let key = self.occupy(slot, one_shot_table::<T>(), waker, UNNUMBERED);
        Unprepared { key, slot, operation: PhantomData }
    }

    /// The entry waited, and is staged under this number.
    #[cold]
    pub(super) fn renumber(&mut self, key: Key, entry: u64) {
        if let Some((header, _)) = self.find(key) {
            header.entry = entry;
        }
    }

    /// The operation could not be prepared: there is no entry, and its payload is to be released.
    #[cold]
    pub(super) fn give_up(&mut self, key: Key) -> Option<Waker> {
        let (header, _) = self.find(key)?;
        header.state = State::Leaving;
        header.unsubmitted = true;
        header.waker.take()
    }

    /// As [`insert`](Self::insert), for an operation that belongs to a resource; makes its entry.
    pub(super) fn insert_standing<T: Standing>(&mut self, operation: T, entry: u64) -> (Key, Sqe) {
        let slot = self.vacant();
        // SAFETY: rules 2 and 3: the slot is free, so its payload is ours to write.
        unsafe { store(payload(slot), operation) };
        let key = self.occupy(slot, standing_table::<T>(), None, entry);
        // SAFETY: rule 2: a `T` was just put there; rule 4: the kernel has not seen it yet.
        let entry = unsafe { (*payload_as::<T>(payload(slot))).prepare() };
        (key, entry.user_data(key.user_data()))
    }

    /// The slot that is occupied next.
    #[inline]
    fn vacant(&mut self) -> *mut Slot {
        if self.free == NONE {
            self.grow();
        }
        self.slot(self.free)
    }

    /// Fills in the header of the vacant slot, whose payload is there.
    #[inline]
    fn occupy(
        &mut self,
        slot: *mut Slot,
        table: &'static Table,
        waker: Option<Waker>,
        entry: u64,
    ) -> Key {
        // SAFETY: rule 3.
        let header = unsafe { &mut (*slot).header };
        debug_assert!(header.state == State::Free && header.waker.is_none());
        self.free = header.next_free;
        self.live += 1;
        header.table = table;
        // There was none: nothing is to be dropped.
        let _none = ManuallyDrop::new(std::mem::replace(&mut header.waker, waker));
        header.entry = entry;
        header.state = State::Pending;
        header.orphan = false;
        header.unsubmitted = false;
        header.key
    }

    #[cold]
    fn grow(&mut self) {
        let base = (self.chunks.len() * CHUNK) as u32;
        let slots: Box<[Slot; CHUNK]> = (0..CHUNK as u32)
            .map(|offset| Slot {
                header: Header {
                    key: Key::first(base + offset),
                    table: &VACANT,
                    waker: None,
                    entry: 0,
                    next_free: if offset + 1 == CHUNK as u32 { NONE } else { base + offset + 1 },
                    result: 0,
                    flags: 0,
                    state: State::Free,
                    orphan: false,
                    unsubmitted: false,
                },
                payload: UnsafeCell::new(MaybeUninit::uninit()),
            })
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| unreachable!("a chunk has {CHUNK} slots"));
        self.chunks.push(NonNull::from(Box::leak(slots)).cast());
        self.free = base;
    }

    /// The place of an index; `None` if there is no such slot.
    #[inline]
    fn place(&self, index: u32) -> Option<*mut Slot> {
        let chunk = self.chunks.get(index as usize / CHUNK)?;
        // SAFETY: rule 1: within the chunk.
        Some(unsafe { chunk.as_ptr().add(index as usize % CHUNK) })
    }

    /// The place of an index that was handed out.
    #[inline]
    fn slot(&self, index: u32) -> *mut Slot {
        self.place(index).expect("an index lies within the chunks")
    }

    #[inline]
    fn header(&mut self, index: u32) -> &mut Header {
        // SAFETY: rule 3.
        unsafe { &mut (*self.slot(index)).header }
    }

    /// The slot behind a key, unless the operation is over.
    #[inline]
    fn find(&mut self, key: Key) -> Option<(&mut Header, *mut u8)> {
        self.named(key.user_data())
    }

    /// The slot that an entry or a completion names, unless the operation is over.
    #[inline]
    fn named(&mut self, user_data: u64) -> Option<(&mut Header, *mut u8)> {
        let slot = self.place(user_data as u32)?;
        // SAFETY: rule 3.
        let header = unsafe { &mut (*slot).header };
        let found = header.key.user_data() == user_data && header.state != State::Free;
        found.then(|| (header, payload(slot)))
    }

    /// Takes what the kernel says of an operation; a completion that names none is counted and ignored.
    #[inline]
    pub(super) fn complete(&mut self, cqe: Cqe, actions: &mut Actions) {
        let found = self.named(cqe.user_data);
        let Some((header, payload)) = found.filter(|(header, _)| header.state == State::Pending)
        else {
            return self.count_stray(cqe.user_data);
        };
        if !cqe.more() {
            header.result = cqe.result;
            header.flags = cqe.flags;
            actions.wake_in_place(&mut header.waker);
            if header.table.standing || header.orphan {
                header.state = State::Leaving;
                actions.release(header.key);
            } else {
                header.state = State::Done;
            }
        }
        if let Some(deliver) = header.table.deliver {
            // SAFETY: rules 2 and 4.
            unsafe { deliver(payload, cqe, actions) };
        }
    }

    #[cold]
    fn count_stray(&mut self, user_data: u64) {
        if user_data & KIND_SLOT.get() != 0 {
            self.stray += 1;
        }
    }

    /// How a one-shot operation ended, if it did; its slot is free then, and its payload still there.
    ///
    /// # Panics
    ///
    /// If the operation is no `T`.
    #[inline]
    pub(super) fn poll<T: Operation>(&mut self, key: Key, waker: &Waker) -> Polled<T> {
        let next_free = self.free;
        let Some((header, payload)) = self.find(key) else {
            return Polled::Lost;
        };
        if header.state != State::Done {
            let expected = header.waker.as_ref().is_some_and(|current| current.will_wake(waker));
            return if expected { Polled::Pending } else { Polled::OtherWaker };
        }
        assert!(header.table.is_of::<T>(), "a key was used for another operation");
        let cqe = header.answer();
        let waker = header.waker.take();
        header.vacate(next_free);
        self.free = key.index();
        self.live -= 1;
        if waker.is_some() {
            self.kept = waker;
        }
        Polled::Done(Done { payload, operation: PhantomData }, cqe)
    }

    /// A waker of the task that `waker` wakes, if one is kept.
    #[inline]
    pub(super) fn kept_waker(&mut self, waker: &Waker) -> Option<Waker> {
        self.kept.take_if(|kept| kept.will_wake(waker))
    }

    /// Keeps no waker any more, also not of results that nobody takes: the runtime ends, and a waker keeps its task.
    pub(super) fn forget_wakers(&mut self) {
        self.kept = None;
        for index in 0..self.count() {
            let header = self.header(index);
            if header.state == State::Done {
                header.waker = None;
            }
        }
    }

    fn count(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Has `waker` called when the operation is over; returns the one that was to be called, to drop.
    pub(super) fn set_waker(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.find(key).filter(|(header, _)| header.state == State::Pending) {
            Some((header, _)) => header.waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Nobody waits for this operation, which was just staged and is to happen all the same.
    #[inline]
    pub(super) fn orphan(&mut self, key: Key) {
        if let Some((header, _)) = self.find(key) {
            header.orphan = true;
        }
    }

    /// Nobody waits for this operation any more. Returns the waker to drop, and what to do. The kernel has not seen
    /// entries whose number is `unseen` or above.
    pub(super) fn abandon(&mut self, key: Key, unseen: u64) -> (Option<Waker>, Abandoned) {
        let Some((header, _)) = self.find(key) else {
            return (None, Abandoned::Nothing);
        };
        let waker = header.waker.take();
        let table = header.table;
        let abandoned = match header.state {
            State::Done => {
                header.state = State::Leaving;
                Abandoned::Release
            }
            State::Pending if header.entry >= unseen && !table.must_happen() => {
                header.state = State::Leaving;
                header.unsubmitted = true;
                Abandoned::Staged { entry: header.entry, bounded: table.bounded }
            }
            State::Pending => {
                header.orphan = true;
                match table.when_dropped {
                    WhenDropped::Cancel => Abandoned::Cancel,
                    WhenDropped::Finish => Abandoned::Nothing,
                }
            }
            State::Free | State::Leaving => Abandoned::Nothing,
        };
        (waker, abandoned)
    }

    /// The payload of a leaving operation, to be released once the driver is no longer borrowed.
    pub(super) fn leave(&mut self, key: Key) -> Option<Leaving> {
        let found = self.find(key).filter(|(header, _)| header.state == State::Leaving);
        let (header, payload) = found?;
        let cqe = (!header.unsubmitted).then_some(header.answer());
        Some(Leaving { key, table: header.table, payload, cqe })
    }

    /// Frees the slot of an operation whose payload was moved out.
    #[inline]
    pub(super) fn free(&mut self, key: Key) {
        let next_free = self.free;
        self.header(key.index()).vacate(next_free);
        self.free = key.index();
        self.live -= 1;
    }

    /// Every operation that is still in the kernel. One whose buffer is being asked where it lies has yet to get there.
    pub(super) fn pending(&mut self) -> Vec<Pending> {
        let mut pending = Vec::new();
        for index in 0..self.count() {
            let header = self.header(index);
            if header.state == State::Pending && header.entry != UNNUMBERED {
                pending.push(Pending {
                    key: header.key,
                    kind: header.table.kind,
                    when_dropped: header.table.when_dropped,
                    must_happen: header.table.must_happen(),
                });
            }
        }
        pending
    }
}

/// An operation in the kernel, to be ended or reported.
pub(super) struct Pending {
    pub(super) key: Key,
    pub(super) kind: &'static str,
    pub(super) when_dropped: WhenDropped,
    pub(super) must_happen: bool,
}

/// The payload of a slot.
#[inline]
fn payload(slot: *mut Slot) -> *mut u8 {
    // SAFETY: rule 3: a field of a slot within its chunk.
    unsafe { UnsafeCell::raw_get(&raw const (*slot).payload).cast::<u8>() }
}

/// What polling a one-shot operation found.
pub(super) enum Polled<T: Operation> {
    Done(Done<T>, Cqe),
    /// Not yet; the waker will be called.
    Pending,
    /// Not yet, and another waker would be called: the caller clones its own, with nothing borrowed.
    OtherWaker,
    /// The key is stale, which a future never lets happen.
    Lost,
}

/// An operation that the kernel is done with, in a slot that is free again. Apart from the answer, so that it is moved
/// only once.
#[must_use]
pub(super) struct Done<T: Operation> {
    payload: *mut u8,
    operation: PhantomData<T>,
}

impl<T: Operation> Done<T> {
    /// Moves it out, before anything else is done with the slots.
    #[inline]
    pub(super) fn take(self) -> T {
        // SAFETY: rule 2: `poll` saw that it is a `T`, and made this, which is not copied, once.
        unsafe { take::<T>(self.payload) }
    }
}

/// An operation in its slot whose entry is to be made.
pub(super) struct Unprepared<T: Operation> {
    pub(super) key: Key,
    slot: *mut Slot,
    operation: PhantomData<T>,
}

impl<T: Operation> Unprepared<T> {
    /// Makes the entry. The operation may ask a buffer of the user's where it lies, so nothing is borrowed.
    #[inline]
    pub(super) fn prepare(&mut self) -> Sqe {
        // SAFETY: rule 2: `insert` put a `T` there; rule 4.
        let entry = unsafe { (*payload_as::<T>(payload(self.slot))).prepare() };
        entry.user_data(self.key.user_data())
    }

    /// Its entry was staged, under this number.
    #[inline]
    pub(super) fn staged(self, _slots: &mut Slots, entry: u64) {
        // SAFETY: rule 3, of the `Slots` that made us.
        unsafe { (*self.slot).header.entry = entry };
    }
}

/// An operation on its way out.
pub(super) struct Leaving {
    pub(super) key: Key,
    table: &'static Table,
    payload: *mut u8,
    cqe: Option<Cqe>,
}

impl Leaving {
    /// Gives the payload its last result and drops it. Runs code of the user's.
    pub(super) fn release(self) {
        // SAFETY: rule 2: the slot is `Leaving`, so nobody else moves the payload out, and it is freed after us.
        unsafe { (self.table.release)(self.payload, self.cqe) };
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.live > 0 {
            return;
        }
        for chunk in self.chunks.drain(..) {
            // SAFETY: rule 1: it was leaked from a box of this type, and no slot is occupied.
            drop(unsafe { Box::from_raw(chunk.cast::<[Slot; CHUNK]>().as_ptr()) });
        }
    }
}
