//! The second look at who waits, once a turn of the loop instead of once a message.
//!
//! An end that has changed the ring looks whether the other waits. That look may miss one that begins to wait at the
//! same moment, unless a fence separates it from the change; and a fence for each message costs more than the
//! message (`mesh`, `spsc_plain` against `spsc`). So a core notes the channels that it has changed, and before it
//! goes on to its next turn, or to sleep, it has one fence for all of them, and looks again. What is in the ring is
//! there at once, and who waited before is woken at once; only a wake-up of one that began to wait within the same
//! some hundred nanoseconds may come at the end of the turn.
//!
//! A thread without a runtime has no turns: there the fence is part of every change.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::loom::atomic::{Ordering, fence};

/// Something that can be looked at again, on any thread.
pub(super) trait Look: Send + Sync {
    /// Wakes whoever waits for what is there.
    fn look(&self);
}

/// A channel that was changed in a turn.
struct Note {
    channel: Arc<dyn Look>,
    turn: u64,
}

/// What was changed in this turn and in the last. Without a destructor, so that those of other thread locals may use
/// channels.
type Noted = ManuallyDrop<Vec<Note>>;

/// Among how many of the last turn's channels one is looked for, before it is counted once more: both ends have the
/// count's line, and each would take it from the other in every turn (`mesh`, `spsc`).
const KEPT: usize = 8;

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
    NOTED.with(|noted| {
        let mut noted = noted.borrow_mut();
        let is_it =
            |note: &&mut Note| ptr::addr_eq(Arc::as_ptr(&note.channel), Arc::as_ptr(channel));
        match noted.iter_mut().take(KEPT).find(is_it) {
            Some(note) => note.turn = turn,
            None => noted.push(Note { channel: Arc::<L>::clone(channel), turn }),
        }
    });
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
    let mut noted = ManuallyDrop::into_inner(NOTED.with(RefCell::take));
    loop {
        let ended = turn();
        // Those that were kept, and not noted again.
        noted.retain(|note| note.turn == ended);
        if !noted.is_empty() {
            // Before the looks: what their wakers change belongs to the next turn, and is noted anew.
            TURN.with(|turn| turn.set(next_number()));
            fence(Ordering::SeqCst);
            noted.iter().for_each(|note| note.channel.look());
        }
        let anew = ManuallyDrop::into_inner(NOTED.with(RefCell::take));
        if anew.is_empty() {
            // Kept for a turn, so that a channel which is noted in each is counted once.
            NOTED.with(|slot| **slot.borrow_mut() = noted);
            return;
        }
        noted.extend(anew);
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::{Arc, Look, Ordering, enter, note, settle};

    #[derive(Default)]
    struct Looked(AtomicUsize);

    impl Look for Looked {
        fn look(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_channel_that_is_noted_in_each_turn_is_looked_at_in_each_and_let_go_after() {
        let _turns = enter();
        let channel = Arc::new(Looked::default());
        for turn in 1..=3 {
            note(&channel);
            settle();
            assert_eq!((channel.0.load(Ordering::Relaxed), Arc::strong_count(&channel)), (turn, 2));
        }
        settle();
        assert_eq!((channel.0.load(Ordering::Relaxed), Arc::strong_count(&channel)), (3, 1));
    }
}
