//! Loom models of work that goes from one thread to another and back, on real executors.
//!
//! Sleeping is a mutex and a condition variable behind `unpark`, as in the models of the executor: a wake-up that is
//! lost is a deadlock.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{Context, Poll, Waker};

use loom::thread;

use super::handle::Handle;
use super::remote::{RemoteError, RemoteHandle};
use crate::executor::Executor;
use crate::loom::Bell;

/// A thread's executor, entered.
struct Core {
    bell: StdArc<Bell>,
    executor: Rc<Executor>,
}

impl Core {
    fn new() -> Self {
        let bell = Bell::new();
        let executor = Executor::new(Waker::from(StdArc::clone(&bell)), 8);
        Self { bell, executor }
    }

    fn handle(&self) -> Handle {
        Handle::new(self.executor.address())
    }

    /// Turns until the condition holds, and sleeps when there is nothing to do.
    fn turn_until(&self, condition: impl Fn() -> bool) {
        while !condition() {
            // What arrives is polled at once, and may be what is waited for.
            let arrived = self.executor.take_inbox();
            if self.executor.run_batch(0) == 0 && !arrived && self.executor.begin_sleep() {
                self.bell.wait();
                self.executor.end_sleep();
            }
        }
    }

    /// The end of the executor; how often its memory went, for when nobody can have it any more.
    fn end(self) -> StdArc<StdAtomicUsize> {
        let freed = self.executor.home().freed();
        drop(self.executor);
        freed
    }
}

/// Another thread does as `caller` says, with a handle of this one's core, which does as `home` says, the join
/// included. In the end nobody has the core's memory any more.
fn with_caller<T: 'static>(
    caller: impl FnOnce(Handle) -> T + 'static,
    home: impl FnOnce(&Core, thread::JoinHandle<T>),
) {
    let core = Core::new();
    let entered = core.executor.enter();
    let handle = core.handle();
    home(&core, thread::spawn(move || caller(handle)));
    drop(entered);
    assert_eq!(core.end().load(StdOrdering::SeqCst), 1);
}

/// Counts its drops.
struct Canary(StdArc<StdAtomicUsize>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, StdOrdering::SeqCst);
    }
}

/// The outcome, from a thread that only looks.
fn look<T>(handle: &mut RemoteHandle<T>) -> Poll<Result<T, RemoteError>> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn loom_a_call_goes_to_a_sleeping_core_and_wakes_its_caller() {
    loom::model(|| {
        let served = StdArc::new(StdAtomicUsize::new(0));
        let count = StdArc::clone(&served);
        let caller = move |handle: Handle| {
            let core = Core::new();
            let entered = core.executor.enter();
            let answer = Rc::new(Cell::new(None));
            let inside = Rc::clone(&answer);
            drop(core.executor.spawn(async move {
                let called = handle.call(async move || {
                    count.fetch_add(1, StdOrdering::SeqCst);
                    7
                });
                inside.set(Some(called.await.expect("the core lives")));
            }));
            core.turn_until(|| answer.get().is_some());
            assert_eq!(answer.get(), Some(7));
            drop(entered);
            core.end()
        };
        let mut caller_freed = None;
        with_caller(caller, |core, caller| {
            core.turn_until(|| served.load(StdOrdering::SeqCst) == 1);
            // What the task has left to do: send its answer.
            core.executor.run_batch(0);
            caller_freed = Some(caller.join().expect("no panic"));
        });
        assert_eq!(caller_freed.expect("joined").load(StdOrdering::SeqCst), 1);
    });
}

/// What a core is sent that never ends by itself.
fn spawn_pending(handle: &Handle, canary: Canary) -> RemoteHandle<()> {
    handle.spawn(async move || {
        let _canary = canary;
        std::future::pending::<()>().await;
    })
}

#[test]
fn loom_shutdown_meets_a_send() {
    loom::model(|| {
        let dropped = StdArc::new(StdAtomicUsize::new(0));
        let canary = Canary(StdArc::clone(&dropped));
        let sender = move |handle: Handle| {
            let mut task = spawn_pending(&handle, canary);
            drop(handle);
            // Either the home is closed, and says so at once, or its end will.
            let was_refused = look(&mut task).is_ready();
            (task, was_refused)
        };
        with_caller(sender, |core, sender| {
            core.executor.take_inbox();
            core.executor.run_batch(0);
            core.executor.shutdown();
            let (mut task, was_refused) = sender.join().expect("no panic");
            assert!(task.is_finished(), "nobody waits for what has ended");
            assert!(was_refused || matches!(look(&mut task), Poll::Ready(Err(_))));
            assert_eq!(dropped.load(StdOrdering::SeqCst), 1, "dropped once");
        });
    });
}

