//! What a task is spawned with and leaves behind: task-local values, a name, an eager start, a panic that nobody takes.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use annulus::runtime::metrics;
use annulus::task::{
    self, Builder, JoinSet, consume_budget, gather, task_group, try_gather, yield_now,
};
use annulus::time::{Duration, sleep, timeout};
use annulus::{Runtime, spawn};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, run};

annulus::task_local! {
    static NUMBER: u32;
    /// One that can be changed.
    pub(crate) static SHARED: Cell<u32>;
    static CANARY: Canary;
}

/// Counts its drops.
struct Canary(Rc<Cell<u32>>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_value_is_there_in_its_scope_and_nowhere_else() {
    run(async || {
        assert!(NUMBER.try_get().is_err());
        let scoped = NUMBER.scope(1, async {
            assert_eq!(NUMBER.get(), 1);
            yield_now().await;
            let inner = NUMBER.scope(2, async {
                yield_now().await;
                SHARED.sync_scope(Cell::new(7), || (NUMBER.get(), SHARED.with(Cell::get)))
            });
            assert_eq!(inner.await, (2, 7));
            assert!(SHARED.try_with(|_| ()).is_err());
            NUMBER.get()
        });
        let other = spawn(async {
            for _ in 0..4 {
                assert!(NUMBER.try_get().is_err(), "another task, between the polls");
                yield_now().await;
            }
        });
        assert_eq!(scoped.await, 1);
        assert!(NUMBER.try_get().is_err());
        other.await.expect("no panic");
        let text = catch_unwind(|| NUMBER.get()).expect_err("not set").downcast::<String>();
        assert!(text.expect("a text").starts_with("the task-local value is not set: "));
    });
}

#[test]
fn tasks_inherit_what_is_in_scope_however_they_are_spawned() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let scope = CANARY.scope(
            Canary(Rc::clone(&drops)),
            NUMBER.scope(5, async {
                let gathered =
                    try_gather([(); 2].map(|()| async { Ok::<_, ()>(NUMBER.get()) })).await;
                assert_eq!(gathered.expect("no failure"), [5, 5]);
                let mut set = JoinSet::new();
                set.spawn(async { NUMBER.get() });
                assert!(matches!(set.join_next().await, Some(Ok(5))));
                let eager = Builder::new().eager().name("eager").spawn(async { NUMBER.get() });
                assert!(eager.is_finished() && eager.await.expect("no panic") == 5);
                [spawn(async {
                    yield_now().await;
                    let grandchild = NUMBER.sync_scope(6, || spawn(async { NUMBER.get() }));
                    (NUMBER.get(), grandchild.await.expect("no panic"))
                })]
            }),
        );
        let [child] = scope.await;
        assert_eq!(drops.get(), 0, "the child has it still");
        assert_eq!(child.await.expect("no panic"), (5, 6));
        assert_eq!(drops.get(), 1);
    });
}

/// What is in scope around `block_on` is its future's, and not that of tasks which happen to run meanwhile.
#[test]
fn a_scope_around_block_on_is_the_main_future_s() {
    struct Look(Rc<Cell<Option<u32>>>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.set(NUMBER.try_get().ok());
        }
    }
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let (seen, dropped) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let theirs = (Rc::clone(&seen), Look(Rc::clone(&dropped)));
    runtime.block_on(async {
        drop(spawn(async move {
            let (seen, _look) = theirs;
            loop {
                yield_now().await;
                seen.set(NUMBER.try_get().ok().or(seen.get()));
            }
        }));
    });
    let last = Rc::new(Cell::new(None));
    let look = Look(Rc::clone(&last));
    let child = NUMBER.sync_scope(8, || {
        let number = runtime.block_on(async move {
            let _look = look;
            yield_now().await;
            (NUMBER.get(), [spawn(async { NUMBER.get() })])
        });
        assert_eq!((number.0, NUMBER.get(), last.get()), (8, 8, Some(8)));
        number.1
    });
    assert!(NUMBER.try_get().is_err());
    let [child] = child;
    assert_eq!(runtime.block_on(child).expect("no panic"), 8, "what the main future spawned");
    NUMBER.sync_scope(9, || runtime.shutdown(PATIENCE)).expect("nothing leaks");
    assert_eq!((seen.get(), dropped.get()), (None, None));
}

