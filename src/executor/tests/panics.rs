//! Code of the user's that panics: in a poll, in every kind of drop, in a waker.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::probe::{Bench, OnDrop, Probe, poll_once};
use crate::task::{JoinError, spawn};

fn boom() -> OnDrop<impl FnMut()> {
    OnDrop(|| panic!("boom"))
}

fn outcome<T>(handle: &mut crate::task::JoinHandle<T>) -> Result<T, JoinError> {
    match poll_once(handle) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("finished"),
    }
}

#[test]
fn a_panic_in_a_poll_is_the_outcome() {
    let bench = Bench::new();
    let mut handle = spawn(async { panic!("no {}", std::hint::black_box(7)) });
    let id = handle.id();
    bench.run();
    assert_eq!(bench.executor.caught_panics(), 1);
    let error: JoinError = outcome::<()>(&mut handle).expect_err("it panicked");
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.to_string(), format!("task {id} panicked with message \"no 7\""));
    assert_eq!(format!("{error:?}"), format!("JoinError::Panic(Id({id}), \"no 7\", ...)"));
    let payload = error.try_into_panic().expect("a panic");
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("no 7"));
    drop(handle);
    bench.end_empty();
}

#[test]
fn errors_become_io_errors() {
    fn sendable<T: Send + Sync + std::error::Error + 'static>(_: &T) {}
    let bench = Bench::new();
    let mut handle = spawn(std::future::pending::<()>());
    handle.abort();
    bench.run();
    let error = outcome(&mut handle).expect_err("cancelled");
    sendable(&error);
    assert_eq!(error.to_string(), format!("task {} was cancelled", handle.id()));
    let error = error.try_into_panic().expect_err("no panic");
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.get_ref().is_some_and(|inner| inner.is::<JoinError>()));
    drop(handle);
    bench.end_empty();
}

#[test]
fn a_future_that_panics_when_dropped() {
    let bench = Bench::new();
    // After its output: the output stays.
    let guard = boom();
    let mut handle = spawn(std::future::poll_fn(move |_| {
        let _guard = &guard;
        Poll::Ready(5)
    }));
    bench.run();
    assert_eq!(outcome(&mut handle).expect("an output"), 5);
    assert_eq!(bench.executor.caught_panics(), 1);
    drop(handle);
    // Cancelled: the panic is the outcome.
    let guard = boom();
    let mut handle = spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    bench.run();
    handle.abort();
    assert_eq!(bench.executor.caught_panics(), 1, "not inside abort");
    bench.run();
    assert!(outcome(&mut handle).expect_err("no output").is_panic());
    assert_eq!(bench.executor.caught_panics(), 2);
    drop(handle);
    // Panicking already: the first panic is the outcome.
    let guard = boom();
    let mut handle = spawn(std::future::poll_fn(move |_| -> Poll<()> {
        let _guard = &guard;
        panic!("first")
    }));
    bench.run();
    assert!(outcome(&mut handle).expect_err("no output").to_string().contains("first"));
    assert_eq!(bench.executor.caught_panics(), 4);
    drop(handle);
    bench.end_empty();
}

#[test]
fn an_output_that_panics_when_nobody_wants_it() {
    let bench = Bench::new();
    drop(spawn(async { boom() }));
    bench.run();
    assert_eq!((bench.executor.caught_panics(), bench.counts()), (1, (0, 0)));
    let handle = spawn(async { boom() });
    bench.run();
    drop(handle);
    assert_eq!((bench.executor.caught_panics(), bench.counts()), (2, (0, 0)));
    bench.end_empty();
}

#[test]
fn a_payload_that_panics_when_dropped() {
    let bench = Bench::new();
    drop(spawn(async { std::panic::panic_any(boom_send()) }));
    bench.run();
    assert_eq!((bench.executor.caught_panics(), bench.counts()), (2, (0, 0)));
    bench.end_empty();
}

fn boom_send() -> impl Send {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom in a payload")
        }
    }
    Bomb
}

#[test]
fn a_join_waker_that_panics() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("boom in a waker")
        }
    }
    let bench = Bench::new();
    let (probe, seen) = Probe::pending(0);
    let mut handle = spawn(probe);
    let waker = Waker::from(Arc::new(Bomb));
    let pending = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(pending.is_pending());
    bench.run();
    assert_eq!((bench.executor.caught_panics(), seen.counts()), (1, (1, 1, 0)));
    assert!(outcome(&mut handle).is_ok());
    drop((handle, seen.take_waker()));
    bench.end_empty();
}
