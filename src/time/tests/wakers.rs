//! What wakers may do to the timers: a waker is anybody's code, whenever it is cloned, woken or dropped.
//!
//! # Safety rules
//!
//! 1. The wakers of this file have no data: every function of their table ignores the pointer.
#![allow(unsafe_code, reason = "wakers with a clone of their own")]

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::task::{RawWaker, RawWakerVTable};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Clone,
    Wake,
    Drop,
}

type Surprise = Option<(Act, Box<dyn FnOnce()>)>;

thread_local! {
    static SURPRISE: RefCell<Surprise> = const { RefCell::new(None) };
}

/// Has a sly waker's next such act do this as well.
fn at_next(act: Act, does: impl FnOnce() + 'static) {
    SURPRISE.set(Some((act, Box::new(does))));
}

fn play(act: Act) {
    let mine = SURPRISE.with_borrow_mut(|surprise| surprise.take_if(|(at, _)| *at == act));
    if let Some((_, does)) = mine {
        does();
    }
}

/// A waker that does what [`at_next`] says.
fn sly() -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            play(Act::Clone);
            RawWaker::new(ptr::null(), &TABLE)
        },
        |_| {
            play(Act::Wake);
            play(Act::Drop);
        },
        |_| play(Act::Wake),
        |_| play(Act::Drop),
    );
    // SAFETY: rule 1.
    unsafe { Waker::new(ptr::null(), &TABLE) }
}

/// A sleep that wakers get hold of, unless it is in use.
type Shared = Rc<RefCell<Option<Pin<Box<Sleep>>>>>;

/// Three sleeps of one slot; the middle one is whose waker does the trick.
#[derive(Clone)]
struct Stage {
    timers: Rc<Timers>,
    sleeps: [Shared; 3],
    /// What the trick added.
    added: Shared,
}

#[derive(Clone, Copy, Debug)]
enum Trick {
    DropAll,
    ResetToLater,
    ResetToPast,
    PollAll,
    Close,
    Expire,
    Add,
}

#[derive(Clone, Copy, Debug)]
enum Scene {
    FirstPoll,
    Renewed,
    Replaced,
    Refused,
    Fired,
    ResetToNever,
    Dropped,
    Closed,
}

fn poll_with(sleep: &Shared, waker: &Waker) -> Option<Poll<()>> {
    let mut sleep = sleep.borrow_mut();
    Some(sleep.as_mut()?.as_mut().poll(&mut Context::from_waker(waker)))
}

impl Stage {
    fn new() -> Self {
        let timers = Timers::new(ClockId::Monotonic, SLACK);
        let sleeps = std::array::from_fn(|_| {
            let _entered = timers.enter();
            Rc::new(RefCell::new(Some(Box::pin(sleep(SECOND)))))
        });
        timers.clock().pause();
        Self { timers, sleeps, added: Shared::default() }
    }

    fn go_to(&self, time: Duration) {
        self.timers.clock().advance_to(time.as_nanos() as u64);
        expire(&self.timers);
    }

    /// To every sleep that is not in use.
    fn play(&self, trick: Trick) {
        let _entered = self.timers.enter();
        match trick {
            Trick::Close => self.timers.close(),
            Trick::Expire => self.go_to(5 * SECOND),
            Trick::Add => {
                self.added.replace(Some(Box::pin(sleep(SECOND))));
                drop(catch_unwind(AssertUnwindSafe(|| poll_with(&self.added, Waker::noop()))));
            }
            Trick::DropAll | Trick::ResetToLater | Trick::ResetToPast | Trick::PollAll => {
                for shared in &self.sleeps {
                    let Ok(mut slot) = shared.try_borrow_mut() else { continue };
                    let Some(sleep) = slot.as_mut() else { continue };
                    match trick {
                        Trick::DropAll => drop(slot.take()),
                        Trick::ResetToPast => sleep.as_ref().reset_ns(Some(1)),
                        Trick::ResetToLater => sleep.as_mut().reset(Instant::now() + SECOND),
                        _ => drop(catch_unwind(AssertUnwindSafe(|| poll_once(sleep)))),
                    }
                }
            }
        }
    }

