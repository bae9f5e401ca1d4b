//! How an operation of any type lies in its slot: in place or in a box, with a table of functions that know its type.
//!
//! # Safety rules
//!
//! 1. A payload is `PAYLOAD_WORDS` words, aligned to 8. `store` puts a `T` there, or a pointer to a boxed one;
//!    `payload_as` and `take` of the same `T` read it back, `take` for the last time.
//! 2. A table's functions are called on payloads that `store` filled with the table's type. What else they need, the
//!    rules of `slots` say.
#![allow(unsafe_code, reason = "room 3: the life of an operation")]

use std::any::TypeId;
use std::mem::MaybeUninit;

use super::actions::Actions;
use super::operation::{Operation, Standing, WhenDropped};
use crate::sys::Cqe;

/// With the header, two cache lines a slot; a larger operation lies in a box of its own.
pub(super) const PAYLOAD_WORDS: usize = 9;

/// The functions of one operation type.
pub(super) struct Table {
    /// The type itself: addresses of tables and functions prove nothing, the compiler may copy them.
    type_id: fn() -> TypeId,
    pub(super) kind: &'static str,
    pub(super) when_dropped: WhenDropped,
    /// Standing operations take their completions here; one-shot ones note that theirs came, if they have to.
    pub(super) deliver: Option<unsafe fn(*mut u8, Cqe, &mut Actions)>,
    pub(super) standing: bool,
    pub(super) bounded: bool,
    pub(super) release: unsafe fn(*mut u8, Option<Cqe>),
}

impl Table {
    /// Whether it is that of the one-shot operation `T`. The same address is the same type; the compiler may have
    /// copied the table, so another address proves nothing.
    #[inline]
    pub(super) fn is_of<T: Operation>(&'static self) -> bool {
        std::ptr::eq(self, one_shot_table::<T>()) || (self.type_id)() == TypeId::of::<T>()
    }

    /// Closes always happen; everything else may be taken back before the kernel saw it, and ended with the runtime.
    pub(super) fn must_happen(&self) -> bool {
        self.when_dropped == WhenDropped::Finish && self.standing
    }
}

/// Of a slot that never had an operation.
pub(super) static VACANT: Table = Table {
    type_id: TypeId::of::<()>,
    kind: "nothing",
    when_dropped: WhenDropped::Cancel,
    deliver: None,
    standing: false,
    bounded: false,
    release: |_, _| {},
};

/// True if a `T` lies in the slot itself, not in a box of its own.
const fn fits<T>() -> bool {
    size_of::<T>() <= PAYLOAD_WORDS * 8 && align_of::<T>() <= 8
}

/// Puts a value into a payload.
///
/// # Safety
///
/// `payload` is the free payload of a slot.
#[inline]
pub(super) unsafe fn store<T>(payload: *mut u8, value: T) {
    // SAFETY: rule 1; `fits` says which form has room.
    unsafe {
        if fits::<T>() {
            payload.cast::<T>().write(value);
        } else {
            payload.cast::<*mut T>().write(Box::into_raw(Box::new(value)));
        }
    }
}

/// As `store`, of a value that was made just now and lies where it was made.
///
/// It is copied word by word. A processor hands on what it has not yet written to its cache only to a load that lies
/// within one store; the compiler copies by 16 bytes what was stored by 8, and then each operation waits some 12 ns
/// for its own arguments (`file`, `read_d32`).
///
/// # Safety
///
/// As for `store`.
///
/// # Panics
///
/// If there is no value.
#[inline]
pub(super) unsafe fn store_from<T>(payload: *mut u8, value: &mut Option<T>) {
    let from: *mut T = value.as_mut().expect("an operation was polled after its end");
    if !(fits::<T>() && size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) {
        // SAFETY: rule 1; there is a value, it was just looked at.
        return unsafe { store(payload, value.take().unwrap_unchecked()) };
    }
    let (from, to) = (from.cast::<MaybeUninit<u64>>(), payload.cast::<MaybeUninit<u64>>());
    for index in 0..size_of::<T>() / 8 {
        // SAFETY: rule 1; within the value and the payload, both aligned. Volatile, lest the words are joined.
        unsafe { to.add(index).write(from.add(index).read_volatile()) };
    }
    // SAFETY: the value was moved out, so it must not be dropped here.
    unsafe { (&raw mut *value).write(None) };
}

/// Where the value of a payload is.
///
/// # Safety
///
/// `payload` holds a `T` that `store` put there.
#[inline]
pub(super) unsafe fn payload_as<T>(payload: *mut u8) -> *mut T {
    if fits::<T>() {
        payload.cast()
    } else {
        // SAFETY: rule 1: `store` wrote the pointer.
        unsafe { payload.cast::<*mut T>().read() }
    }
}

/// Moves the value of a payload out.
///
/// # Safety
///
/// As for `payload_as`; the payload counts as moved out afterwards.
#[inline]
pub(super) unsafe fn take<T>(payload: *mut u8) -> T {
    // SAFETY: rule 1; the box was leaked by `store`.
    unsafe {
        if fits::<T>() {
            payload.cast::<T>().read()
        } else {
            *Box::from_raw(payload.cast::<*mut T>().read())
        }
    }
}

/// The table of a one-shot operation.
#[inline]
pub(super) fn one_shot_table<T: Operation>() -> &'static Table {
    unsafe fn deliver<T: Operation>(payload: *mut u8, _cqe: Cqe, actions: &mut Actions) {
        if let Some(landed) = T::LANDED {
            // SAFETY: rule 2; the only reference, by rule 4 of `slots`.
            landed(unsafe { &mut *payload_as::<T>(payload) }, actions);
        }
    }
    unsafe fn release<T: Operation>(payload: *mut u8, cqe: Option<Cqe>) {
        // SAFETY: rule 2; our caller frees the slot.
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
            deliver: if T::LANDED.is_some() { Some(deliver::<T>) } else { None },
            standing: false,
            bounded: T::BOUNDED,
            release: release::<T>,
        }
    }
}

/// The table of a standing operation.
pub(super) fn standing_table<T: Standing>() -> &'static Table {
    unsafe fn deliver<T: Standing>(payload: *mut u8, cqe: Cqe, actions: &mut Actions) {
        // SAFETY: rule 2; the only reference, by rule 4 of `slots`.
        unsafe { (*payload_as::<T>(payload)).deliver(cqe, actions) };
    }
    unsafe fn release<T: Standing>(payload: *mut u8, _cqe: Option<Cqe>) {
        // SAFETY: rule 2; our caller frees the slot.
        drop(unsafe { take::<T>(payload) });
    }
    const {
        &Table {
            type_id: TypeId::of::<T>,
            kind: T::KIND,
            when_dropped: if T::CANCELLABLE { WhenDropped::Cancel } else { WhenDropped::Finish },
            deliver: Some(deliver::<T>),
            standing: true,
            bounded: false,
            release: release::<T>,
        }
    }
}
