//! Operations that end as nobody asked: left behind by a shutdown, or cancelled by the kernel.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Fate, LEFT_BEHIND, Probe, cqe, driver, turn};
use crate::driver::Driver;
use crate::driver::inflight::{AGAIN_MAX, InFlight};
use crate::driver::slots::Key;

#[test]
fn a_future_whose_operation_was_left_behind_fails_and_the_slot_keeps_what_the_kernel_has() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let cx = Context::from_waker(Waker::noop());
    let probe = Probe { fate: Rc::clone(&fate) };
    let mut in_flight = InFlight::new();
    assert!(in_flight.submit(&driver, &mut Some(probe), &cx).is_pending());
    assert!(driver.enter(0, None).is_ok() && in_flight.poll_result(&driver, &cx).is_pending());
    // As a shutdown leaves it whose deadline has passed.
    driver.open.set(false);
    drop(driver.ring.take());
    assert_eq!(in_flight.poll_result(&driver, &cx), Poll::Ready(LEFT_BEHIND));
    let key = in_flight.key.expect("it was not taken");
    in_flight.abandon(&driver);
    assert_eq!((fate.dropped.get(), driver.live_operations()), (0, 1));
    cancel_unasked(&driver, key);
    driver.act();
    assert_eq!((fate.orphaned.get(), fate.dropped.get(), driver.live_operations()), (1, 1, 0));
}

/// Answers what is under way as the kernel does that could start no thread for it.
fn cancel_unasked(driver: &Driver, key: Key) {
    let (mut under_way, mut actions) = (driver.under_way.borrow_mut(), driver.actions.borrow_mut());
    under_way.slots.complete(cqe(key, -libc::ECANCELED, 0), &mut actions);
}

#[test]
fn what_the_kernel_cancels_unasked_is_submitted_again_for_a_while() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let probe = || Probe { fate: Rc::clone(&fate) };
    let cx = Context::from_waker(Waker::noop());
    let cancelled = |in_flight: &mut InFlight<Probe>| {
        cancel_unasked(&driver, in_flight.key.expect("under way"));
        in_flight.poll_result(&driver, &cx)
    };
    let submitted = || {
        let mut in_flight = InFlight::new();
        assert!(in_flight.submit(&driver, &mut Some(probe()), &cx).is_pending());
        in_flight
    };

    // A few times: the answer comes.
    let mut operation = submitted();
    for _ in 0..3 {
        assert_eq!(cancelled(&mut operation), Poll::Pending);
        assert_eq!((fate.completed.get(), fate.dropped.get()), (0, 0));
    }
    let answer = loop {
        turn(&driver);
        if let Poll::Ready(answer) = operation.poll_result(&driver, &cx) {
            break answer;
        }
    };
    assert_eq!((answer, fate.completed.get(), fate.dropped.get()), (0, 1, 1));

    // Always: that is the answer.
    let mut operation = submitted();
    for _ in 0..AGAIN_MAX {
        assert_eq!(cancelled(&mut operation), Poll::Pending);
    }
    assert_eq!(cancelled(&mut operation), Poll::Ready(-1));
    assert_eq!((fate.completed.get(), fate.dropped.get()), (2, 2));

    // At the runtime's end: so too.
    let mut operation = submitted();
    cancel_unasked(&driver, operation.key.expect("under way"));
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    assert_eq!(operation.poll_result(&driver, &cx), Poll::Ready(-1));
    operation.abandon(&driver);
    assert_eq!((fate.completed.get(), fate.orphaned.get(), fate.dropped.get()), (3, 0, 3));
}