    /// Has the middle one's waker do the trick in this scene.
    fn act(&self, scene: Scene, trick: Trick) {
        let [before, middle, after] = &self.sleeps;
        let first = match scene {
            Scene::FirstPoll | Scene::Refused => None,
            Scene::Renewed => Some(Waker::noop().clone()),
            _ => Some(sly()),
        };
        assert_eq!(poll_with(before, Waker::noop()), Some(Poll::Pending));
        if let Some(first) = first {
            assert_eq!(poll_with(middle, &first), Some(Poll::Pending));
        }
        assert_eq!(poll_with(after, Waker::noop()), Some(Poll::Pending));
        if let Scene::Refused = scene {
            self.go_to(2 * SECOND);
        }
        let act = match scene {
            Scene::FirstPoll | Scene::Renewed => Act::Clone,
            Scene::Fired => Act::Wake,
            _ => Act::Drop,
        };
        let second = sly();
        let stage = self.clone();
        at_next(act, move || stage.play(trick));
        match scene {
            Scene::FirstPoll | Scene::Renewed | Scene::Refused => _ = poll_with(middle, &second),
            Scene::Replaced => _ = poll_with(middle, Waker::noop()),
            Scene::Fired => self.go_to(2 * SECOND),
            Scene::ResetToNever => {
                let slot = middle.borrow();
                let sleep = slot.as_ref().expect("there");
                sleep.as_ref().reset_ns(None);
                sleep.as_ref().reset_ns(Some(2));
            }
            Scene::Dropped => drop(middle.take()),
            Scene::Closed => self.timers.close(),
        }
        assert!(SURPRISE.with_borrow(Option::is_none), "the trick was played");
    }

    /// Whoever is left is over when all time is.
    fn end(self, context: &str) {
        self.timers.clock().advance_to(u64::MAX);
        expire(&self.timers);
        assert_eq!(self.timers.live(), 0, "{context}");
        let all = || self.sleeps.iter().chain([&self.added]);
        // One that was not armed is armed now, because the wheel has not been told of the time.
        all().for_each(|shared| _ = poll_with(shared, Waker::noop()));
        expire(&self.timers);
        for shared in all() {
            let polled = poll_with(shared, Waker::noop());
            assert!(matches!(polled, None | Some(Poll::Ready(()))), "{context}");
        }
        assert_eq!(self.timers.live(), 0, "{context}");
    }
}

#[test]
fn whatever_a_waker_does_no_timer_is_lost_or_left() {
    use Scene::{Closed, Dropped, Fired, FirstPoll, Refused, Renewed, Replaced, ResetToNever};
    use Trick::{Add, Close, DropAll, Expire, PollAll, ResetToLater, ResetToPast};
    for scene in [FirstPoll, Renewed, Replaced, Refused, Fired, ResetToNever, Dropped, Closed] {
        for trick in [DropAll, ResetToLater, ResetToPast, PollAll, Close, Expire, Add] {
            let context = format!("{scene:?}, {trick:?}");
            let stage = Stage::new();
            let played = catch_unwind(AssertUnwindSafe(|| stage.act(scene, trick)));
            // A poll after the end says so.
            assert!(played.is_ok() || matches!(trick, Close), "{context}");
            SURPRISE.take();
            stage.end(&context);
        }
    }
}

#[test]
fn a_sleep_can_be_dropped_in_every_state_and_its_neighbours_stay() {
    let states: [fn(&Stage); 6] = [
        |_| {},
        |stage| assert_eq!(poll_with(&stage.sleeps[1], Waker::noop()), Some(Poll::Pending)),
        |stage| {
            let _ = poll_with(&stage.sleeps[1], Waker::noop());
            stage.go_to(2 * SECOND);
        },
        |stage| {
            let _ = poll_with(&stage.sleeps[1], Waker::noop());
            stage.go_to(2 * SECOND);
            assert_eq!(poll_with(&stage.sleeps[1], Waker::noop()), Some(Poll::Ready(())));
        },
        |stage| {
            let _ = poll_with(&stage.sleeps[1], Waker::noop());
            stage.sleeps[1].borrow().as_ref().expect("there").as_ref().reset_ns(None);
        },
        |stage| {
            let _ = poll_with(&stage.sleeps[1], Waker::noop());
            stage.timers.close();
        },
    ];
    for (state, enter) in states.into_iter().enumerate() {
        let stage = Stage::new();
        for neighbour in [0, 2] {
            assert_eq!(poll_with(&stage.sleeps[neighbour], Waker::noop()), Some(Poll::Pending));
        }
        enter(&stage);
        drop(stage.sleeps[1].take());
        let gone = matches!(state, 2 | 3 | 5);
        assert_eq!(stage.timers.live(), if gone { 0 } else { 2 }, "state {state}");
        stage.end(&format!("state {state}"));
    }
}

