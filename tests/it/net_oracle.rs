//! The same script against std, tokio and this crate: connects, half-closes, resets and datagrams end the same way.
//!
//! A script acts on one socket of the kind under test and on plain ones of std, and writes down what it saw. It waits
//! for nothing but what the kernel must bring, so there is one right answer.

use std::fmt::Debug;
use std::io;

use crate::support::settled::run;

/// The test of a script over a socket of std, of tokio and of ours, in a process of its own.
macro_rules! same {
    ($script:ident: $std:ty, $tokio:ty, $ours:ty) => {{
        let play = || super::assert_same($script::<$std>, $script::<$tokio>, $script::<$ours>);
        let child = $crate::support::child::in_child!(play);
        child.iter().for_each($crate::support::child::assert_passed);
    }};
}

mod datagrams;
mod scripts;
mod streams;

/// What a script saw, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Seen {
    fn note<T: Debug>(&mut self, step: &str, result: io::Result<T>) {
        let result = result.map_err(|error| error.kind());
        self.0.push(format!("{step}: {result:?}"));
    }
}

/// Plays the scripts of the three and compares what they saw: once in a process, because tokio's runtimes share
/// descriptors, which a test's thread has none of.
#[track_caller]
fn assert_same(
    std: impl AsyncFnOnce() -> Seen,
    tokio: impl AsyncFnOnce() -> Seen,
    ours: impl AsyncFnOnce() -> Seen,
) {
    // The first: descriptors that tokio keeps for the process lie in the table that `run` leaves.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let theirs = runtime.expect("this machine has epoll").block_on(tokio());
    // Its futures never wait: the calls of std do.
    let expected = run(std);
    assert_eq!(theirs, expected, "tokio differs from std");
    assert_eq!(run(ours), expected, "annulus differs from std");
    assert!(expected.0.len() > 5, "the script saw something: {expected:?}");
}