#[test]
fn loom_an_abort_meets_the_work() {
    loom::model(|| {
        let dropped = StdArc::new(StdAtomicUsize::new(0));
        let canary = Canary(StdArc::clone(&dropped));
        let sender = move |handle: Handle| spawn_pending(&handle, canary).abort();
        with_caller(sender, |core, sender| {
            core.executor.take_inbox();
            core.executor.run_batch(0);
            sender.join().expect("no panic");
            core.executor.take_inbox();
            core.executor.run_batch(0);
            assert_eq!(dropped.load(StdOrdering::SeqCst), 1, "dropped once");
            assert_eq!(core.executor.live_tasks(), 0);
        });
    });
}

#[test]
fn loom_an_answer_meets_a_handle_that_goes() {
    loom::model(|| {
        let dropped = StdArc::new(StdAtomicUsize::new(0));
        let canary = Canary(StdArc::clone(&dropped));
        let begun = StdArc::new(StdAtomicUsize::new(0));
        let ran = StdArc::clone(&begun);
        let sender = move |handle: Handle| {
            let mut task = handle.spawn(async move || {
                ran.store(1, StdOrdering::SeqCst);
                canary
            });
            // Taken, left to the task, or given back by it: dropped once.
            drop(look(&mut task));
        };
        with_caller(sender, |core, sender| {
            core.turn_until(|| begun.load(StdOrdering::SeqCst) == 1);
            sender.join().expect("no panic");
            core.executor.take_inbox();
            core.executor.run_batch(0);
            assert_eq!(dropped.load(StdOrdering::SeqCst), 1);
        });
    });
}

/// Waits for the outcome, first as a look, then with the waker that wakes: one of the two meets the answer.
fn wait<T>(mut task: RemoteHandle<T>) -> Result<T, RemoteError> {
    if let Poll::Ready(outcome) = look(&mut task) {
        return outcome;
    }
    let bell = Bell::new();
    let waker = Waker::from(StdArc::clone(&bell));
    loop {
        match Pin::new(&mut task).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => bell.wait(),
        }
    }
}

#[test]
fn loom_an_answer_meets_a_waker_that_takes_the_place_of_another() {
    loom::model(|| {
        let served = StdArc::new(StdAtomicUsize::new(0));
        let count = StdArc::clone(&served);
        let caller = move |handle: Handle| {
            let task = handle.spawn(async move || {
                count.fetch_add(1, StdOrdering::SeqCst);
                Box::new(7)
            });
            assert_eq!(*wait(task).expect("the core lives"), 7);
        };
        with_caller(caller, |core, caller| {
            core.turn_until(|| served.load(StdOrdering::SeqCst) == 1);
            core.executor.run_batch(0);
            caller.join().expect("no panic");
        });
    });
}

#[test]
fn loom_an_abort_meets_the_first_poll_and_its_outcome_is_told() {
    loom::model(|| {
        let dropped = StdArc::new(StdAtomicUsize::new(0));
        let canary = Canary(StdArc::clone(&dropped));
        let ended = StdArc::new(StdAtomicUsize::new(0));
        let end = StdArc::clone(&ended);
        let caller = move |handle: Handle| {
            let task = spawn_pending(&handle, canary);
            // Before it begins, in its first poll, or when it waits.
            task.abort();
            let error = wait(task).expect_err("it was aborted");
            drop(handle.spawn(async move || end.store(1, StdOrdering::SeqCst)));
            error
        };
        with_caller(caller, |core, caller| {
            core.turn_until(|| ended.load(StdOrdering::SeqCst) == 1);
            assert_eq!(dropped.load(StdOrdering::SeqCst), 1, "dropped once");
            match caller.join().expect("no panic") {
                RemoteError::NeverBegan => {}
                RemoteError::Task(error) => assert!(error.is_cancelled()),
            }
            assert_eq!(core.executor.live_tasks(), 0);
        });
    });
}
