//! Completions fed by hand, for what the kernel does rarely.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::actions::{Action, Actions};
use super::slots::{Abandoned, Key, Polled, Slots};
use super::{Operation, Outcome, Standing, WhenDropped};
use crate::sys::{Cqe, Sqe};

const MORE: u32 = 1 << 1;

/// Counts what becomes of an operation.
#[derive(Default)]
struct Fate {
    completed: Cell<u32>,
    orphaned: Cell<u32>,
    dropped: Cell<u32>,
    delivered: RefCell<Vec<i32>>,
}

struct Probe {
    fate: Rc<Fate>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.fate.dropped.set(self.fate.dropped.get() + 1);
    }
}

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Operation for Probe {
    type Output = i32;
    const KIND: &'static str = "probe";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn complete(self, outcome: Outcome) -> i32 {
        self.fate.completed.set(self.fate.completed.get() + 1);
        outcome.result.map_or(-1, u32::cast_signed)
    }

    fn orphaned(self, _outcome: Outcome) {
        self.fate.orphaned.set(self.fate.orphaned.get() + 1);
    }
}

struct StandingProbe {
    probe: Probe,
}

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Standing for StandingProbe {
    const KIND: &'static str = "standing probe";

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn deliver(&mut self, cqe: Cqe, _actions: &mut Actions) {
        self.probe.fate.delivered.borrow_mut().push(cqe.result);
    }
}

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn cqe(key: Key, result: i32, flags: u32) -> Cqe {
    Cqe { user_data: key.user_data(), result, flags }
}

fn run(slots: &mut Slots, actions: &mut Actions) {
    for action in actions.list.drain(..) {
        match action {
            Action::Wake(waker) => waker.wake(),
            Action::Release(key) => {
                let leaving = slots.leave(key).expect("a leaving slot");
                leaving.release();
                slots.free(key);
            }
            Action::Cancel(_) => {}
        }
    }
}

#[test]
fn a_completion_wakes_once_and_its_result_is_taken_once() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&count));
    let probe = Probe { fate: Rc::clone(&fate) };
    let (key, _entry) = slots.insert(probe, Some(waker.clone()), 0, 0);
    assert!(matches!(slots.poll::<Probe>(key, &waker), Polled::Pending(None)));

    slots.complete(cqe(key, 7, 0), &mut actions);
    run(&mut slots, &mut actions);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Polled::Done(probe, answer) = slots.poll::<Probe>(key, &waker) else {
        panic!("the result is there");
    };
    assert_eq!(probe.complete(answer.into()), 7);
    assert_eq!((slots.live(), fate.completed.get(), fate.dropped.get()), (0, 1, 1));
    assert!(matches!(slots.poll::<Probe>(key, &waker), Polled::Lost));
}

#[test]
fn impossible_completions_are_counted_and_touch_nothing() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let (key, _) = slots.insert(Probe { fate: Rc::clone(&fate) }, None, 0, 0);
    // Twice the same one, one of an index that never was, one without a kind.
    slots.complete(cqe(key, 1, 0), &mut actions);
    slots.complete(cqe(key, 2, 0), &mut actions);
    slots.complete(Cqe { user_data: key.user_data() + 5000, result: 0, flags: 0 }, &mut actions);
    slots.complete(Cqe { user_data: 0, result: 0, flags: 0 }, &mut actions);
    assert_eq!(slots.stray(), 2);
    let Polled::Done(probe, answer) = slots.poll::<Probe>(key, Waker::noop()) else {
        panic!("the first result is there");
    };
    assert_eq!(answer.result, 1);
    drop(probe);
    // The slot is used again: the old generation finds nothing.
    let (again, _) = slots.insert(Probe { fate: Rc::clone(&fate) }, None, 0, 0);
    assert_ne!(key.user_data(), again.user_data());
    slots.complete(cqe(key, 3, 0), &mut actions);
    assert_eq!(slots.stray(), 3);
    assert!(matches!(slots.poll::<Probe>(again, Waker::noop()), Polled::Pending(_)));
    slots.complete(cqe(again, 0, 0), &mut actions);
    let Polled::Done(probe, _) = slots.poll::<Probe>(again, Waker::noop()) else {
        panic!("done");
    };
    drop(probe);
    run(&mut slots, &mut actions);
    assert_eq!((slots.live(), fate.dropped.get()), (0, 2));
}

#[test]
fn an_operation_abandoned_in_each_state_is_released_exactly_once() {
    let mut actions = Actions::default();
    for state in ["staged", "in the kernel", "done"] {
        let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
        let (key, _) = slots.insert(Probe { fate: Rc::clone(&fate) }, None, 4, 9);
        let batch = if state == "staged" { 4 } else { 5 };
        if state == "done" {
            slots.complete(cqe(key, 0, 0), &mut actions);
        }
        let (_, abandoned) = slots.abandon(key, batch);
        match (state, abandoned) {
            ("staged", Abandoned::Staged(9)) | ("done", Abandoned::Release) => {
                slots.leave(key).expect("leaving").release();
                slots.free(key);
            }
            ("in the kernel", Abandoned::Cancel) => {
                assert_eq!(fate.dropped.get(), 0, "the kernel may still use it");
                slots.complete(cqe(key, -libc::ECANCELED, 0), &mut actions);
                run(&mut slots, &mut actions);
            }
            _ => panic!("{state}: not what was expected"),
        }
        let submitted = u32::from(state != "staged");
        assert_eq!(fate.orphaned.get(), submitted, "{state}");
        assert_eq!((fate.dropped.get(), slots.live()), (1, 0), "{state}");
        assert!(matches!(slots.abandon(key, batch).1, Abandoned::Nothing), "{state}: over");
    }
}

#[test]
fn a_standing_operation_lives_until_the_completion_without_more() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let standing = StandingProbe { probe: Probe { fate: Rc::clone(&fate) } };
    let (key, _) = slots.insert_standing(standing, 0, 0);
    slots.complete(cqe(key, 10, MORE), &mut actions);
    slots.complete(cqe(key, 11, MORE), &mut actions);
    run(&mut slots, &mut actions);
    assert_eq!((fate.dropped.get(), slots.live()), (0, 1));
    // The last one carries data and no F_MORE: it is delivered, then the operation goes.
    slots.complete(cqe(key, 12, 0), &mut actions);
    run(&mut slots, &mut actions);
    assert_eq!(*fate.delivered.borrow(), [10, 11, 12]);
    assert_eq!((fate.dropped.get(), slots.live()), (1, 0));
    slots.complete(cqe(key, 13, 0), &mut actions);
    assert_eq!((slots.stray(), fate.delivered.borrow().len()), (1, 3));
}

#[test]
fn generations_wrap_without_confusing_two_lives_of_a_slot() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let mut previous = None;
    for _ in 0..1000 {
        let (key, _) = slots.insert(Probe { fate: Rc::clone(&fate) }, None, 0, 0);
        assert_ne!(previous.replace(key.user_data()), Some(key.user_data()));
        slots.complete(cqe(key, 0, 0), &mut actions);
        assert!(matches!(slots.poll::<Probe>(key, Waker::noop()), Polled::Done(..)));
    }
    assert_eq!((slots.live(), slots.stray()), (0, 0));
}
