//! The names of asyncio for other threads.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use annulus::runtime::{Handle, RemoteError};
use annulus::sync::Event;

use crate::support::settled::{run as settled, until};

thread_local! {
    static HERE: RefCell<Option<Rc<Event>>> = const { RefCell::new(None) };
}

#[test]
fn run_coroutine_threadsafe() {
    settled(async || {
        let handle = Handle::current();
        let thread = std::thread::spawn(move || {
            let local = handle.spawn(async || Rc::new(RefCell::new(vec![6, 7])).take());
            let product: i32 = local.wait().expect("no panic").into_iter().product();
            // As `concurrent.futures.Future`: a deadline, after which it may still be had, and an end.
            let (begun, has_begun) = std::sync::mpsc::channel();
            let slow = handle.spawn(async move || {
                begun.send(()).expect("somebody waits for it");
                pending::<()>().await
            });
            has_begun.recv().expect("it begins");
            let slow = slow.wait_timeout(Duration::from_millis(1)).expect_err("it never ends");
            assert!(!slow.is_finished());
            slow.abort();
            let cancelled = slow.wait().expect_err("it was aborted");
            assert!(matches!(cancelled, RemoteError::Task(error) if error.is_cancelled()));
            product
        });
        until(|| thread.is_finished()).await;
        assert_eq!(thread.join().expect("no panic"), 42);
    });
}

#[test]
fn wrap_future() {
    settled(async || {
        let handle = Handle::current();
        // The handle of work of any runtime, made on any thread, is a future here.
        let thread = std::thread::spawn(move || handle.spawn(async || *Rc::new(42)));
        until(|| thread.is_finished()).await;
        assert_eq!(thread.join().expect("no panic").await.expect("it ran"), 42);
    });
}

#[test]
fn loop_call_soon_threadsafe() {
    settled(async || {
        let event = Rc::new(Event::new());
        HERE.set(Some(Rc::clone(&event)));
        let handle = Handle::current();
        std::thread::spawn(move || {
            drop(
                handle.spawn(async || HERE.with_borrow(|event| event.as_ref().expect("set").set())),
            );
        });
        event.wait().await;
        HERE.take();
    });
}