#[test]
fn what_one_task_changes_the_others_see() {
    run(async || {
        let total = SHARED.scope(Cell::new(0), async {
            let add = |number| async move { SHARED.with(|sum| sum.set(sum.get() + number)) };
            gather((1..=4).map(add)).await;
            SHARED.with(Cell::get)
        });
        assert_eq!(total.await, 10);
    });
}

/// The value is there while the future is dropped: by the end, by a timeout, by an abort, by a panic.
#[test]
fn destructors_see_the_value() {
    struct Look(Rc<RefCell<Vec<u32>>>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.borrow_mut().push(NUMBER.try_get().unwrap_or(0));
        }
    }
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let seen = Rc::new(RefCell::new(Vec::new()));
    runtime.block_on(async {
        let look = || Look(Rc::clone(&seen));
        let first = look();
        NUMBER.scope(1, async move { drop(first) }).await;
        let second = look();
        let never = NUMBER.scope(2, async move {
            let _second = second;
            pending::<()>().await;
        });
        assert!(timeout(Duration::ZERO, never).await.is_err());
        let third = look();
        let task = NUMBER.sync_scope(3, || {
            spawn(async move {
                let _third = third;
                pending::<()>().await;
            })
        });
        yield_now().await;
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        let fourth = look();
        let task = spawn(NUMBER.scope(4, async move {
            let _fourth = fourth;
            resume_unwind(Box::new("as told"))
        }));
        assert!(task.await.map(|(): ()| ()).expect_err("panicked").is_panic());
        drop(NUMBER.scope(5, async { unreachable!("never polled") }));
        let sixth = look();
        drop(NUMBER.scope(6, async move { drop(sixth) }));
        assert!(NUMBER.try_get().is_err(), "whatever happened, it is gone");
    });
    assert_eq!(*seen.borrow(), [1, 2, 3, 4, 6]);
}

#[test]
fn a_chain_of_a_hundred_thousand_scopes_is_dropped() {
    run(async || {
        fn link(left: u32) -> task::JoinHandle<u32> {
            let next = NUMBER.sync_scope(left, || {
                spawn(async move { if left == 0 { None } else { Some(link(left - 1)) } })
            });
            spawn(async move {
                drop(next.await);
                left
            })
        }
        link(100_000).await.expect("no panic");
        while metrics().live_tasks > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_task_knows_its_name_and_so_does_its_panic() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        assert_eq!(task::name(), None);
        let named = Builder::new().name("a worker").spawn(async {
            let child = spawn(async { task::name() });
            yield_now().await;
            (task::name(), child.await.expect("no panic"))
        });
        let (own, inherited) = named.await.expect("no panic");
        assert_eq!((own.as_deref(), inherited), (Some("a worker"), None));

        let panics = async { resume_unwind(Box::new("tired")) };
        let error = Builder::new().name("a worker").spawn::<_>(panics).await.map(|(): ()| ());
        let error = error.expect_err("it panicked");
        assert_eq!(error.name(), Some("a worker"));
        let text = format!("task {} (a worker) panicked with message \"tired\"", error.id());
        assert_eq!(error.to_string(), text);

        let error = task_group(async |group| {
            group.spawn(async {
                let failing = async { resume_unwind(Box::new("inside")) };
                Builder::new().name("of a group").spawn(failing).await
            });
            Ok(())
        });
        let error = error.await.map(|_: ()| ()).expect_err("it panicked").into_error();
        assert_eq!(error.name(), Some("of a group"));

        let aborted = Builder::new().name("never polled").spawn(pending::<()>());
        aborted.abort();
        assert_eq!(aborted.await.expect_err("aborted").name(), None);
        assert_eq!(task::name(), None);
    });
}

