//! What the driver and an operation owe each other. The only place where the kernel's contract is written down.
//!
//! An operation is a value that owns everything the kernel will see of it: buffers, addresses, the reference that
//! keeps the descriptor open. It moves into a slot, is asked once for its entry, and stays in the slot, at one
//! address, until the kernel has posted its last completion. Then it is taken out and given the result.

#![allow(unsafe_code, reason = "room 3: the contract; it has no unsafe block")]

use std::io;

use super::actions::Actions;
use crate::sys::{Cqe, Sqe};

/// What becomes of an operation in the kernel whose future was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenDropped {
    /// It is cancelled; what it brings all the same is given to `orphaned`.
    Cancel,
    /// It runs to its end: bytes on their way out are not torn apart.
    Finish,
}

/// How the kernel answered, or that the runtime ended before it was asked.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: io::Result<u32>,
}

impl Outcome {
    /// The operation was never submitted because the runtime is gone.
    pub(crate) fn gone() -> Self {
        Self { result: Err(gone()) }
    }
}

impl From<Cqe> for Outcome {
    fn from(cqe: Cqe) -> Self {
        Self { result: cqe.to_result() }
    }
}

/// The error of whatever is asked of a runtime that ended.
pub(crate) fn gone() -> io::Error {
    io::Error::other("the annulus runtime of this operation has shut down")
}

/// What is done when the kernel is done with an operation, whether or not somebody polls: bookkeeping that must not
/// wait. Runs while the driver is borrowed.
pub(crate) type Landed<T> = Option<fn(&mut T, &mut Actions)>;

/// An operation with exactly one completion.
///
/// # Safety
///
/// - Everything the entry of `prepare` points to stays valid and in place until the value is dropped or given to
///   `complete` or `orphaned`, provided that the value itself is not moved; what the kernel writes is not read or
///   written by anyone else meanwhile.
/// - The entry's descriptor stays open as long as the value lives, or at least until the entry was taken back or the
///   kernel, which holds the file itself from then on, has seen it.
/// - The entry yields one completion, and none carries `F_MORE`.
/// - `LANDED` calls no code of the user's and does not touch the driver.
pub(crate) unsafe trait Operation: Sized + 'static {
    /// What the future resolves to.
    type Output;

    /// The name in reports of what is still under way.
    const KIND: &'static str;

    const WHEN_DROPPED: WhenDropped;

    /// Whether it is submitted again if the kernel cancels it unasked, as it does where it can start no thread for what
    /// blocks. Not for what keeps other books in `LANDED` than [`BOUNDED`](Self::BOUNDED) asks for.
    const SUBMIT_AGAIN: bool = false;

    /// Whether only so many of these are in the kernel at once, see [`Depth`](super::depth::Depth). Its `LANDED` calls
    /// [`Actions::end_bounded`].
    const BOUNDED: bool = false;

    /// A constant and no method: most operations have none, and for them nothing is called (`file`, `read_d32`).
    const LANDED: Landed<Self> = None;

    /// The entry for the kernel. Called once in each place that the value reaches, and one is all but for an operation
    /// that is submitted again; with nothing borrowed: it may ask a buffer of the user's where it lies.
    fn prepare(&mut self) -> Sqe;

    /// Turns the answer into the caller's result.
    fn complete(self, outcome: Outcome) -> Self::Output;

    /// The result where the runtime has ended and left the operation in the kernel, with all that it owns; `None` if
    /// that is a part of the result, and the future is never ready.
    fn left_behind() -> Option<Self::Output> {
        None
    }

    /// The future is gone; the result must be released or handed to its owner. Runs with nothing borrowed.
    fn orphaned(self, outcome: Outcome) {
        drop(self.complete(outcome));
    }
}

/// An operation that belongs to a resource and may complete many times.
///
/// # Safety
///
/// As for [`Operation`], until the value is dropped, which happens after the completion without `F_MORE`;
/// `prepare` and `deliver` call no code of the user's and stage nothing.
pub(crate) unsafe trait Standing: 'static {
    /// The name in reports of what is still under way.
    const KIND: &'static str;

    /// False: the driver's shutdown waits for its end instead of cancelling it.
    const CANCELLABLE: bool = true;

    /// The entry for the kernel. Called once, when the value has reached its place.
    fn prepare(&mut self) -> Sqe;

    /// Takes one completion. Runs while the driver is borrowed.
    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions);
}
