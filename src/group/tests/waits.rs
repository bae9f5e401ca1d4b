//! The ways to wait, over every schedule of up to four children: each outcome comes once, none is lost.

use std::rc::Rc;
use std::task::Poll;

use super::schedules::{Schedule, each};
use super::stage::{Cue, End, Player, Stage, poll};
use crate::group::{
    Failure, JoinSet, Until, as_completed, gather, race, try_gather, try_wait, wait,
};
use crate::task::JoinError;

type Outcome = Result<Result<usize, usize>, JoinError>;

/// Whether the child of this number ended so.
fn is(outcome: &Outcome, child: usize, end: End) -> bool {
    match outcome {
        Ok(Ok(number)) => (*number, End::Output) == (child, end),
        Ok(Err(number)) => (*number, End::Error) == (child, end),
        Err(error) => error.is_panic() && end == End::Panic,
    }
}

fn players(cues: &[Rc<Cue>]) -> Vec<Player> {
    cues.iter().enumerate().map(|(number, cue)| Player::new(cue, number)).collect()
}

#[track_caller]
fn assert_empty(stage: &Stage, cues: &[Rc<Cue>]) {
    stage.run();
    assert!(cues.iter().all(|cue| cue.drops() == 1 && Rc::strong_count(cue) == 1));
    assert_eq!(stage.counts(), (0, 0));
}

#[test]
fn as_completed_gives_each_in_the_order_of_the_ends() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut tasks = as_completed(players(&cues));
        stage.run();
        let mut seen = Vec::new();
        let mut take = |steps| {
            while let Poll::Ready(Some(next)) = poll(&mut Box::pin(tasks.next())) {
                seen.push(next);
            }
            assert_eq!((seen.len(), tasks.len()), (steps, cues.len() - steps));
        };
        schedule.play(stage, &cues, &mut take);
        if !schedule.is_dropped() {
            take(cues.len());
            assert!(matches!(poll(&mut Box::pin(tasks.next())), Poll::Ready(None)));
            for (child, (index, outcome)) in schedule.order.iter().zip(&seen) {
                assert!(index == child && is(outcome, *child, schedule.ends[*child]));
            }
        }
        drop(tasks);
        assert_empty(stage, &cues);
    });
}

/// What a wait returned, chunk by chunk, is the order of the ends, cut where the condition was met.
fn check_waits(until: Until, expected: impl Fn(&Schedule<'_>) -> Vec<usize>) {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut set: JoinSet<_> = players(&cues).into_iter().collect();
        stage.run();
        let mut chunks: Vec<Vec<Outcome>> = Vec::new();
        let mut look = |_| {
            // One future a step, dropped at its end, which loses nothing.
            if let Poll::Ready(done) = poll(&mut Box::pin(try_wait(&mut set, None, until)))
                && !done.is_empty()
            {
                chunks.push(done.into_iter().map(|(_, outcome)| outcome).collect());
            }
        };
        schedule.play(stage, &cues, &mut look);
        if !schedule.is_dropped() {
            look(cues.len());
            assert!(set.is_empty());
            let sizes: Vec<_> = chunks.iter().map(Vec::len).collect();
            assert_eq!(sizes, expected(schedule));
            for (child, outcome) in schedule.order.iter().zip(chunks.iter().flatten()) {
                assert!(is(outcome, *child, schedule.ends[*child]));
            }
        }
        drop(set);
        assert_empty(stage, &cues);
    });
}

/// The sizes of the chunks, where one ends at a look after which `cut` says so of its children.
fn chunks(schedule: &Schedule<'_>, cut: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut begin = 0;
    let count = schedule.order.len();
    for end in 1..=count {
        let looked = schedule.runs & (1 << (end - 1)) != 0 || end == count;
        if looked && (end == count || cut(&schedule.order[begin..end])) {
            sizes.push(end - begin);
            begin = end;
        }
    }
    sizes
}

#[test]
fn wait_for_the_first_gives_what_has_ended() {
    check_waits(Until::FirstCompleted, |schedule| chunks(schedule, |_| true));
}

