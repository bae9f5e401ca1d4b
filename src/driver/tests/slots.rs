//! Slots whose completions are fed by hand, for what the kernel does rarely.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

use super::rude::RudeProbe;
use super::{Fate, Probe, StandingProbe, cqe};
use crate::driver::Operation;
use crate::driver::actions::{Action, Actions, Trusted};
use crate::driver::slots::{Abandoned, Key, Polled, Slots};
use crate::sys::Cqe;

const MORE: u32 = 1 << 1;

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A probe in its slot, with its entry made.
fn insert(slots: &mut Slots, fate: &Rc<Fate>, waker: Option<Waker>, entry: u64) -> Key {
    let probe = Probe { fate: Rc::clone(fate) };
    let mut unprepared = slots.insert(&mut Some(probe), waker);
    let _entry = unprepared.prepare();
    let key = unprepared.key;
    unprepared.staged(slots, entry);
    key
}

fn run(slots: &mut Slots, actions: &mut Actions) {
    actions.wakers.drain(..).for_each(Waker::wake);
    for action in actions.others.drain(..) {
        match action {
            Action::Release(key) => {
                let leaving = slots.leave(key).expect("a leaving slot");
                leaving.release();
                slots.free(key);
            }
            Action::Cancel(_) | Action::Drop(_) => {}
        }
    }
}

#[test]
fn a_completion_wakes_once_and_its_result_is_taken_once() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&count));
    let key = insert(&mut slots, &fate, Some(waker.clone()), 0);
    assert!(matches!(slots.poll::<Probe>(key, &waker), Polled::Pending));

    slots.complete(cqe(key, 7, 0), &mut actions);
    run(&mut slots, &mut actions);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Polled::Done(done, answer) = slots.poll::<Probe>(key, &waker) else {
        panic!("the result is there");
    };
    assert_eq!(done.take().complete(answer.into()), 7);
    assert_eq!((slots.live(), fate.completed.get(), fate.dropped.get()), (0, 1, 1));
    assert!(matches!(slots.poll::<Probe>(key, &waker), Polled::Lost));
}

/// The table of wakers that their driver trusts; each is a count.
static TRUSTED: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &TRUSTED), count_up, count_up, |_| {});

fn count_up(data: *const ()) {
    #[expect(unsafe_code, reason = "the test's own waker")]
    // SAFETY: the data is a count that outlives the waker, and is used on this thread alone.
    let count = unsafe { &*data.cast::<Cell<u32>>() };
    count.set(count.get() + 1);
}

#[test]
fn a_trusted_waker_is_called_while_its_completion_is_reaped_and_no_other_is() {
    let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
    let mut actions = Actions { trusted: Trusted::new(&TRUSTED), ..Actions::default() };
    let (trusted, foreign) = (Cell::new(0), Arc::new(CountingWaker::default()));
    #[expect(unsafe_code, reason = "the test's own waker")]
    // SAFETY: the functions do as a waker's must; the count outlives the waker and all clones.
    let waker = unsafe { Waker::new((&raw const trusted).cast(), &TRUSTED) };
    let first = insert(&mut slots, &fate, Some(waker.clone()), 0);
    let second = insert(&mut slots, &fate, Some(Arc::clone(&foreign).into()), 1);
    slots.complete(cqe(first, 0, 0), &mut actions);
    slots.complete(cqe(second, 0, 0), &mut actions);
    assert_eq!((trusted.get(), foreign.0.load(Ordering::Relaxed)), (1, 0));
    assert!(actions.wake_keeping(&waker) && !actions.wake_keeping(Waker::noop()));
    assert_eq!((trusted.get(), actions.wakers.len()), (2, 1));
    run(&mut slots, &mut actions);
    assert_eq!((trusted.get(), foreign.0.load(Ordering::Relaxed)), (2, 1));
    for key in [first, second] {
        let Polled::Done(done, _) = slots.poll::<Probe>(key, Waker::noop()) else {
            panic!("both are done");
        };
        drop(done.take());
    }
}

/// As [`TRUSTED`], but the count is of drops.
static KEPT: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &KEPT), |_| {}, |_| {}, count_up);

