//! Completions fed by hand, for what the kernel does rarely; and code of the user's at its worst.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use super::actions::{Action, Actions, Trusted};
use super::inflight::{AGAIN_MAX, InFlight};
use super::slots::{Abandoned, Key, Polled, Slots};
use super::{Driver, Limits, Op, Operation, Outcome, Standing, WhenDropped};
use crate::buf::PoolOptions;
use crate::sys::setup::{Features, RingOptions};
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
    const SUBMIT_AGAIN: bool = true;

    fn prepare(&mut self) -> Sqe {
        io_uring::opcode::Nop::new().build()
    }

    fn complete(self, outcome: Outcome) -> i32 {
        self.fate.completed.set(self.fate.completed.get() + 1);
        outcome.result.map_or(-1, u32::cast_signed)
    }

    fn left_behind() -> Option<i32> {
        Some(LEFT_BEHIND)
    }

    fn orphaned(self, _outcome: Outcome) {
        self.fate.orphaned.set(self.fate.orphaned.get() + 1);
    }
}

const LEFT_BEHIND: i32 = -7;

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

thread_local! {
    /// What the code of the user's does that the tests below have the driver call.
    static RUDE: RefCell<Box<dyn FnMut()>> = RefCell::new(Box::new(|| ()));
}

fn set_rude(rude: Box<dyn FnMut()>) {
    drop(RUDE.replace(rude));
}

fn be_rude() {
    let mut rude = RUDE.replace(Box::new(|| ()));
    rude();
    set_rude(rude);
}

/// A waker that is rude when it is cloned, and when it is dropped.
fn rude_waker() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            be_rude();
            RawWaker::new(data, &TABLE)
        },
        |_| be_rude(),
        |_| be_rude(),
        |_| be_rude(),
    );
    #[expect(unsafe_code, reason = "std's wakers do nothing when they are cloned")]
    // SAFETY: there is no data, and the functions may be called on any thread.
    unsafe {
        Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE))
    }
}

/// An operation whose buffer, if it had one, would be rude when asked for its address.
struct RudeProbe(Probe);

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Operation for RudeProbe {
    type Output = i32;
    const KIND: &'static str = "rude probe";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;

    fn prepare(&mut self) -> Sqe {
        be_rude();
        self.0.prepare()
    }

    fn complete(self, outcome: Outcome) -> i32 {
        self.0.complete(outcome)
    }
}

/// A driver with a small ring and small pools, also for the tests of the operations.
pub(crate) fn driver() -> Rc<Driver> {
    let ring = RingOptions {
        submission_entries: 8,
        completion_entries: 32,
        kernel_workers_max: [2, 2],
        features: Features::all(),
    };
    let pool = PoolOptions {
        small_size: 64,
        small_count: 16,
        large_size: 256,
        large_count: 4,
        bulk_size: 1024,
        bulk_count: 2,
        stream_share: 4,
    };
    let limits = Limits {
        undelivered_max: 1024,
        untaken_max: 4,
        linger: Duration::ZERO,
        lingering_max: 1,
        direct_depth: 2,
        registered_pools: 2,
    };
    Driver::new(&ring, pool, limits).expect("a ring")
}

fn turn(driver: &Driver) {
    driver.enter(1, Some(Duration::from_millis(100))).expect("enter");
    driver.reap();
    driver.act();
}

/// Submits an operation and drops it again, before the kernel saw it; waits for a descriptor meanwhile.
fn use_the_driver(driver: &Rc<Driver>, fate: &Rc<Fate>) {
    let probe = Probe { fate: Rc::clone(fate) };
    let mut cx = Context::from_waker(Waker::noop());
    let mut operation = Op::new(Rc::clone(driver), probe);
    let polled = Pin::new(&mut operation).poll(&mut cx);
    assert_eq!(polled.is_pending(), driver.is_open());
    driver.wait_for_descriptor(Waker::noop().clone());
    driver.descriptor_closed();
}

