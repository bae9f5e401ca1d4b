//! CLOSE through the ring, after the last operation released the descriptor.

use std::io::Read;
use std::os::fd::AsRawFd;

use annulus::Runtime;
use annulus::fs::File;

use crate::support::files::nameless_file;
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    PATIENCE, pair, poll_and_drop, poll_once, read_to_end, run, turn, until,
};

fn is_open(fd: i32) -> bool {
    std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).is_ok()
}

#[test]
fn a_dropped_stream_is_closed_and_the_peer_reads_to_the_end() {
    run(async || {
        let (near, far) = pair();
        let fd = near.as_raw_fd();
        near.write_all(b"last words").await.unwrap();
        drop(near);
        assert_eq!(read_to_end(&far).await.unwrap(), b"last words");
        until(|| !is_open(fd)).await;
    });
}

#[test]
fn a_descriptor_stays_open_until_its_receive_is_over() {
    run(async || {
        let (near, far) = pair();
        let fd = near.as_raw_fd();
        assert!(poll_and_drop(near.recv()).await.is_none());
        turn().await;
        drop(near);
        assert!(is_open(fd), "the kernel still receives from it");
        until(|| !is_open(fd)).await;
        assert_eq!(read_to_end(&far).await.unwrap(), b"");
    });
}

#[test]
fn closes_happen_also_when_the_runtime_ends_at_once() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let mut far = runtime.block_on(async {
        let (near, far) = pair();
        let file = File::from_std(nameless_file());
        drop((near, file));
        far
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_outlives_the_runtime_is_closed_by_the_system_call() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let file = runtime.block_on(async { File::from_std(nameless_file()) });
    let (near, _far) = runtime.block_on(async { pair() });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    drop((file, near));
}

#[test]
fn a_close_that_is_waited_for_has_happened() {
    run(async || {
        let file = File::from_std(nameless_file());
        let fd = file.as_raw_fd();
        file.close().await.unwrap();
        assert!(!is_open(fd));
    });
}

#[test]
fn a_close_whose_future_is_dropped_happens_all_the_same() {
    run(async || {
        for (is_polled, turns) in [(false, false), (true, false), (true, true)] {
            let file = File::from_std(nameless_file());
            let fd = file.as_raw_fd();
            let mut close = Box::pin(file.close());
            if is_polled {
                assert!(poll_once(&mut close).await.is_pending());
            }
            if turns {
                turn().await;
            }
            drop(close);
            until(|| !is_open(fd)).await;
        }
    });
}

#[test]
fn a_close_after_the_runtime_s_end_says_so_and_closes() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let file = runtime.block_on(async { File::from_std(nameless_file()) });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let fd = file.as_raw_fd();
    let gone = Runtime::new().unwrap().block_on(file.close()).unwrap_err();
    assert!(gone.to_string().contains("shut down"), "{gone}");
    assert!(!is_open(fd));
}
