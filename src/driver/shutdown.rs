//! The driver's end: cancel everything, reap until nothing is outstanding, or leak on purpose.
//!
//! Only our own count of completions still due is evidence that the kernel is done with our memory; neither
//! closing the ring nor the result of a cancel is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::{Driver, WhenDropped};

/// What had not ended when the deadline of a shutdown passed: operations in the kernel, and blocking jobs.
///
/// The operations' memory is leaked on purpose, because the kernel may still write to it; the descriptors they use stay
/// open until it is done with them. A future that still waits for one fails when it is polled, or is never ready where
/// it would have to give back a buffer, which is the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaked {
    /// How many operations.
    pub count: usize,
    /// Their kinds, with how many of each.
    pub kinds: Vec<(&'static str, usize)>,
    /// How many jobs still ran on the runtime's blocking pool. Their threads run on, and end when they do.
    pub blocking_jobs: usize,
}

impl fmt::Display for Leaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 0 {
            write!(
                f,
                "the kernel did not finish {} operations in time, their memory is leaked:",
                self.count
            )?;
            for (kind, count) in &self.kinds {
                write!(f, " {count} {kind}")?;
            }
        }
        if self.blocking_jobs > 0 {
            let and = if self.count > 0 { "; " } else { "" };
            write!(
                f,
                "{and}{} blocking jobs did not end in time; their threads run on",
                self.blocking_jobs
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Leaked {}

/// The longest single wait, so that an entry that the kernel refused for a moment is tried again.
const WAIT: Duration = Duration::from_millis(100);

impl Driver {
    /// Refuses new operations, cancels those under way and takes their completions, at most until `deadline`.
    ///
    /// Afterwards no operation is in the kernel, or `Leaked` says which are and their memory stays for ever.
    pub(crate) fn close(&self, deadline: Duration) -> Result<(), Leaked> {
        if !self.open.replace(false) {
            return Ok(());
        }
        let start = Instant::now();
        let until = start + deadline;
        // What must not be torn apart may finish for half of the time; then it is cancelled like the rest.
        let mut patience = Some(start + deadline / 2);
        // What waits for others to end has to be in the kernel to be ended.
        self.depth.borrow_mut().lift();
        self.stage_held();
        self.cancel_pending(false);
        loop {
            if self.enter(0, None).is_err() {
                break;
            }
            self.reap();
            self.act();
            if patience.take_if(|patience| *patience <= Instant::now()).is_some() {
                // Submitted whatever the time: it may be over by now, and what ends at once need not be leaked.
                self.cancel_pending(true);
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.in_kernel() == 0 || left.is_zero() {
                break;
            }
            if !self.needs_enter() && self.enter(1, Some(left.min(WAIT))).is_err() {
                break;
            }
            self.reap();
            self.act();
        }
        // A statement of its own: the wakers are dropped when the borrow has ended.
        let waiters = self.descriptor_waiters.take();
        // One by one: of two that panic as one list is dropped, the second would abort.
        waiters.into_iter().for_each(|waker| self.catching(|| drop(waker)));
        self.under_way.borrow_mut().slots.forget_wakers();
        let leaked = self.leaked();
        if leaked.is_none()
            && let Some(pool) = self.pool.get()
        {
            pool.unregister();
        }
        if let Some(table) = self.registered.get() {
            table.close();
        }
        // Slots that are still occupied are never freed, and they hold all that the kernel may write to.
        drop(self.ring.borrow_mut().take());
        leaked.map_or(Ok(()), Err)
    }

    /// Cancels what would be when dropped, or `everything` but closes.
    fn cancel_pending(&self, everything: bool) {
        let pending = self.under_way.borrow_mut().slots.pending();
        for operation in pending.iter().filter(|operation| !operation.must_happen) {
            if everything || operation.when_dropped == WhenDropped::Cancel {
                self.cancel(operation.key);
            }
        }
    }

    fn in_kernel(&self) -> usize {
        self.under_way.borrow_mut().slots.pending().len()
    }

    fn leaked(&self) -> Option<Leaked> {
        let pending = self.under_way.borrow_mut().slots.pending();
        if pending.is_empty() {
            return None;
        }
        let mut kinds = BTreeMap::new();
        for operation in &pending {
            *kinds.entry(operation.kind).or_insert(0) += 1;
        }
        let kinds = kinds.into_iter().collect();
        Some(Leaked { count: pending.len(), kinds, blocking_jobs: 0 })
    }
}
