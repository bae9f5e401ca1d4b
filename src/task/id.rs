//! The name of a task: a number given once per process.
//!
//! Numbers are drawn from one counter in blocks, so that a spawn touches no shared cache line.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many ids an executor draws at once.
const BLOCK: u64 = 1024;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

/// The id of a task, unique within the process and never reused.
///
/// Ids are for logs and maps. They do not say in which order tasks were spawned: each runtime draws its own
/// block of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One executor's block of ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    next: Cell<u64>,
    end: Cell<u64>,
}

impl Ids {
    /// The next id, from a fresh block when this one is used up.
    #[inline]
    pub(super) fn next(&self) -> Id {
        if self.next.get() == self.end.get() {
            self.refill();
        }
        let id = self.next.get();
        self.next.set(id + 1);
        Id(NonZeroU64::new(id).expect("ids start at 1"))
    }

    #[cold]
    fn refill(&self) {
        let start = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
        self.next.set(start);
        self.end.set(start + BLOCK);
    }
}
