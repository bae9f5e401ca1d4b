//! The place of each operation that was given to the kernel, and what came back.
//!
//! Slots lie in chunks whose addresses never change. A key is an index and a generation; a completion or a future
//! with a stale generation finds nothing. The payload is the operation itself, erased behind a table of functions.
//!
//! # Safety rules
//!
//! 1. A chunk is allocated once and freed only when `Slots` is dropped with no live slot; otherwise it is leaked,
//!    because the kernel may still write to what the payloads own.
//! 2. A slot that is not `Free` holds a payload of the type that its table was made for; `take` and `release`
//!    move it out exactly once and free the slot.
//! 3. The header of a slot is reached through a short `&mut` made from the chunk's pointer while `Slots` is
//!    borrowed; the payload only through raw pointers, because the kernel may be writing to it.
//! 4. `deliver` and `landed` get the only reference to the payload; the operation's contract says that the kernel
//!    writes to no field that they touch. `prepare` has it too: the kernel has not seen the entry, and only who holds
//!    the `Unprepared` knows the key.
#![allow(unsafe_code, reason = "room 3: the life of an operation")]

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::Waker;

use super::actions::Actions;
use super::operation::{Operation, Standing, WhenDropped};
use crate::sys::{Cqe, Sqe};

const CHUNK: usize = 64;
/// With the header, two cache lines a slot; a larger operation lies in a box of its own.
const PAYLOAD_WORDS: usize = 9;
const NONE: u32 = u32::MAX;
const GENERATIONS: u32 = 1 << 28;
/// The kind in the top bits of `user_data`. Zero belongs to entries whose completion nobody wants.
const KIND_SLOT: u64 = 1 << 60;

/// An operation's place: `kind | generation | index`, as it travels in `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    fn new(generation: u32, index: u32) -> Self {
        Self(KIND_SLOT | u64::from(generation) << 32 | u64::from(index))
    }

    fn index(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & (GENERATIONS - 1)
    }

    pub(crate) fn user_data(self) -> u64 {
        self.0
    }
}

/// The functions of one operation type.
struct Table {
    /// The type itself: addresses of tables and functions prove nothing, the compiler may copy them.
    type_id: fn() -> TypeId,
    kind: &'static str,
    when_dropped: WhenDropped,
    /// Standing operations take their completions here; one-shot ones only note that theirs came.
    deliver: unsafe fn(*mut u8, Cqe, &mut Actions),
    standing: bool,
    release: unsafe fn(*mut u8, Option<Cqe>),
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
    generation: u32,
    state: State,
    orphan: bool,
    /// Taken back before the kernel saw it.
    unsubmitted: bool,
    /// The batch of entries it was staged in.
    batch: u64,
    /// Its place in the batch; of a free slot, the next free one.
    place: u32,
    result: i32,
    flags: u32,
    table: Option<&'static Table>,
    waker: Option<Waker>,
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
}

