//! Groups and sets of up to four children, told to end in every order and every way, with the executor run at every
//! subset of the steps, and the group or set dropped after each.

use std::rc::Rc;
use std::task::Poll;

use super::stage::{Cue, End, Player, Stage, ends, orders, poll};
use crate::group::{Failure, JoinSet, task_group};

/// One schedule.
pub(super) struct Schedule<'a> {
    /// Which child is told to end, step by step.
    pub(super) order: &'a [usize],
    pub(super) ends: &'a [End],
    /// Whether the executor runs after a step: a bit for each.
    pub(super) runs: usize,
    /// After how many steps the group or set is dropped; more than there are is never.
    dropped_after: usize,
}

impl Schedule<'_> {
    pub(super) fn cues(&self) -> Vec<Rc<Cue>> {
        self.order.iter().map(|_| Rc::default()).collect()
    }

    /// Gives the cues, calling `look` after each step at which the executor ran.
    pub(super) fn play(&self, stage: &Stage, cues: &[Rc<Cue>], mut look: impl FnMut(usize)) {
        for (step, child) in self.order.iter().enumerate() {
            if step == self.dropped_after {
                return;
            }
            cues[*child].give(self.ends[*child]);
            if self.runs & (1 << step) != 0 {
                stage.run();
                look(step + 1);
            }
        }
        stage.run();
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped_after < self.order.len()
    }

    /// Whether it differs from another one only in what comes after the drop.
    fn is_repeated(&self) -> bool {
        let rest = &self.order[self.dropped_after.min(self.order.len())..];
        self.runs >> self.dropped_after != 0
            || !rest.is_sorted()
            || rest.iter().any(|child| self.ends[*child] != End::Output)
    }

    /// The first child, in the order of the cues, that fails.
    pub(super) fn first_failure(&self) -> Option<usize> {
        self.order.iter().copied().find(|child| self.ends[*child] != End::Output)
    }
}

/// Calls `check` with every schedule of up to `children`, on one stage that it leaves empty each time.
pub(super) fn each(children: usize, check: impl Fn(&Stage, &Schedule<'_>)) {
    let stage = Stage::new();
    for count in 0..=children {
        let (orders, ends) = (orders(count), ends(count));
        for (order, ends) in orders.iter().flat_map(|order| ends.iter().map(move |e| (order, e))) {
            for runs in 0..1 << count {
                for dropped_after in 0..=count {
                    let schedule = Schedule { order, ends, runs, dropped_after };
                    if !schedule.is_repeated() {
                        check(&stage, &schedule);
                    }
                }
            }
        }
    }
}

fn number_of(failure: &Failure<usize>) -> (usize, End) {
    match failure {
        Failure::Error(number) => (*number, End::Error),
        Failure::Panic(error) => {
            assert!(error.is_panic());
            (usize::MAX, End::Panic)
        }
    }
}

#[test]
fn groups_lose_nothing() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut group = Box::pin(task_group(async |group| {
            let children = cues.iter().enumerate();
            let handles: Vec<_> =
                children.map(|(number, cue)| group.spawn(Player::new(cue, number))).collect();
            let mut outputs = Vec::new();
            for handle in handles {
                match handle.await {
                    Ok(output) => outputs.push(output),
                    Err(error) => unreachable!("then the body is cancelled: {error}"),
                }
            }
            Ok(outputs)
        }));
        let mut ended = poll(&mut group);
        stage.run();
        schedule.play(stage, &cues, |_| {
            if ended.is_pending() {
                ended = poll(&mut group);
            }
        });
        if schedule.is_dropped() {
            drop(group);
            stage.run();
        } else {
            // Once for the body, and once more for those that had to be cancelled.
            for _ in 0..2 {
                if ended.is_pending() {
                    ended = poll(&mut group);
                    stage.run();
                }
            }
            let Poll::Ready(outcome) = ended else { panic!("all is said and done") };
            match (schedule.first_failure(), outcome) {
                (None, Ok(outputs)) => assert!(outputs.into_iter().eq(0..cues.len())),
                (Some(child), Err(error)) => {
                    let [failure] = error.failures() else { panic!("one failure: {error}") };
                    let expected = match schedule.ends[child] {
                        End::Panic => (usize::MAX, End::Panic),
                        end => (child, end),
                    };
                    assert_eq!(number_of(failure), expected);
                }
                (failed, outcome) => panic!("{failed:?} {outcome:?}"),
            }
            drop(group);
        }
        assert!(cues.iter().all(|cue| cue.drops() == 1 && Rc::strong_count(cue) == 1));
        assert_eq!(stage.counts(), (0, 0));
    });
}

#[test]
fn sets_lose_nothing() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut set = JoinSet::new();
        for (number, cue) in cues.iter().enumerate() {
            set.spawn(Player::new(cue, number));
        }
        stage.run();
        let mut joined = Vec::new();
        schedule.play(stage, &cues, |steps| {
            while let Some(outcome) = set.try_join_next() {
                joined.push(outcome);
            }
            assert_eq!((joined.len(), set.len()), (steps, cues.len() - steps));
        });
        if !schedule.is_dropped() {
            let mut rest = Box::pin(async {
                while set.join_next().await.map(|o| joined.push(o)).is_some() {}
            });
            assert!(poll(&mut rest).is_ready());
            drop(rest);
            assert_eq!(joined.len(), cues.len());
            for (child, outcome) in schedule.order.iter().zip(joined) {
                match (schedule.ends[*child], outcome) {
                    (End::Output, Ok(Ok(number))) | (End::Error, Ok(Err(number))) => {
                        assert_eq!(number, *child);
                    }
                    (End::Panic, Err(error)) => {
                        let number = error.into_panic().downcast::<usize>().expect("its number");
                        assert_eq!(*number, *child);
                    }
                    (end, outcome) => panic!("{end:?} {outcome:?}"),
                }
            }
        }
        drop(set);
        stage.run();
        assert!(cues.iter().all(|cue| cue.drops() == 1 && Rc::strong_count(cue) == 1));
        assert_eq!(stage.counts(), (0, 0));
    });
}
