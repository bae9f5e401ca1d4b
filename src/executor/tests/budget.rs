//! Cooperation: 128 steps a poll, and how to lift that.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::probe::Bench;
use crate::executor::{budget, consume_budget, unconstrained};
use crate::task::spawn;

fn steps_until_pending() -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    (0..10_000).take_while(|_| budget::proceed(&mut cx).is_ready()).count() as u64
}

#[test]
fn there_is_no_limit_outside_a_task() {
    assert_eq!(steps_until_pending(), 10_000);
    budget::reset();
    assert_eq!(steps_until_pending(), budget::PER_POLL);
    budget::lift();
    assert_eq!(steps_until_pending(), 10_000);
}

#[test]
fn a_task_that_is_always_ready_yields() {
    let bench = Bench::with_budget(1);
    let steps = Rc::new(Cell::new(0));
    let inside = Rc::clone(&steps);
    drop(spawn(async move {
        for _ in 0..300 {
            consume_budget().await;
            inside.set(inside.get() + 1);
        }
    }));
    for expected in [128, 256, 300] {
        assert_eq!(bench.executor.run_batch(0), 1);
        assert_eq!(steps.get(), expected);
    }
    assert_eq!(bench.executor.run_batch(0), 0);
    assert_eq!(steps_until_pending(), 10_000, "lifted after the batch");
    bench.end_empty();
}

#[test]
fn unconstrained_lifts_it_and_puts_it_back() {
    let bench = Bench::new();
    let mut handle = spawn(async {
        unconstrained(async {
            for _ in 0..1000 {
                consume_budget().await;
            }
        })
        .await;
        steps_until_pending()
    });
    assert_eq!(bench.executor.run_batch(0), 1);
    let Poll::Ready(Ok(left)) = super::probe::poll_once(&mut handle) else { panic!("finished") };
    assert_eq!(left, budget::PER_POLL);
    drop(handle);
    bench.end_empty();
}