#[test]
fn wait_for_the_first_failure_gives_what_has_ended_by_then() {
    check_waits(Until::FirstFailed, |schedule| {
        let failed = |child: &usize| schedule.ends[*child] != End::Output;
        chunks(schedule, |children| children.iter().any(failed))
    });
}

#[test]
fn wait_for_all_gives_all() {
    check_waits(Until::All, |schedule| chunks(schedule, |_| false));
}

#[test]
fn only_try_wait_takes_an_error_for_a_failure() {
    let stage = Stage::new();
    let cues: [Rc<Cue>; 3] = Default::default();
    let mut set: JoinSet<_> = players(&cues).into_iter().collect();
    stage.run();
    cues[0].give(End::Error);
    stage.run();
    assert!(poll(&mut Box::pin(wait(&mut set, None, Until::FirstFailed))).is_pending());
    // That the outcome was seen by the first is known to the second.
    let done = poll(&mut Box::pin(try_wait(&mut set, None, Until::FirstFailed)));
    assert!(matches!(&done, Poll::Ready(done) if done.len() == 1));
    cues[2].give(End::Panic);
    stage.run();
    let done = poll(&mut Box::pin(wait(&mut set, None, Until::FirstFailed)));
    assert!(matches!(&done, Poll::Ready(done) if done.len() == 1 && set.len() == 1));
    drop((done, set));
    assert_empty(&stage, &cues);
}

#[test]
fn gather_gives_all_in_the_order_of_the_futures() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut gathered = Box::pin(gather(players(&cues)));
        let mut ended = poll(&mut gathered);
        stage.run();
        schedule.play(stage, &cues, |steps| {
            if ended.is_pending() {
                ended = poll(&mut gathered);
            }
            assert_eq!(ended.is_ready(), steps == cues.len());
        });
        if !schedule.is_dropped() {
            if ended.is_pending() {
                ended = poll(&mut gathered);
            }
            let Poll::Ready(outcomes) = ended else { panic!("all have ended") };
            assert_eq!(outcomes.len(), cues.len());
            for (child, outcome) in outcomes.iter().enumerate() {
                assert!(is(outcome, child, schedule.ends[child]));
            }
        }
        drop(gathered);
        assert_empty(stage, &cues);
    });
}

#[test]
fn try_gather_gives_all_or_the_first_failure() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut gathered = Box::pin(try_gather(players(&cues)));
        let mut ended = poll(&mut gathered);
        stage.run();
        schedule.play(stage, &cues, |_| {
            if ended.is_pending() {
                ended = poll(&mut gathered);
            }
        });
        while !schedule.is_dropped() && ended.is_pending() {
            ended = poll(&mut gathered);
            stage.run();
        }
        match (ended, schedule.first_failure()) {
            (Poll::Pending, _) => assert!(schedule.is_dropped()),
            (Poll::Ready(Ok(outputs)), None) => assert!(outputs.into_iter().eq(0..cues.len())),
            (Poll::Ready(Err(error)), Some(child)) => match error.first() {
                Failure::Error(number) => assert_eq!(*number, child),
                Failure::Panic(_) => assert_eq!(schedule.ends[child], End::Panic),
            },
            (ended, first) => panic!("{ended:?} {first:?}"),
        }
        drop(gathered);
        assert_empty(stage, &cues);
    });
}

#[test]
fn race_gives_the_first_and_ends_the_others() {
    each(4, |stage, schedule| {
        let cues = schedule.cues();
        let mut raced = Box::pin(race(players(&cues)));
        let mut ended = poll(&mut raced);
        stage.run();
        schedule.play(stage, &cues, |_| {
            if ended.is_pending() {
                ended = poll(&mut raced);
            }
        });
        while !schedule.is_dropped() && ended.is_pending() {
            ended = poll(&mut raced);
            stage.run();
        }
        if let Poll::Ready(first) = ended {
            match (first, schedule.order.first()) {
                (None, None) => {}
                (Some(outcome), Some(child)) => {
                    assert!(is(&outcome, *child, schedule.ends[*child]));
                    assert!(cues.iter().all(|cue| cue.drops() == 1), "gone when it returns");
                }
                (first, child) => panic!("{first:?} {child:?}"),
            }
        }
        drop(raced);
        assert_empty(stage, &cues);
    });
}
