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

/// The entries, and a number for this filling of the list.
#[derive(Default)]
pub(super) struct Staged {
    entries: Vec<Sqe>,
    /// Wide enough never to come round: an operation may stay in the kernel for months.
    batch: u64,
}

impl Staged {
    /// Where the next entry goes: the batch and the place in it.
    pub(super) fn next(&self) -> (u64, u32) {
        (self.batch, self.entries.len() as u32)
    }

    pub(super) fn batch(&self) -> u64 {
        self.batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry that `Slots` made.
    pub(super) fn push(&mut self, entry: Sqe) {
        self.entries.push(entry);
    }

    /// Adds a request to end an operation. It has a completion only if it fails, which changes nothing.
    pub(super) fn cancel(&mut self, key: Key) {
        let entry = opcode::AsyncCancel::new(key.user_data()).build();
        self.entries.push(entry.flags(Flags::SKIP_SUCCESS));
    }

    /// Takes the entry at `place` of the current batch back.
    pub(super) fn blank(&mut self, place: u32) {
        self.entries[place as usize] = opcode::Nop::new().build().flags(Flags::SKIP_SUCCESS);
    }

    /// Copies the entries from `start` on into the submission queue, as many as fit; returns where it stopped.
    pub(super) fn push_into(&self, ring: &mut Ring, start: usize) -> usize {
        // SAFETY: rule 1.
        start + unsafe { ring.push(&self.entries[start..]) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first `count` entries may have been seen by the kernel. What follows counts as seen as well.
    pub(super) fn pushed(&mut self, count: usize) {
        if count == self.entries.len() {
            self.entries.clear();
        } else {
            self.entries.drain(..count);
        }
        self.batch += 1;
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("count", &self.entries.len()).finish_non_exhaustive()
    }
}
