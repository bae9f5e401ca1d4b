//! POLL_ADD, once for each wait: readiness of a descriptor that somebody else reads and writes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::task::Poll;

use annulus::io::{AsyncFd, Interest};
use annulus::runtime::metrics;

use crate::support::settled::{
    poll_and_drop, poll_flagged, poll_once, run, turn, until, until_operations,
};

fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    far.set_nonblocking(true).expect("a socket");
    (AsyncFd::new(near).expect("a runtime"), far)
}

#[test]
fn one_poll_stands_however_many_wait_and_goes_with_the_watch() {
    run(async || {
        let (near, far) = pair();
        let before = metrics().live_operations;
        // Beside the one poll: the loop's own bell and alarm, which it arms when it first sleeps.
        let most = before + 3;
        let mut waits: Vec<_> = (0..10).map(|_| Box::pin(near.readable())).collect();
        for wait in &mut waits {
            assert!(poll_once(wait).await.is_pending());
        }
        turn().await;
        assert!(metrics().live_operations <= most);
        (&far).write_all(b"x").unwrap();
        for wait in waits {
            assert!(wait.await.unwrap().ready().is_readable());
        }
        near.readable().await.unwrap().clear_ready();
        let mut byte = [0];
        near.get_ref().read_exact(&mut byte).unwrap();
        assert!(poll_and_drop(near.readable()).await.is_none());
        turn().await;
        assert!(metrics().live_operations <= most);
        drop(near);
        until_operations(0).await;
    });
}

#[test]
fn what_is_ready_costs_no_operation_until_it_is_cleared() {
    run(async || {
        let (near, _far) = pair();
        near.writable().await.unwrap().retain_ready();
        let enters = metrics().enters;
        for _ in 0..50 {
            assert!(poll_and_drop(near.writable()).await.is_some());
        }
        assert_eq!(metrics().enters, enters);
        near.writable().await.unwrap().clear_ready();
        let mut again = Box::pin(near.writable());
        assert!(poll_once(&mut again).await.is_pending(), "the kernel is asked");
        again.await.unwrap().retain_ready();
    });
}

#[test]
fn a_watch_that_is_dropped_in_any_state_leaves_nothing() {
    run(async || {
        for turns in 0..3 {
            for is_ready in [false, true] {
                let (near, far) = pair();
                let mut wait = Box::pin(near.readable());
                let (poll, flag) = poll_flagged(&mut wait);
                assert!(poll.is_pending());
                for _ in 0..turns {
                    turn().await;
                }
                if is_ready {
                    (&far).write_all(b"x").unwrap();
                    if turns == 2 {
                        until(|| flag.is_set()).await;
                    }
                }
                drop(wait);
                let mut inner = near.into_inner();
                let mut bytes = [0; 2];
                match is_ready {
                    true => assert_eq!(inner.read(&mut bytes).unwrap(), 1),
                    false => _ = inner.read(&mut bytes).unwrap_err(),
                }
            }
        }
        until_operations(0).await;
    });
}

#[test]
fn a_descriptor_that_is_exchanged_is_asked_anew() {
    run(async || {
        let (mut near, far) = pair();
        (&far).write_all(b"x").unwrap();
        near.readable().await.unwrap().retain_ready();
        assert!(poll_and_drop(near.ready(Interest::READABLE | Interest::WRITABLE)).await.is_some());
        let (other, other_far) = UnixStream::pair().unwrap();
        let mut wait = Box::pin(near.writable());
        assert!(matches!(poll_once(&mut wait).await, Poll::Pending | Poll::Ready(Ok(_))));
        drop(wait);
        let before = std::mem::replace(near.get_mut(), other);
        let mut wait = Box::pin(near.readable());
        let (poll, flag) = poll_flagged(&mut wait);
        assert!(poll.is_pending(), "that was the other one");
        turn().await;
        (&far).write_all(b"y").unwrap();
        turn().await;
        turn().await;
        assert!(!flag.is_set());
        (&other_far).write_all(b"z").unwrap();
        until(|| flag.is_set()).await;
        wait.await.unwrap().retain_ready();
        drop(before);
    });
}
