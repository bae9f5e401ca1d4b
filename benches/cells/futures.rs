//! The futures that the cells await, the same for every runtime.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Wakes itself until it was polled `polls` times.
pub(super) async fn wake_self(polls: u64) {
    let mut left = polls;
    poll_fn(|context| {
        if left <= 1 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What two players share.
#[derive(Default)]
pub(super) struct Table {
    turn: Cell<usize>,
    wakers: RefCell<[Option<Waker>; 2]>,
}

/// One of two players: on its turn it wakes the other, `rounds` times. Its waker is stored once, since neither
/// moves to another task.
pub(super) async fn play(table: Rc<Table>, me: usize, rounds: u64) {
    let mut left = rounds;
    poll_fn(|context| {
        if table.wakers.borrow()[me].is_none() {
            table.wakers.borrow_mut()[me] = Some(context.waker().clone());
        }
        if table.turn.get() != me {
            return Poll::Pending;
        }
        table.turn.set(1 - me);
        if let Some(other) = &table.wakers.borrow()[1 - me] {
            other.wake_by_ref();
        }
        left -= 1;
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
