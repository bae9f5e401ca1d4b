//! WAITID of a child, and POLL_ADD of its descriptor: one operation for each child, which leaves it to be reaped.

use std::process::Stdio;

use annulus::Builder;
use annulus::process::Command;
use annulus::runtime::{Feature, metrics};

use crate::processes::{is_there, long, missing};
use crate::support::settled::{
    poll_and_drop, poll_flagged, run_with, turn, until, until_operations,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::WaitId)]
}

#[test]
fn the_end_of_a_child_wakes_who_waits() {
    if let Some(program) = missing(&["sh", "sleep"]) {
        skip!("there is no {program} here");
    }
    for builder in both_forms() {
        run_with(builder, async || {
            for code in [0, 7, 255] {
                let script = format!("read line; exit {code}");
                let mut child = Command::shell(script).stdin(Stdio::piped()).spawn().unwrap();
                let input = child.stdin.take().unwrap();
                let mut wait = Box::pin(child.wait());
                let (poll, flag) = poll_flagged(&mut wait);
                assert!(poll.is_pending());
                turn().await;
                turn().await;
                assert!(!flag.is_set());
                input.write_all(b"\n").await.unwrap();
                until(|| flag.is_set()).await;
                assert_eq!(wait.await.unwrap().code(), Some(code));
            }
        });
    }
}

#[test]
fn however_often_it_is_asked_one_operation_waits() {
    if let Some(program) = missing(&["sleep"]) {
        skip!("there is no {program} here");
    }
    for builder in both_forms() {
        run_with(builder, async || {
            let mut child = long().spawn().unwrap();
            let id = child.id().unwrap();
            for _ in 0..10 {
                assert!(poll_and_drop(child.wait()).await.is_none());
                turn().await;
            }
            until_operations(1).await;
            assert!(metrics().live_operations > 0);
            child.kill().await.unwrap();
            until_operations(0).await;
            assert!(!is_there(id));
            assert_eq!(child.id(), None);
        });
    }
}

#[test]
fn a_child_that_ended_before_it_was_asked_is_seen() {
    if let Some(program) = missing(&["true"]) {
        skip!("there is no {program} here");
    }
    for builder in both_forms() {
        run_with(builder, async || {
            for _ in 0..5 {
                let mut child = Command::new("true").spawn().unwrap();
                let id = child.id().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
                assert!(is_there(id), "its status waits to be taken");
                assert!(child.wait().await.unwrap().success());
                assert!(!is_there(id));
                assert!(child.wait().await.unwrap().success(), "and stays");
                assert!(child.try_wait().unwrap().unwrap().success());
            }
        });
    }
}
