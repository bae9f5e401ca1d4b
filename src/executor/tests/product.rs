//! Every fate of a handle at every moment of its task.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use super::probe::{Bench, Output, Probe, Seen, poll_once};
use crate::task::{JoinHandle, spawn};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Dropped,
    Awaited,
    Aborted,
    AbortedThenDropped,
    AbortedByHandle,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    BeforeFirstPoll,
    Pending,
    PendingAndWoken,
    Completed,
    DuringPollThatPends,
    DuringPollThatEnds,
    DuringPollThatPanics,
}

const FATES: [Fate; 5] =
    [Fate::Dropped, Fate::Awaited, Fate::Aborted, Fate::AbortedThenDropped, Fate::AbortedByHandle];
const WHENS: [When; 7] = [
    When::BeforeFirstPoll,
    When::Pending,
    When::PendingAndWoken,
    When::Completed,
    When::DuringPollThatPends,
    When::DuringPollThatEnds,
    When::DuringPollThatPanics,
];

type Slot = Rc<RefCell<Option<JoinHandle<Output>>>>;

fn act(slot: &Slot, fate: Fate) {
    let mut handle = slot.borrow_mut().take().expect("acts once");
    match fate {
        Fate::Dropped => return drop(handle),
        Fate::Awaited => {
            if !handle.is_finished() {
                assert!(poll_once(&mut handle).is_pending());
            }
        }
        Fate::Aborted => handle.abort(),
        Fate::AbortedByHandle => handle.abort_handle().abort(),
        Fate::AbortedThenDropped => {
            handle.abort();
            return drop(handle);
        }
    }
    slot.replace(Some(handle));
}

const DURING: [When; 3] =
    [When::DuringPollThatPends, When::DuringPollThatEnds, When::DuringPollThatPanics];

/// A probe that acts on its own handle, or not, as `when` says.
fn probe(slot: &Slot, fate: Fate, when: When) -> (Probe, Rc<Seen>) {
    let slot = Rc::clone(slot);
    let mut polls = 0;
    Probe::new(move |_| {
        polls += 1;
        if polls == 1 && DURING.contains(&when) {
            act(&slot, fate);
        }
        match when {
            When::DuringPollThatPanics => panic!("as told"),
            When::Pending | When::PendingAndWoken | When::DuringPollThatPends if polls == 1 => {
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    })
}

fn case(fate: Fate, when: When) {
    let bench = Bench::new();
    let slot = Slot::default();
    let (probe, seen) = probe(&slot, fate, when);
    slot.replace(Some(spawn(probe)));
    if when != When::BeforeFirstPoll {
        bench.run();
    }
    if when == When::PendingAndWoken {
        seen.take_waker().wake();
    }
    if !DURING.contains(&when) {
        act(&slot, fate);
        assert_eq!(seen.drops.get(), u32::from(when == When::Completed), "nothing drops inside");
    }
    bench.run();
    if let Some(waker) = seen.waker.borrow_mut().take() {
        waker.wake();
    }
    bench.run();

    let aborted = matches!(fate, Fate::Aborted | Fate::AbortedThenDropped | Fate::AbortedByHandle);
    let ended_by_itself =
        matches!(when, When::Completed | When::DuringPollThatEnds | When::DuringPollThatPanics);
    let cancelled = aborted && !ended_by_itself;
    let panicked = when == When::DuringPollThatPanics;
    let polled = match (when, cancelled) {
        (When::BeforeFirstPoll, _) => u32::from(!cancelled),
        (When::Completed | When::DuringPollThatEnds | When::DuringPollThatPanics, _) => 1,
        (_, true) => 1,
        (_, false) => 2,
    };
    assert_eq!((seen.polls.get(), seen.drops.get()), (polled, 1));
    assert_eq!(bench.executor.live_tasks(), 0);
    assert_eq!(bench.executor.caught_panics(), u64::from(panicked));
    if let Some(mut handle) = slot.borrow_mut().take() {
        assert!(handle.is_finished());
        assert_eq!(seen.output_drops.get(), 0);
        match poll_once(&mut handle) {
            Poll::Pending => panic!("it is finished"),
            Poll::Ready(Ok(_)) => assert!(!cancelled && !panicked),
            Poll::Ready(Err(error)) => {
                assert_eq!((error.is_cancelled(), error.is_panic()), (cancelled, panicked));
                assert_eq!(error.id(), handle.id());
            }
        }
    }
    assert_eq!(seen.output_drops.get(), u32::from(!cancelled && !panicked));
    seen.waker.take();
    assert_eq!(bench.counts(), (0, 0));
    bench.end_empty();
}

#[test]
fn every_fate_at_every_moment() {
    for fate in FATES {
        for when in WHENS {
            if let Err(panic) = std::panic::catch_unwind(|| case(fate, when)) {
                panic!("{fate:?} {when:?}: {:?}", panic.downcast_ref::<String>());
            }
        }
    }
}