#[test]
fn a_buffer_may_use_the_driver_while_it_is_asked_for_its_address() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let kept: Rc<RefCell<Vec<Op<Probe>>>> = Rc::default();
    set_rude(Box::new({
        let (driver, fate, kept) = (Rc::clone(&driver), Rc::clone(&fate), Rc::clone(&kept));
        move || {
            use_the_driver(&driver, &fate);
            let probe = Probe { fate: Rc::clone(&fate) };
            let mut operation = Op::new(Rc::clone(&driver), probe);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
            kept.borrow_mut().push(operation);
        }
    }));
    let mut cx = Context::from_waker(Waker::noop());
    let mut operations = [(); 2].map(|()| {
        let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
        let mut operation = Op::new(Rc::clone(&driver), probe);
        assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
        Some(operation)
    });
    assert_eq!((driver.live_operations(), fate.dropped.get()), (4, 2));
    // Taken back before the kernel saw it: its own entry is blanked, and not what was staged meanwhile.
    operations[0] = None;
    assert_eq!((driver.live_operations(), fate.dropped.get()), (3, 3));
    turn(&driver);
    let mut last = operations[1].take().expect("kept");
    assert_eq!(Pin::new(&mut last).poll(&mut cx), Poll::Ready(0));
    for mut operation in kept.take() {
        assert_eq!(Pin::new(&mut operation).poll(&mut cx), Poll::Ready(0));
    }
    assert_eq!((driver.live_operations(), fate.dropped.get()), (0, 6));
    set_rude(Box::new(|| ()));
}

#[test]
fn a_buffer_that_panics_when_asked_for_its_address_takes_no_place() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    set_rude(Box::new(|| panic!("no address today")));
    let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut operation).poll(&mut cx)));
    set_rude(Box::new(|| ()));
    assert!(polled.is_err());
    assert_eq!((driver.live_operations(), fate.dropped.get()), (0, 1));
    assert!(!driver.needs_enter(), "nothing was staged");
    driver.close(Duration::from_secs(5)).expect("nothing is under way");
}

#[test]
fn a_buffer_may_end_the_runtime_while_it_is_asked_for_its_address() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    set_rude(Box::new({
        let driver = Rc::clone(&driver);
        move || driver.close(Duration::from_secs(5)).expect("nothing is in the kernel")
    }));
    let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    set_rude(Box::new(|| ()));
    // It came too late to be submitted, and as any other that the end left behind it waits for its drop.
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    assert_eq!((driver.live_operations(), fate.dropped.get()), (1, 0));
    drop(operation);
    assert_eq!((driver.live_operations(), fate.dropped.get(), fate.orphaned.get()), (0, 1, 0));
}

#[test]
fn an_operation_polled_after_its_end_drops_the_waker_with_nothing_borrowed() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let probe = Probe { fate: Rc::clone(&fate) };
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    turn(&driver);
    assert_eq!(Pin::new(&mut operation).poll(&mut cx), Poll::Ready(0));
    set_rude(Box::new({
        let (driver, fate) = (Rc::clone(&driver), Rc::clone(&fate));
        move || use_the_driver(&driver, &fate)
    }));
    let rude = rude_waker();
    let mut cx = Context::from_waker(&rude);
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut operation).poll(&mut cx)));
    assert!(polled.is_err());
    drop((operation, rude));
    set_rude(Box::new(|| ()));
    assert_eq!((driver.live_operations(), driver.caught_panics()), (0, 0));
}

#[test]
fn a_waker_may_use_the_driver_in_all_it_does() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let probe = Probe { fate: Rc::clone(&fate) };
    let mut operation = Op::new(Rc::clone(&driver), probe);
    assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    set_rude(Box::new({
        let (driver, fate) = (Rc::clone(&driver), Rc::clone(&fate));
        move || use_the_driver(&driver, &fate)
    }));
    let (one, other) = (rude_waker(), Waker::noop());
    for waker in [&one, other, &one] {
        assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(waker)).is_pending());
    }
    driver.wait_for_descriptor(one.clone());
    driver.wait_for_descriptor(one.clone());
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    set_rude(Box::new(|| ()));
    drop(operation);
    assert_eq!((driver.live_operations(), driver.caught_panics()), (0, 0));
}

#[test]
fn a_panic_is_caught_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom in a payload")
        }
    }
    let driver = driver();
    driver.catching(|| std::panic::panic_any(Bomb));
    assert_eq!(driver.caught_panics(), 1);
}

#[test]
#[should_panic(expected = "a key was used for another operation")]
fn a_key_gives_only_the_operation_it_was_made_for() {
    let (mut slots, fate) = (Slots::new(), Rc::new(Fate::default()));
    let key = insert(&mut slots, &fate, None, 0);
    slots.complete(cqe(key, 0, 0), &mut Actions::default());
    let _ = slots.poll::<RudeProbe>(key, Waker::noop());
}

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