/// What is to be done about an operation that nobody waits for any more.
pub(super) enum Abandoned {
    /// Nothing: it was over, or finishes by itself.
    Nothing,
    /// It still lies in the staged batch at this place: blank the entry, then release.
    Staged(u32),
    Cancel,
    /// Its result came already: release.
    Release,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, live: 0, stray: 0 }
    }

    /// Operations whose slot is not free.
    pub(super) fn live(&self) -> usize {
        self.live as usize
    }

    /// Completions that named no operation of ours.
    pub(super) fn stray(&self) -> u64 {
        self.stray
    }

    /// Moves an operation into a slot, its entry to be `staged_at` in `batch`.
    pub(super) fn insert<T: Operation>(
        &mut self,
        operation: T,
        waker: Option<Waker>,
        batch: u64,
        staged_at: u32,
    ) -> Unprepared<T> {
        let (key, payload) = self.place(operation, one_shot_table::<T>(), waker, batch, staged_at);
        Unprepared { key, payload, operation: PhantomData }
    }

    /// The entry is `staged_at` in `batch` after all, because its preparation staged others.
    #[cold]
    pub(super) fn move_entry(&mut self, key: Key, batch: u64, staged_at: u32) {
        if let Some(header) = self.find(key) {
            (header.batch, header.place) = (batch, staged_at);
        }
    }

    /// The operation could not be prepared: there is no entry, and its payload is to be released.
    #[cold]
    pub(super) fn give_up(&mut self, key: Key) -> Option<Waker> {
        let header = self.find(key)?;
        header.state = State::Leaving;
        header.unsubmitted = true;
        header.waker.take()
    }

    /// As [`insert`](Self::insert), for an operation that belongs to a resource; makes its entry.
    pub(super) fn insert_standing<T: Standing>(
        &mut self,
        operation: T,
        batch: u64,
        staged_at: u32,
    ) -> (Key, Sqe) {
        let (key, payload) = self.place(operation, standing_table::<T>(), None, batch, staged_at);
        // SAFETY: rule 2: `place` just put a `T` there; rule 4: the kernel has not seen it yet.
        let entry = unsafe { (*payload_as::<T>(payload)).prepare() };
        (key, entry.user_data(key.user_data()))
    }

    fn place<T>(
        &mut self,
        operation: T,
        table: &'static Table,
        waker: Option<Waker>,
        batch: u64,
        staged_at: u32,
    ) -> (Key, *mut u8) {
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let header = self.header(index);
        debug_assert_eq!(header.state, State::Free);
        let generation = header.generation;
        let next_free = header.place;
        *header = Header {
            generation,
            state: State::Pending,
            orphan: false,
            unsubmitted: false,
            batch,
            place: staged_at,
            result: 0,
            flags: 0,
            table: Some(table),
            waker,
        };
        self.free = next_free;
        self.live += 1;
        let payload = self.payload(index);
        // SAFETY: rules 2 and 3: the slot was free, so its payload is ours to write.
        unsafe { store(payload, operation) };
        (Key::new(generation, index), payload)
    }

    fn grow(&mut self) {
        let base = (self.chunks.len() * CHUNK) as u32;
        let slots: Box<[Slot; CHUNK]> = (0..CHUNK as u32)
            .map(|offset| Slot {
                header: Header {
                    generation: 0,
                    state: State::Free,
                    orphan: false,
                    unsubmitted: false,
                    batch: 0,
                    place: if offset + 1 == CHUNK as u32 { NONE } else { base + offset + 1 },
                    result: 0,
                    flags: 0,
                    table: None,
                    waker: None,
                },
                payload: UnsafeCell::new(MaybeUninit::uninit()),
            })
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| unreachable!("a chunk has {CHUNK} slots"));
        self.chunks.push(NonNull::from(Box::leak(slots)).cast());
        self.free = base;
    }

    fn slot(&self, index: u32) -> *mut Slot {
        let chunk = self.chunks[index as usize / CHUNK];
        // SAFETY: rule 1: within the chunk.
        unsafe { chunk.as_ptr().add(index as usize % CHUNK) }
    }

    fn header(&mut self, index: u32) -> &mut Header {
        // SAFETY: rule 3.
        unsafe { &mut (*self.slot(index)).header }
    }

    fn payload(&self, index: u32) -> *mut u8 {
        // SAFETY: rule 3: a field of a live slot.
        unsafe { (&raw const (*self.slot(index)).payload).cast::<u8>().cast_mut() }
    }

    /// The header behind a key, unless the operation is over.
    fn find(&mut self, key: Key) -> Option<&mut Header> {
        let index = key.index();
        if index as usize / CHUNK >= self.chunks.len() {
            return None;
        }
        let header = self.header(index);
        let found = header.generation == key.generation() && header.state != State::Free;
        found.then_some(header)
    }

    /// Takes what the kernel says of an operation; a completion that names none is counted and ignored.
    pub(super) fn complete(&mut self, cqe: Cqe, actions: &mut Actions) {
        if cqe.user_data & KIND_SLOT == 0 {
            return;
        }
        let key = Key(cqe.user_data);
        let Some(header) = self.find(key).filter(|header| header.state == State::Pending) else {
            self.stray += 1;
            return;
        };
        let table = header.table.expect("an occupied slot has a table");
        let last = !cqe.more();
        if last {
            if table.standing || header.orphan {
                header.state = State::Leaving;
            } else {
                header.state = State::Done;
            }
            header.result = cqe.result;
            header.flags = cqe.flags;
            let leaving = header.state == State::Leaving;
            actions.wake_taken(&mut header.waker);
            if leaving {
                actions.release(key);
            }
        }
        let payload = self.payload(key.index());
        // SAFETY: rules 2 and 4.
        unsafe { (table.deliver)(payload, cqe, actions) };
    }

    /// The result of a one-shot operation, if it is there.
    ///
    /// # Panics
    ///
    /// If the operation is no `T`.
    pub(super) fn poll<T: Operation>(&mut self, key: Key, waker: &Waker) -> Polled<T> {
        let Some(header) = self.find(key) else {
            return Polled::Lost;
        };
        if header.state != State::Done {
            let expected = header.waker.as_ref().is_some_and(|current| current.will_wake(waker));
            return if expected { Polled::Pending } else { Polled::OtherWaker };
        }
        let cqe = Cqe { user_data: key.0, result: header.result, flags: header.flags };
        let table = header.table.expect("an occupied slot has a table");
        assert!((table.type_id)() == TypeId::of::<T>(), "a key was used for another operation");
        let payload = self.payload(key.index());
        // SAFETY: rule 2: it is a `T`; the kernel is done with it.
        let operation = unsafe { take::<T>(payload) };
        self.free(key);
        Polled::Done(operation, cqe)
    }

    /// Has `waker` called when the operation is over; returns the one that was to be called, to drop.
    pub(super) fn set_waker(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.find(key).filter(|header| header.state == State::Pending) {
            Some(header) => header.waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Nobody waits for this operation any more. Returns the waker to drop, and what to do.
    pub(super) fn abandon(&mut self, key: Key, batch: u64) -> (Option<Waker>, Abandoned) {
        let Some(header) = self.find(key) else {
            return (None, Abandoned::Nothing);
        };
        let waker = header.waker.take();
        let table = header.table.expect("an occupied slot has a table");
        let abandoned = match header.state {
            State::Done => {
                header.state = State::Leaving;
                Abandoned::Release
            }
            State::Pending if header.batch == batch && !must_happen(table) => {
                header.state = State::Leaving;
                header.unsubmitted = true;
                Abandoned::Staged(header.place)
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
        let header = self.find(key).filter(|header| header.state == State::Leaving)?;
        let table = header.table.expect("an occupied slot has a table");
        let submitted = !header.unsubmitted;
        let cqe = Cqe { user_data: key.0, result: header.result, flags: header.flags };
        let payload = self.payload(key.index());
        Some(Leaving { key, table, payload, cqe: submitted.then_some(cqe) })
    }

    /// Frees the slot of an operation whose payload was moved out.
    pub(super) fn free(&mut self, key: Key) {
        let next_free = self.free;
        let header = self.header(key.index());
        header.generation = (header.generation + 1) % GENERATIONS;
        header.state = State::Free;
        header.table = None;
        header.place = next_free;
        self.free = key.index();
        self.live -= 1;
    }

    /// Every operation that is still in the kernel.
    pub(super) fn pending(&mut self) -> Vec<Pending> {
        let count = (self.chunks.len() * CHUNK) as u32;
        let mut pending = Vec::new();
        for index in 0..count {
            let header = self.header(index);
            if header.state == State::Pending {
                let table = header.table.expect("an occupied slot has a table");
                pending.push(Pending {
                    key: Key::new(header.generation, index),
                    kind: table.kind,
                    when_dropped: table.when_dropped,
                    must_happen: must_happen(table),
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

/// Closes always happen; everything else may be taken back before the kernel saw it, and ended with the runtime.
fn must_happen(table: &Table) -> bool {
    table.when_dropped == WhenDropped::Finish && table.standing
}

/// What polling a one-shot operation found.
pub(super) enum Polled<T> {
    Done(T, Cqe),
    /// Not yet; the waker will be called.
    Pending,
    /// Not yet, and another waker would be called: the caller clones its own, with nothing borrowed.
    OtherWaker,
    /// The key is stale, which a future never lets happen.
    Lost,
}

/// An operation in its slot whose entry is to be made.
pub(super) struct Unprepared<T: Operation> {
    pub(super) key: Key,
    payload: *mut u8,
    operation: PhantomData<T>,
}

impl<T: Operation> Unprepared<T> {
    /// Makes the entry. The operation may ask a buffer of the user's where it lies, so nothing is borrowed.
    pub(super) fn prepare(&mut self) -> Sqe {
        // SAFETY: rule 2: `insert` put a `T` there; rule 4.
        let entry = unsafe { (*payload_as::<T>(self.payload)).prepare() };
        entry.user_data(self.key.user_data())
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

/// True if a `T` lies in the slot itself, not in a box of its own.
const fn fits<T>() -> bool {
    size_of::<T>() <= PAYLOAD_WORDS * 8 && align_of::<T>() <= 8
}

/// # Safety
///
/// `payload` is the free payload of a slot.
unsafe fn store<T>(payload: *mut u8, value: T) {
    // SAFETY: our caller's promise; `fits` says which form has room.
    unsafe {
        if fits::<T>() {
            payload.cast::<T>().write(value);
        } else {
            payload.cast::<*mut T>().write(Box::into_raw(Box::new(value)));
        }
    }
}

/// # Safety
///
/// `payload` holds a `T` that `store` put there.
unsafe fn payload_as<T>(payload: *mut u8) -> *mut T {
    if fits::<T>() {
        payload.cast()
    } else {
        // SAFETY: our caller's promise: `store` wrote the pointer.
        unsafe { payload.cast::<*mut T>().read() }
    }
}

/// # Safety
///
/// As for `payload_as`; the payload counts as moved out afterwards.
unsafe fn take<T>(payload: *mut u8) -> T {
    // SAFETY: our caller's promise; the box was leaked by `store`.
    unsafe {
        if fits::<T>() {
            payload.cast::<T>().read()
        } else {
            *Box::from_raw(payload.cast::<*mut T>().read())
        }
    }
}

fn one_shot_table<T: Operation>() -> &'static Table {
    unsafe fn deliver<T: Operation>(payload: *mut u8, cqe: Cqe, actions: &mut Actions) {
        // SAFETY: the table is `T`'s, so the payload is; rule 4.
        unsafe { (*payload_as::<T>(payload)).landed(cqe, actions) };
    }
    unsafe fn release<T: Operation>(payload: *mut u8, cqe: Option<Cqe>) {
        // SAFETY: the table is `T`'s, so the payload is; our caller frees the slot.
        let operation = unsafe { take::<T>(payload) };
        if let Some(cqe) = cqe {
            operation.orphaned(cqe.into());
        }
    }
    const {
        &Table {
            type_id: TypeId::of::<T>,
            kind: T::KIND,
            when_dropped: T::WHEN_DROPPED,
            deliver: deliver::<T>,
            standing: false,
            release: release::<T>,
        }
    }
}

fn standing_table<T: Standing>() -> &'static Table {
    unsafe fn deliver<T: Standing>(payload: *mut u8, cqe: Cqe, actions: &mut Actions) {
        // SAFETY: the table is `T`'s, so the payload is; rule 4.
        unsafe { (*payload_as::<T>(payload)).deliver(cqe, actions) };
    }
    unsafe fn release<T: Standing>(payload: *mut u8, _cqe: Option<Cqe>) {
        // SAFETY: the table is `T`'s, so the payload is; our caller frees the slot.
        drop(unsafe { take::<T>(payload) });
    }
    const {
        &Table {
            type_id: TypeId::of::<T>,
            kind: T::KIND,
            when_dropped: if T::CANCELLABLE { WhenDropped::Cancel } else { WhenDropped::Finish },
            deliver: deliver::<T>,
            standing: true,
            release: release::<T>,
        }
    }
}
