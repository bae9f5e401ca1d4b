//! The second look at who waits, once a turn of the loop instead of once a message.
//!
//! An end that has changed the ring looks whether the other waits. That look may miss one that begins to wait at the
//! same moment, unless a fence separates it from the change; and a fence for each message costs more than the
//! message (`mesh`, `spsc`). So a core notes the channels that it has changed, and before it goes on to its next
//! turn, or to sleep, it has one fence for all of them, and looks again. What is in the ring is there at once, and
//! who waited before is woken at once; only a wake-up of one that began to wait within the same some hundred
//! nanoseconds may come at the end of the turn.
//!
//! A thread without a runtime has no turns: there the fence is part of every change.

use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::loom::atomic::{Ordering, fence};

/// Something that can be looked at again, on any thread.
pub(super) trait Look: Send + Sync {
    /// Wakes whoever waits for what is there.
    fn look(&self);
}

/// What was changed in this turn. Without a destructor, so that those of other thread locals may use channels.
type Noted = ManuallyDrop<Vec<Arc<dyn Look>>>;

crate::loom::thread_local! {
    static NOTED: RefCell<Noted> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}
crate::loom::thread_local! {
    /// The number of this turn, unique in the process; 0 outside a runtime.
    static TURN: Cell<u64> = const { Cell::new(0) };
}
crate::loom::thread_local! {
    /// The last number that this thread used.
    static LAST: Cell<u64> = const { Cell::new(0) };
}
crate::loom::thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The upper halves of turn numbers, each given to one thread.
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
const BLOCK_BITS: u32 = 32;

/// The number of no turn at all.
pub(super) const NEVER: u64 = u64::MAX;

/// The number of this turn; 0 where there are none.
#[inline(always)]
pub(super) fn turn() -> u64 {
    TURN.with(Cell::get)
}

/// Has a channel looked at again at the end of this turn, whose number is returned; at once where there are none.
#[cold]
pub(super) fn note<L: Look + 'static>(channel: &Arc<L>) -> u64 {
    let turn = turn();
    if turn == 0 {
        fence(Ordering::SeqCst);
        channel.look();
        return NEVER;
    }
    let channel: Arc<dyn Look> = Arc::<L>::clone(channel);
    NOTED.with(|noted| noted.borrow_mut().push(channel));
    turn
}

/// Looks at what was changed in this turn, which ends here.
#[inline]
pub(crate) fn settle() {
    if NOTED.with(|noted| !noted.borrow().is_empty()) {
        look_at_all();
    }
}

#[cold]
fn look_at_all() {
    loop {
        let mut noted = NOTED.with(RefCell::take);
        if noted.is_empty() {
            drop(ManuallyDrop::into_inner(noted));
            return;
        }
        // Before the looks: what their wakers change belongs to the next turn, and is noted anew.
        TURN.with(|turn| turn.set(next_number()));
        fence(Ordering::SeqCst);
        noted.drain(..).for_each(|channel| channel.look());
        // The memory is used again, unless the looks needed some.
        NOTED.with(|slot| {
            let mut slot = slot.borrow_mut();
            if slot.is_empty() {
                mem::swap(&mut *slot, &mut noted);
            }
        });
        let settled = NOTED.with(|noted| noted.borrow().is_empty());
        drop(ManuallyDrop::into_inner(noted));
        if settled {
            return;
        }
    }
}

/// A number that no other turn of any thread had.
fn next_number() -> u64 {
    let mut number = LAST.with(Cell::get) + 1;
    if number.trailing_zeros() >= BLOCK_BITS || number == 1 {
        number = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) << BLOCK_BITS | 1;
    }
    LAST.with(|last| last.set(number));
    number
}

/// The thread has turns while this exists, and somebody calls [`settle`] in each.
#[must_use = "dropping the guard leaves the turns"]
#[derive(Debug)]
pub(crate) struct EnterGuard(());

pub(crate) fn enter() -> EnterGuard {
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    if depth == 0 {
        TURN.with(|turn| turn.set(next_number()));
    }
    EnterGuard(())
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        settle();
        let depth = DEPTH.with(|depth| depth.replace(depth.get() - 1));
        if depth == 1 {
            TURN.with(|turn| turn.set(0));
            let noted = NOTED.with(RefCell::take);
            drop(ManuallyDrop::into_inner(noted));
        }
    }
}