#[test]
fn the_waker_of_a_result_serves_the_next_operation_of_its_task_and_ends_with_the_runtime() {
    let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
    let mut actions = Actions { trusted: Trusted::new(&KEPT), ..Actions::default() };
    let drops = Cell::new(0);
    #[expect(unsafe_code, reason = "the test's own waker")]
    // SAFETY: the functions do as a waker's must; the count outlives the waker and all clones.
    let waker = unsafe { Waker::new((&raw const drops).cast(), &KEPT) };
    let key = insert(&mut slots, &fate, Some(waker.clone()), 0);
    slots.complete(cqe(key, 0, 0), &mut actions);
    let Polled::Done(done, _) = slots.poll::<Probe>(key, &waker) else { panic!("it is done") };
    drop(done.take());
    assert!(slots.kept_waker(Waker::noop()).is_none(), "another task's is another");
    let kept = slots.kept_waker(&waker).expect("it was kept");
    assert!(slots.kept_waker(&waker).is_none());
    // A result that nobody takes keeps its task only as long as the runtime lives.
    let key = insert(&mut slots, &fate, Some(kept), 0);
    slots.complete(cqe(key, 5, 0), &mut actions);
    assert_eq!(drops.get(), 0);
    slots.forget_wakers();
    assert_eq!(drops.get(), 1);
    let Polled::Done(done, answer) = slots.poll::<Probe>(key, &waker) else { panic!("done") };
    assert_eq!((done.take().complete(answer.into()), slots.live()), (5, 0));
    assert!(slots.kept_waker(&waker).is_none());
}

#[test]
fn impossible_completions_are_counted_and_touch_nothing() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let key = insert(&mut slots, &fate, None, 0);
    // Twice the same one, one of an index that never was, one without a kind.
    slots.complete(cqe(key, 1, 0), &mut actions);
    slots.complete(cqe(key, 2, 0), &mut actions);
    slots.complete(Cqe { user_data: key.user_data() + 5000, result: 0, flags: 0 }, &mut actions);
    slots.complete(Cqe { user_data: 0, result: 0, flags: 0 }, &mut actions);
    assert_eq!(slots.stray(), 2);
    let Polled::Done(done, answer) = slots.poll::<Probe>(key, Waker::noop()) else {
        panic!("the first result is there");
    };
    assert_eq!(answer.result, 1);
    drop(done.take());
    // The slot is used again: the old generation finds nothing.
    let again = insert(&mut slots, &fate, None, 0);
    assert_ne!(key.user_data(), again.user_data());
    slots.complete(cqe(key, 3, 0), &mut actions);
    assert_eq!(slots.stray(), 3);
    assert!(matches!(slots.poll::<Probe>(again, Waker::noop()), Polled::OtherWaker));
    slots.complete(cqe(again, 0, 0), &mut actions);
    let Polled::Done(done, _) = slots.poll::<Probe>(again, Waker::noop()) else {
        panic!("done");
    };
    drop(done.take());
    run(&mut slots, &mut actions);
    assert_eq!((slots.live(), fate.dropped.get()), (0, 2));
}

#[test]
fn an_operation_abandoned_in_each_state_is_released_exactly_once() {
    let mut actions = Actions::default();
    for state in ["staged", "in the kernel", "done"] {
        let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
        let key = insert(&mut slots, &fate, None, 9);
        let unseen = if state == "staged" { 9 } else { 10 };
        if state == "done" {
            slots.complete(cqe(key, 0, 0), &mut actions);
        }
        let (_, abandoned) = slots.abandon(key, unseen);
        match (state, abandoned) {
            ("staged", Abandoned::Staged { entry: 9, bounded: false })
            | ("done", Abandoned::Release) => {
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
        assert!(matches!(slots.abandon(key, unseen).1, Abandoned::Nothing), "{state}: over");
    }
}

#[test]
fn a_standing_operation_lives_until_the_completion_without_more() {
    let (mut slots, mut actions, fate) =
        (Slots::new(), Actions::default(), Rc::new(Fate::default()));
    let standing = StandingProbe { probe: Probe { fate: Rc::clone(&fate) } };
    let (key, _) = slots.insert_standing(standing, 0);
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
        let key = insert(&mut slots, &fate, None, 0);
        assert_ne!(previous.replace(key.user_data()), Some(key.user_data()));
        slots.complete(cqe(key, 0, 0), &mut actions);
        let Polled::Done(done, _) = slots.poll::<Probe>(key, Waker::noop()) else {
            panic!("done");
        };
        drop(done.take());
    }
    assert_eq!((slots.live(), slots.stray()), (0, 0));
    assert_eq!(
        Key::last_of(7).next(),
        Key::first(7),
        "the last generation is followed by the first"
    );
}

#[test]
#[should_panic(expected = "a key was used for another operation")]
fn a_key_gives_only_the_operation_it_was_made_for() {
    let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
    let key = insert(&mut slots, &fate, None, 0);
    slots.complete(cqe(key, 0, 0), &mut Actions::default());
    let _ = slots.poll::<RudeProbe>(key, Waker::noop());
}
