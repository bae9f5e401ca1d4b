//! `select!`, `join!` and `try_join!`: each branch by each end, in every order of the ends.

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::stage::{Cue, End, Player, ends, orders, poll};

/// `join!` of three has all outputs when the last ends, and `try_join!` the first error.
#[test]
fn joins_end_with_the_last_or_the_first_error() {
    let ends = ends(3).into_iter().filter(|ends| !ends.contains(&End::Panic));
    for (order, ends) in ends.flat_map(|ends| orders(3).into_iter().map(move |o| (o, ends.clone())))
    {
        let cues: [Rc<Cue>; 3] = Default::default();
        let player = |number| Player::new(&cues[number], number);
        let mut all = Box::pin(async { crate::join!(player(0), player(1), player(2)) });
        let tried: [Rc<Cue>; 3] = Default::default();
        let player = |number| Player::new(&tried[number], number);
        let mut first = Box::pin(async { crate::try_join!(player(0), player(1), player(2)) });
        let mut tried_end = poll(&mut first);
        assert!(poll(&mut all).is_pending() && tried_end.is_pending());
        for (step, child) in order.iter().enumerate() {
            cues[*child].give(ends[*child]);
            tried[*child].give(ends[*child]);
            if tried_end.is_pending() {
                tried_end = poll(&mut first);
            }
            let failed = order[..=step].iter().find(|child| ends[**child] == End::Error);
            match (tried_end, failed) {
                (Poll::Ready(Err(number)), Some(child)) => assert_eq!(number, *child),
                (Poll::Ready(Ok(numbers)), None) => assert_eq!((numbers, step), ((0, 1, 2), 2)),
                (Poll::Pending, None) => assert!(step < 2),
                (ended, failed) => panic!("{ended:?} {failed:?}"),
            }
            match poll(&mut all) {
                Poll::Pending => assert!(step < 2),
                Poll::Ready((a, b, c)) => {
                    let of = |child: usize| match ends[child] {
                        End::Error => Err(child),
                        _ => Ok(child),
                    };
                    assert_eq!(([a, b, c], step), ([of(0), of(1), of(2)], 2));
                }
            }
        }
        drop((all, first));
        assert!(cues.iter().chain(&tried).all(|cue| cue.drops() == 1));
    }
}

#[test]
fn a_join_starts_each_poll_with_another_future() {
    let order = Rc::new(Cell::new(0));
    let digit = |digit: u32| {
        let order = Rc::clone(&order);
        std::future::poll_fn(move |_| -> Poll<()> {
            order.set(order.get() * 10 + digit);
            Poll::Pending
        })
    };
    let mut joined = Box::pin(async { crate::join!(digit(1), digit(2), digit(3)) });
    let polls = [(); 4].map(|()| {
        assert!(poll(&mut joined).is_pending());
        order.replace(0)
    });
    assert_eq!(polls, [123, 231, 312, 123]);
}

#[test]
fn select_takes_the_branch_that_is_ready_and_drops_the_others() {
    for winner in 0..3 {
        let cues: [Rc<Cue>; 3] = Default::default();
        let player = |number| Player::new(&cues[number], number);
        let mut selected = Box::pin(async {
            let mut first = player(0);
            let output = crate::select! {
                biased;
                output = &mut first => output,
                output = player(1) => output.map(|number| number + 10),
                output = player(2) => { output }
            };
            let gone = cues.iter().map(|cue| cue.drops()).collect::<Vec<_>>();
            assert_eq!(gone, [0, 1, 1], "before the code runs");
            output
        });
        assert!(poll(&mut selected).is_pending());
        cues[winner].give(End::Output);
        let expected = if winner == 1 { 11 } else { winner };
        assert_eq!(poll(&mut selected), Poll::Ready(Ok(expected)));
    }
}

#[test]
fn select_asks_conditions_first_and_else_when_all_are_off() {
    let select = async |on: bool, number: Option<u32>| {
        let mut calls = 0;
        let mut count = || {
            calls += 1;
            ready(number)
        };
        let text = crate::select! {
            biased;
            never = ready(1), if !on && number == Some(9) => format!("off {never}"),
            Some(mut_free @ 1..=5) = count(), if on => format!("some {mut_free}"),
            else => "else".to_owned(),
        };
        (calls, text)
    };
    let cases = [
        (true, Some(3), "some 3"),
        (true, Some(7), "else"),
        (true, None, "else"),
        (false, Some(3), "else"),
        (false, Some(9), "off 1"),
    ];
    for (on, number, expected) in cases {
        let output = poll(&mut Box::pin(select(on, number)));
        assert_eq!(output, Poll::Ready((1, expected.to_owned())), "{on} {number:?}");
    }
}

#[test]
#[should_panic(expected = "all branches of select! are off")]
fn select_without_else_panics_when_all_are_off() {
    let _ = poll(&mut Box::pin(async {
        crate::select! { Some(()) = ready(None) => {} }
    }));
}

#[test]
fn select_binds_by_value_and_its_code_runs_in_the_function() {
    async fn code() -> Result<String, std::num::ParseIntError> {
        let mut text = String::from("4");
        let mut turns = 0;
        loop {
            crate::select! {
                mut owned = async { std::mem::take(&mut text) } => {
                    owned.push('2');
                    text = owned;
                    if turns == 2 {
                        break;
                    }
                }
                _ = pending::<()>() => {}
            }
            turns += 1;
        }
        let number = crate::select! { number = ready(text.parse::<u32>()) => number? };
        text.clear();
        Ok(ready(number.to_string()).await)
    }
    assert_eq!(poll(&mut Box::pin(code())), Poll::Ready(Ok("4222".to_owned())));
}

#[test]
fn select_is_fair_unless_told_otherwise() {
    let count = |biased: bool| {
        let mut wins = [0; 3];
        for _ in 0..3000 {
            let mut selected = Box::pin(async move {
                match biased {
                    true => {
                        crate::select! { biased; () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 }
                    }
                    false => {
                        crate::select! { () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 }
                    }
                }
            });
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(winner) = Pin::as_mut(&mut selected).poll(&mut cx) else {
                panic!("all are ready")
            };
            wins[winner] += 1;
        }
        wins
    };
    assert_eq!(count(true), [3000, 0, 0]);
    assert!(count(false).iter().all(|wins| (900..1100).contains(wins)), "{:?}", count(false));
}
