//! A join handle and a waker that does its worst with it.
#![allow(unsafe_code, reason = "std's wakers do nothing when they are cloned")]

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use super::JoinHandle;
use crate::executor::Executor;

thread_local! {
    static EXECUTOR: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
    static HANDLE: RefCell<Option<JoinHandle<Vec<u8>>>> = const { RefCell::new(None) };
}

/// A waker that runs the executor when it is cloned.
fn running_waker() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            EXECUTOR.with_borrow(|executor| executor.as_ref().expect("set").run_batch(0));
            RawWaker::new(data, &TABLE)
        },
        |_| (),
        |_| (),
        |_| (),
    );
    // SAFETY: there is no data, and the functions may be called on any thread.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

/// A waker that lets go of the handle that waits with it.
struct LettingGo;

impl Wake for LettingGo {
    fn wake(self: Arc<Self>) {
        drop(HANDLE.take());
    }
}

#[test]
fn a_waker_that_runs_the_task_while_it_is_cloned_loses_no_result() {
    let executor = Executor::new(Waker::noop().clone(), 8);
    EXECUTOR.set(Some(Rc::clone(&executor)));
    let mut handle = executor.spawn(async { vec![1] });
    let waker = running_waker();
    let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Ready(Ok(output)) if output == [1]));
    drop((handle, EXECUTOR.take()));
    assert_eq!(executor.home().allocated(), 0);
}

#[test]
fn a_waker_may_drop_the_handle_that_it_is_woken_for() {
    let executor = Executor::new(Waker::noop().clone(), 8);
    let freed = executor.home().freed();
    let entered = executor.enter();
    let mut handle = executor.spawn(async { vec![1] });
    let waker = Waker::from(Arc::new(LettingGo));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    HANDLE.set(Some(handle));
    executor.run_batch(0);
    assert!(HANDLE.take().is_none());
    assert_eq!((executor.live_tasks(), executor.home().allocated()), (0, 0));
    assert_eq!(executor.caught_panics(), 0);
    drop(entered);
    drop(executor);
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}