#[test]
fn a_forgotten_sleep_fires_and_is_let_go_at_the_end() {
    let stage = Stage::new();
    let (count, waker) = counter();
    let mut leaked = Vec::new();
    for shared in &stage.sleeps {
        assert_eq!(poll_with(shared, &waker), Some(Poll::Pending));
        // As by `mem::forget` or `Box::leak`: it keeps its memory, and its drop never comes.
        leaked.push(ManuallyDrop::new(shared.take().expect("there")));
    }
    stage.sleeps[0].replace(leaked.pop().map(ManuallyDrop::into_inner));
    drop(stage.sleeps[0].take());
    assert_eq!(stage.timers.live(), 2);
    leaked[0].as_ref().reset_ns(Some(7_000_000_000));
    stage.go_to(2 * SECOND);
    assert_eq!((count.get(), stage.timers.live()), (1, 1));
    stage.timers.close();
    assert_eq!((stage.timers.live(), Arc::strong_count(&count)), (0, 2));
    leaked.into_iter().for_each(|sleep| drop(ManuallyDrop::into_inner(sleep)));
}

#[test]
fn a_sleep_outlives_its_timers() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let entered = timers.enter();
    let (count, waker) = counter();
    let mut armed = Box::pin(sleep(SECOND));
    assert!(armed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let idle = sleep(SECOND);
    drop(entered);
    timers.close();
    drop(timers);
    assert!(!armed.is_elapsed());
    armed.as_mut().reset(Instant::now() + SECOND);
    assert!(panic_text(|| poll_once(&mut armed)).contains("runtime of this timer is gone"));
    assert_eq!(Arc::strong_count(&count), 2);
    drop((armed, idle));
}

#[test]
fn a_waker_that_panics_leaves_the_timers_whole() {
    for (act, polls_before) in [(Act::Clone, 0), (Act::Clone, 1), (Act::Drop, 1)] {
        let stage = Stage::new();
        let [before, middle, after] = &stage.sleeps;
        assert_eq!(poll_with(before, Waker::noop()), Some(Poll::Pending));
        for _ in 0..polls_before {
            let first = if act == Act::Drop { sly() } else { Waker::noop().clone() };
            assert_eq!(poll_with(middle, &first), Some(Poll::Pending));
        }
        assert_eq!(poll_with(after, Waker::noop()), Some(Poll::Pending));
        let waker = if act == Act::Drop { Waker::noop().clone() } else { sly() };
        at_next(act, || panic!("in a waker"));
        assert_eq!(panic_text(|| poll_with(middle, &waker)), "in a waker");
        assert_eq!(stage.timers.live(), 2 + polls_before);
        stage.end(&format!("{act:?}"));
    }
}

#[test]
fn a_waker_that_panics_when_the_runtime_ends_keeps_no_other() {
    let stage = Stage::new();
    let (count, waker) = counter();
    let wakers = [waker.clone(), sly(), waker.clone()];
    for (shared, waker) in stage.sleeps.iter().zip(wakers) {
        assert_eq!(poll_with(shared, &waker), Some(Poll::Pending));
    }
    assert_eq!(Arc::strong_count(&count), 4);
    at_next(Act::Drop, || panic!("in a waker"));
    assert_eq!(panic_text(|| stage.timers.close()), "in a waker");
    assert_eq!((stage.timers.live(), Arc::strong_count(&count)), (0, 2));
    stage.end("closed");
}

#[test]
fn a_million_sleeps_leave_in_any_order() {
    let timers = Timers::new(ClockId::Monotonic, SLACK);
    let _entered = timers.enter();
    pause();
    let count = 1_000_000_usize;
    let arm = |n: usize| {
        let mut sleep = Box::pin(sleep(Duration::from_micros(1 + n as u64 * 7919 % 10_000_000)));
        assert!(poll_once(&mut sleep).is_pending());
        Some(sleep)
    };
    let mut sleeps: Vec<_> = (0..count).map(arm).collect();
    // A prime that does not divide the count goes through all of them.
    for n in 0..count {
        drop(sleeps[n * 611_953 % count].take());
        if n == count / 2 {
            timers.clock().advance_to(5_000_000_000);
            expire(&timers);
            let left = sleeps.iter().flatten();
            let waiting = left.filter(|sleep| !sleep.is_elapsed()).count();
            assert_eq!(timers.live(), waiting);
        }
    }
    assert_eq!((timers.live(), timers.alarm()), (0, None));
}