#[test]
fn an_eager_task_is_polled_inside_the_spawn() {
    run(async || {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let log = |step: &'static str| steps.borrow_mut().push(step);
        let theirs = Rc::clone(&steps);
        let task = Builder::new().eager().spawn(async move {
            theirs.borrow_mut().push("child");
            yield_now().await;
            theirs.borrow_mut().push("child again");
            7
        });
        log("parent");
        assert!(!task.is_finished());
        assert_eq!(task.await.expect("no panic"), 7);
        assert_eq!(*steps.borrow(), ["child", "parent", "child again"]);

        let ids = Builder::new().eager().spawn(async { task::id() });
        assert!(ids.is_finished());
        let id = ids.id();
        assert_eq!(ids.await.expect("no panic"), id);
        let outer = spawn(async {
            let own = task::id();
            let inner = Builder::new().eager().spawn(async { task::id() });
            assert_eq!(task::id(), own, "the outer task runs again");
            inner.await.expect("no panic") != own
        });
        assert!(outer.await.expect("no panic"));
    });
}

#[test]
fn eager_tasks_draw_on_one_budget_and_their_panics_stay_theirs() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        let spender = spawn(async {
            let mut ended = 0;
            for _ in 0..3 {
                let child = Builder::new().eager().spawn(async {
                    for _ in 0..60 {
                        consume_budget().await;
                    }
                });
                ended += u32::from(child.is_finished());
            }
            ended
        });
        assert_eq!(spender.await.expect("no panic"), 2, "128 steps a poll");
        let panics = async { resume_unwind(Box::new("at once")) };
        let task = Builder::new().eager().spawn(panics);
        assert!(task.is_finished());
        assert!(task.await.map(|(): ()| ()).expect_err("it panicked").is_panic());
    });
    let outside = catch_unwind(|| drop(Builder::new().eager().spawn(async {})));
    let text = outside.expect_err("no runtime").downcast::<String>().expect("a text");
    assert!(text.starts_with("annulus::task::Builder::spawn was called outside a runtime"));
}

