//! Entries that wait for the next enter.
//!
//! They are kept in our own memory until then, so the submission queue is never full for a submitter and an entry
//! whose future is dropped in time can be blanked: the kernel never sees it.
//!
//! # Safety rules
//!
//! 1. Every entry here was made by `prepare` of an operation that lies in a slot, or names no memory (`cancel`,
//!    `blank`). The slot is freed only after the completion of its entry, or after the entry was blanked, so what
//!    an entry points to outlives its stay here and in the kernel.
#![allow(unsafe_code, reason = "room 3: the life of an operation")]

use std::fmt;

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::slots::Key;
use crate::sys::Sqe;
use crate::sys::ring::Ring;

/// The entries, and how many there were before them. An entry's number is its place among all that were ever staged.
#[derive(Default)]
pub(super) struct Staged {
    entries: Vec<Sqe>,
    /// The number of the first. Wide enough never to come round.
    first: u64,
}

impl Staged {
    /// The number of the next entry.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Entries from this number on were not seen by the kernel.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry that `Slots` made; returns its number.
    #[inline]
    pub(super) fn push(&mut self, entry: Sqe) -> u64 {
        let number = self.next();
        self.entries.push(entry);
        number
    }

    /// Adds a request to end an operation. It has a completion only if it fails, which changes nothing.
    pub(super) fn cancel(&mut self, key: Key) {
        let entry = opcode::AsyncCancel::new(key.user_data()).build();
        self.entries.push(entry.flags(Flags::SKIP_SUCCESS));
    }

    /// Takes back the entry of a number that was not seen yet.
    pub(super) fn blank(&mut self, number: u64) {
        self.entries[(number - self.first) as usize] =
            opcode::Nop::new().build().flags(Flags::SKIP_SUCCESS);
    }

    /// Copies the entries from `start` on into the submission queue, as many as fit; returns where it stopped.
    #[inline]
    pub(super) fn push_into(&self, ring: &mut Ring, start: usize) -> usize {
        if start == self.entries.len() {
            return start;
        }
        // SAFETY: rule 1.
        start + unsafe { ring.push(&self.entries[start..]) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first `count` entries may have been seen by the kernel.
    pub(super) fn pushed(&mut self, count: usize) {
        if count == self.entries.len() {
            self.entries.clear();
        } else {
            self.entries.drain(..count);
        }
        self.first += count as u64;
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("count", &self.entries.len()).finish_non_exhaustive()
    }
}
