//! POLL_ADD of the bell of a signal: how a handler reaches the core that listens.

use std::task::Poll;
use std::time::Duration;

use annulus::runtime::metrics;
use annulus::signal::{SignalKind, signal};
use annulus::time::sleep;
use annulus::{Builder, Runtime};

use crate::signals::raise;
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::settled::{poll_and_drop, poll_flagged, turn, until, until_operations};

#[test]
fn a_delivery_before_during_and_after_the_wait_is_seen() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let kind = SignalKind::user_defined1();
        let mut listener = signal(kind).unwrap();
        raise(kind);
        assert_eq!(poll_and_drop(listener.recv()).await, Some(Some(())), "before");
        assert_eq!(poll_and_drop(listener.recv()).await, None, "once");
        // Staged, and not yet in the kernel.
        let mut future = Box::pin(listener.recv());
        let (poll, flag) = poll_flagged(&mut future);
        assert_eq!(poll, Poll::Pending);
        raise(kind);
        until(|| flag.is_set()).await;
        assert_eq!(future.await, Some(()));
        // In the kernel.
        for _ in 0..100 {
            let mut future = Box::pin(listener.recv());
            let (poll, flag) = poll_flagged(&mut future);
            assert_eq!(poll, Poll::Pending);
            turn().await;
            raise(kind);
            until(|| flag.is_set()).await;
            assert_eq!(future.await, Some(()));
        }
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn a_listener_keeps_one_poll_and_takes_it_with_it() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let before = metrics().live_operations;
        let mut listener = signal(SignalKind::user_defined1()).unwrap();
        for _ in 0..10 {
            assert_eq!(poll_and_drop(listener.recv()).await, None);
            turn().await;
        }
        assert_eq!(metrics().live_operations, before + 1);
        drop(listener);
        until_operations(0).await;
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn a_listener_that_waits_makes_no_system_call() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let kind = SignalKind::user_defined1();
        let mut first = signal(kind).unwrap();
        raise(kind);
        assert_eq!(first.recv().await, Some(()));
        // The bell has been rung before this one is armed, which is no news to it.
        let mut second = signal(kind).unwrap();
        let mut future = Box::pin(second.recv());
        let (poll, flag) = poll_flagged(&mut future);
        assert_eq!(poll, Poll::Pending);
        turn().await;
        let enters = metrics().enters;
        sleep(Duration::from_millis(100)).await;
        assert!(metrics().enters - enters <= 4);
        assert!(!flag.is_set());
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn a_listener_of_a_runtime_that_ended_says_so() {
    let child = in_child!(|| {
        let runtime = Runtime::new().unwrap();
        let kind = SignalKind::user_defined1();
        let mut listener = runtime.block_on(async { signal(kind).unwrap() });
        let mut waiting = runtime.block_on(async { signal(kind).unwrap() });
        let mut future = Box::pin(waiting.recv());
        let (_, flag) = poll_flagged(&mut future);
        drop(runtime);
        assert!(flag.is_set());
        assert_eq!(poll_flagged(&mut future).0, Poll::Ready(None));
        raise(kind);
        assert_eq!(poll_flagged(&mut Box::pin(listener.recv())).0, Poll::Ready(Some(())));
        assert_eq!(poll_flagged(&mut Box::pin(listener.recv())).0, Poll::Ready(None));
    });
    child.iter().for_each(assert_passed);
}
