//! Wakers that use what they are woken by: a set polled, and a group's handle dropped, in the midst of a child's end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::stage::{Cue, End, Player, Stage};
use crate::group::JoinSet;

type Set = JoinSet<Result<usize, usize>>;

thread_local! {
    static SET: RefCell<Option<Set>> = const { RefCell::new(None) };
    static SEEN: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
}

/// Polls the set, or drops it.
struct UseSet {
    drops: bool,
}

impl Wake for UseSet {
    fn wake(self: Arc<Self>) {
        if self.drops {
            drop(SET.take());
        } else {
            let waker = Waker::from(self);
            let polled = poll_set(&waker);
            SEEN.with_borrow_mut(|seen| seen.push(polled.is_some()));
        }
    }
}

/// `Some` if there was an outcome.
fn poll_set(waker: &Waker) -> Option<Poll<()>> {
    let mut set = SET.take()?;
    let polled = set.poll_join_next(&mut Context::from_waker(waker));
    let tried = if polled.is_pending() { set.try_join_next().is_some() } else { false };
    SET.set(Some(set));
    (polled.is_ready() || tried).then_some(Poll::Ready(()))
}

fn play(drops: bool) {
    let stage = Stage::new();
    let cues: [Rc<Cue>; 2] = Default::default();
    let mut set = Set::new();
    for (number, cue) in cues.iter().enumerate() {
        set.spawn(Player::new(cue, number));
    }
    stage.run();
    let waker = Waker::from(Arc::new(UseSet { drops }));
    assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
    SET.set(Some(set));
    cues[0].give(End::Output);
    stage.run();
    if drops {
        assert!(SET.take().is_none(), "the waker dropped it");
    } else {
        // In the midst of its end it could not be taken; the end itself woke us once more.
        assert_eq!(SEEN.take().last(), Some(&true));
        let mut set = SET.take().expect("it was put back");
        assert_eq!(set.len(), 1);
        cues[1].give(End::Panic);
        stage.run();
        assert!(matches!(set.try_join_next(), Some(Err(error)) if error.is_panic()));
    }
    stage.run();
    assert!(cues.iter().all(|cue| cue.drops() == 1));
    assert_eq!(stage.counts(), (0, 0));
}

#[test]
fn a_set_that_is_polled_in_the_midst_of_an_end_loses_nothing() {
    play(false);
}

#[test]
fn a_set_that_is_dropped_in_the_midst_of_an_end_leaves_nothing() {
    play(true);
}

#[test]
fn trying_does_not_take_the_place_of_whoever_waits() {
    let stage = Stage::new();
    let cue = Rc::new(Cue::default());
    let mut set = Set::new();
    set.spawn(Player::new(&cue, 0));
    stage.run();
    let waker = Waker::from(Arc::new(UseSet { drops: false }));
    assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
    assert!(set.try_join_next().is_none());
    SET.set(Some(set));
    cue.give(End::Output);
    stage.run();
    assert_eq!(SEEN.take().last(), Some(&true));
    assert!(SET.take().is_some_and(|set| set.is_empty()));
    assert_eq!(stage.counts(), (0, 0));
}
