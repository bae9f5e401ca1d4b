//! The senders that wait for room, in the order in which they came.
//!
//! A sender that finds no room takes a *ticket*. When there is room, as many tickets are *called* as there is room
//! for, the lowest first, and newcomers wait behind while anybody is in the line: so nobody overtakes. A call
//! promises nothing: if somebody who came before the line was there takes the room, the called one goes back to its
//! place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::task::Waker;

use crate::channel::parked::wake_all;
use crate::loom::atomic::{AtomicBool, Ordering, fence};
use crate::loom::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Line {
    /// Whether anybody is in it: all that a sender looks at while nobody is.
    used: AtomicBool,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    waiting: BTreeMap<u64, Waker>,
    called: BTreeSet<u64>,
    next_ticket: u64,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { used: AtomicBool::new(false), list: Mutex::new(List::default()) }
    }

    #[inline(always)]
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Waits with this ticket, or with a new one. The caller then looks whether there is room, and calls.
    pub(super) fn join(&self, ticket: Option<u64>, waker: &Waker) -> u64 {
        let waker = waker.clone();
        let mut list = self.list();
        let ticket = ticket.unwrap_or_else(|| {
            list.next_ticket += 1;
            list.next_ticket
        });
        list.called.remove(&ticket);
        let former = list.waiting.insert(ticket, waker);
        self.used.store(true, Ordering::Relaxed);
        drop(list);
        drop(former);
        fence(Ordering::SeqCst);
        ticket
    }

    /// Whether it is this ticket's turn.
    pub(super) fn is_called(&self, ticket: u64) -> bool {
        self.list().called.contains(&ticket)
    }

    /// Gives a ticket back. The caller then calls the next, if there is room.
    pub(super) fn leave(&self, ticket: u64) {
        let mut list = self.list();
        let waker = list.waiting.remove(&ticket);
        list.called.remove(&ticket);
        self.note_use(&list);
        drop(list);
        drop(waker);
    }

    /// Wakes as many as there is room for, less those who were called before and have not come yet.
    #[cold]
    pub(super) fn call(&self, room: usize) {
        let mut list = self.list();
        let mut wakers = Vec::new();
        while list.called.len() < room {
            let Some((ticket, waker)) = list.waiting.pop_first() else { break };
            list.called.insert(ticket);
            wakers.push(waker);
        }
        self.note_use(&list);
        drop(list);
        wake_all(wakers);
    }

    fn note_use(&self, list: &List) {
        let used = !list.waiting.is_empty() || !list.called.is_empty();
        self.used.store(used, Ordering::Relaxed);
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing of the user's runs under the lock.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