#[test]
fn an_eager_task_of_a_dying_runtime_is_dropped_unpolled() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    let dropped = Rc::new(Cell::new(0));
    struct SpawnOnDrop(Rc<Cell<u32>>);
    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            let canary = Canary(Rc::clone(&self.0));
            let late = Builder::new().eager().name("late").spawn(async move {
                let _canary = canary;
                unreachable!("polled")
            });
            assert!(late.is_finished());
        }
    }
    let guard = SpawnOnDrop(Rc::clone(&dropped));
    runtime.block_on(async {
        drop(spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    runtime.shutdown(PATIENCE).expect("nothing leaks");
    assert_eq!(dropped.get(), 1);
}

/// Everything that a panic can be left by: a handle dropped before and after, a set, a group, a gather; each is told
/// once, and what somebody takes is not.
#[test]
fn panics_that_nobody_takes_are_told_once() {
    let _leaks = LeakGuard::new();
    let told = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&told);
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |error| {
            let name = error.name().map(str::to_owned);
            let text = *error.into_panic().downcast::<&str>().expect("a text");
            log.borrow_mut().push((name, text));
        })
        .build()
        .expect("this machine has io_uring");
    let expect = |texts: &[&str]| {
        let told = told.take();
        assert_eq!(told.iter().map(|(_, text)| *text).collect::<Vec<_>>(), texts);
    };
    async fn panics(text: &'static str) -> u8 {
        yield_now().await;
        resume_unwind(Box::new(text))
    }
    runtime.block_on(async {
        drop(spawn(panics("detached")));
        let late = spawn(panics("dropped later"));
        while !late.is_finished() {
            yield_now().await;
        }
        expect(&["detached"]);
        drop(late);
        expect(&["dropped later"]);

        assert!(spawn(panics("taken")).await.is_err());
        let mut set = JoinSet::new();
        set.spawn(panics("joined"));
        set.spawn(panics("left in a set"));
        assert!(set.join_next().await.expect("two").is_err());
        yield_now().await;
        expect(&[]);
        drop(set);
        yield_now().await;
        expect(&["left in a set"]);

        let group = task_group(async |group| {
            group.spawn(async { Ok(panics("in a group that is dropped").await) });
            pending::<Result<u8, ()>>().await
        });
        {
            let mut group = pin!(group);
            assert!(group.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            yield_now().await;
            yield_now().await;
            yield_now().await;
        }
        expect(&["in a group that is dropped"]);
        let group = task_group(async |group| {
            group.spawn(async { Ok(panics("in a group").await) });
            pending::<Result<(), ()>>().await
        });
        assert!(group.await.is_err());
        expect(&[]);

        drop(Builder::new().name("a name").spawn(panics("named")));
        yield_now().await;
        yield_now().await;
        assert_eq!(told.take(), [(Some("a name".to_owned()), "named")]);
        let aborted = spawn(pending::<()>());
        aborted.abort();
        drop(aborted);
        yield_now().await;
        expect(&[]);
    });
    assert_eq!(runtime.metrics().unhandled_panics, 5);
    runtime.shutdown(PATIENCE).expect("nothing leaks");
}

#[test]
fn without_a_hook_they_are_counted_and_one_that_panics_harms_nobody() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        drop(spawn(async { resume_unwind(Box::new("detached")) }));
        yield_now().await;
        assert_eq!(metrics().unhandled_panics, 1);
    });
    drop(runtime);
    let bomb = |_| resume_unwind(Box::new("in the hook"));
    let runtime = Runtime::builder().on_unhandled_panic(bomb).build().expect("as before");
    runtime.block_on(async {
        drop(spawn(async { resume_unwind(Box::new("detached")) }));
        yield_now().await;
        assert_eq!((metrics().unhandled_panics, metrics().caught_panics), (1, 2));
    });
}

/// The hook may use the runtime it belongs to, and is dropped at its end, on its thread, with what it holds.
#[test]
fn the_hook_may_spawn_and_ends_with_the_runtime() {
    let _leaks = LeakGuard::new();
    let drops = Rc::new(Cell::new(0));
    let told = Rc::new(Cell::new(0));
    let (canary, count) = (Canary(Rc::clone(&drops)), Rc::clone(&told));
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |_| {
            let _ = &canary;
            let count = Rc::clone(&count);
            drop(spawn(async move { count.set(count.get() + 1) }));
        })
        .build()
        .expect("this machine has io_uring");
    let waker = runtime.block_on(async {
        drop(spawn(async { resume_unwind(Box::new("detached")) }));
        yield_now().await;
        yield_now().await;
        // What keeps the task's memory, and with it the home, beyond the runtime's end.
        let (sender, receiver) = std::sync::mpsc::channel();
        drop(spawn(poll_fn(move |cx| {
            sender.send(cx.waker().clone()).expect("it is received");
            Poll::<()>::Pending
        })));
        yield_now().await;
        receiver.recv().expect("it was polled")
    });
    assert_eq!((told.get(), drops.get()), (1, 0));
    drop(runtime);
    assert_eq!(drops.get(), 1);
    std::thread::spawn(move || drop(waker)).join().expect("no panic");
}

#[test]
fn a_hook_may_end_the_service() {
    let _leaks = LeakGuard::new();
    let stop = task::CancellationToken::new();
    let on_panic = stop.clone();
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |_| on_panic.cancel())
        .build()
        .expect("this machine has io_uring");
    let output = runtime.block_on(async {
        drop(spawn(async { resume_unwind(Box::new("out of order")) }));
        stop.run_until_cancelled(pending::<()>()).await
    });
    assert_eq!(output, None);
    let silent = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {})));
    assert!(silent.is_ok());
}
