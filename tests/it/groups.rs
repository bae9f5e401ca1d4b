//! Task groups and join sets through the public door: cancellation at each step, panics, drops, nesting.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use annulus::Runtime;
use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::metrics;
use annulus::task::{Failure, GroupError, JoinSet, TaskGroup, task_group, yield_now};
use annulus::time::{Duration, sleep, timeout};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, run};

/// Yields until the running task's own are over.
async fn no_task_is_left() {
    while metrics().live_tasks > 0 {
        yield_now().await;
    }
}

/// Counts how often it is dropped.
struct Canary(Rc<Cell<u32>>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// As `run`, where tasks panic.
fn run_panicking(body: impl AsyncFnOnce()) {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().expect("this machine has io_uring");
    runtime.block_on(body());
    assert_eq!(runtime.metrics().live_tasks, 0);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

/// Waits for ever, and counts its drop.
async fn for_ever<T>(drops: &Rc<Cell<u32>>) -> T {
    let _canary = Canary(Rc::clone(drops));
    pending().await
}

fn texts<E: std::fmt::Display>(error: &GroupError<E>) -> Vec<String> {
    error.failures().iter().map(ToString::to_string).collect()
}

#[test]
fn a_group_ends_after_its_last_child() {
    run(async || {
        let ended = Rc::new(Cell::new(0));
        let output = task_group(async |group| {
            for index in 0..10 {
                let ended = Rc::clone(&ended);
                group.spawn(async move {
                    for _ in 0..index {
                        yield_now().await;
                    }
                    ended.set(ended.get() + 1);
                    Ok(())
                });
            }
            assert_eq!((group.len(), group.is_empty()), (10, false));
            Ok::<_, io::Error>("the body's own")
        });
        assert_eq!(output.await.expect("nothing failed"), "the body's own");
        assert_eq!((ended.get(), metrics().live_tasks), (10, 0));
        task_group(async |_| Ok::<_, ()>(())).await.expect("an empty group");
    });
}

#[test]
fn the_first_failure_cancels_the_body_and_the_siblings_and_all_are_gone_afterwards() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let error = task_group(async |group| {
            for _ in 0..3 {
                let drops = Rc::clone(&drops);
                group.spawn::<_, ()>(async move { for_ever(&drops).await });
            }
            let failing = group.spawn(async {
                yield_now().await;
                Err::<(), _>("the first")
            });
            group.spawn(async {
                sleep(Duration::from_secs(3600)).await;
                Err::<(), _>("never")
            });
            assert!(failing.await.is_err(), "not reached");
            for_ever::<()>(&drops).await;
            Ok(())
        });
        let error = error.await.expect_err("a child failed");
        assert_eq!((drops.get(), metrics().live_tasks, metrics().live_timers), (3, 0, 0));
        assert_eq!(texts(&error), ["the first"]);
        assert_eq!(error.to_string(), "the task group failed: the first");
        assert_eq!(error.into_error(), "the first");
    });
}

#[test]
fn an_error_of_the_body_cancels_the_children() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let error = task_group(async |group| {
            let drops = Rc::clone(&drops);
            group.spawn::<_, ()>(async move { for_ever(&drops).await });
            yield_now().await;
            Err::<(), _>(io::Error::other("the body"))
        });
        let error = error.await.expect_err("the body failed");
        assert_eq!((texts(&error), drops.get()), (vec!["the body".to_owned()], 1));
        assert_eq!(io::Error::from(error).to_string(), "the task group failed: the body");
    });
}

/// A future that panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
}

#[test]
fn every_error_and_panic_is_reported() {
    run_panicking(async || {
        let error = task_group(async |group| {
            for text in ["polled", "never polled"] {
                let bomb = Bomb(text);
                group.spawn::<_, ()>(async move {
                    let _bomb = bomb;
                    pending().await
                });
                if text == "polled" {
                    yield_now().await;
                }
            }
            Err::<(), _>("the body")
        });
        let error = error.await.expect_err("all failed");
        let [Failure::Error("the body"), Failure::Panic(first), Failure::Panic(second)] =
            error.failures()
        else {
            panic!("{error:?}");
        };
        for (failure, text) in [(first, "polled"), (second, "never polled")] {
            assert!(failure.to_string().ends_with(&format!("with message {text:?}")), "{failure}");
        }
        let panic = std::panic::catch_unwind(AssertUnwindSafe(|| error.into_error()));
        let payload = panic.expect_err("a panic is not lost");
        assert_eq!(*payload.downcast::<&str>().expect("a text"), "polled");
        assert_eq!(metrics().caught_panics, 0);
    });
}

#[test]
fn a_panic_of_a_child_fails_the_group_and_one_of_the_body_unwinds_after_the_children() {
    run_panicking(async || {
        let panics = async |group: &TaskGroup<()>| {
            group.spawn::<_, ()>(async { std::panic::resume_unwind(Box::new("child")) });
            pending::<Result<(), ()>>().await
        };
        let error = task_group(panics).await.expect_err("a child panicked");
        let [Failure::Panic(error)] = error.failures() else { panic!("{error:?}") };
        assert!(error.is_panic());

        let drops = Rc::new(Cell::new(0));
        let counted = Rc::clone(&drops);
        let outer = annulus::spawn(async move {
            let gone = Rc::clone(&counted);
            let group = task_group::<(), ()>(async move |group| {
                group.spawn::<_, ()>(async move { for_ever(&counted).await });
                yield_now().await;
                assert_eq!(gone.get(), 0);
                std::panic::resume_unwind(Box::new("body"))
            });
            group.await.expect("not reached");
        });
        let error = outer.await.expect_err("the body panicked");
        assert_eq!(
            (*error.into_panic().downcast::<&str>().expect("a text"), drops.get()),
            ("body", 1)
        );
    })
}

/// The group's future is dropped after each number of turns; nothing of it stays.
#[test]
fn a_group_that_is_dropped_aborts_its_children_at_every_step() {
    run(async || {
        for turns in 0..8 {
            let drops = Rc::new(Cell::new(0));
            let children = Rc::new(Cell::new(0));
            {
                let group = task_group(async |group| {
                    for _ in 0..3 {
                        let drops = Rc::clone(&drops);
                        children.set(children.get() + 1);
                        let canary = Canary(Rc::clone(&drops));
                        group.spawn(async move {
                            let _canary = canary;
                            for _ in 0..3 {
                                yield_now().await;
                            }
                            for_ever::<Result<(), ()>>(&Rc::default()).await
                        });
                        yield_now().await;
                    }
                    Ok(())
                });
                let mut group = pin!(group);
                for _ in 0..turns {
                    let polled = group.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    assert!(polled.is_pending());
                    yield_now().await;
                }
            }
            no_task_is_left().await;
            assert_eq!(drops.get(), children.get(), "after {turns} turns");
        }
    });
}

#[test]
fn an_abort_from_outside_while_the_group_waits_for_its_children_reaches_them() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let counted = Rc::clone(&drops);
        let task = annulus::spawn(async move {
            task_group(async move |group| {
                for _ in 0..4 {
                    let drops = Rc::clone(&counted);
                    group.spawn::<_, ()>(async move { for_ever(&drops).await });
                }
                Ok::<_, ()>(())
            })
            .await
        });
        yield_now().await;
        yield_now().await;
        assert_eq!(metrics().live_tasks, 5);
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        no_task_is_left().await;
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn groups_nest_and_an_inner_failure_ends_the_outer_unless_it_is_handled() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let inner = |drops: &Rc<Cell<u32>>| {
            let drops = Rc::clone(drops);
            async move {
                task_group(async |group| {
                    let drops = Rc::clone(&drops);
                    group.spawn::<_, ()>(async move { for_ever(&drops).await });
                    yield_now().await;
                    Err::<(), _>("inner")
                })
                .await
            }
        };
        let handled = task_group(async |group| {
            let work = inner(&drops);
            let child = group.spawn(async move { Ok::<_, io::Error>(work.await.is_err()) });
            Ok(child.await?)
        });
        assert!(handled.await.expect("handled"));
        let failed = task_group(async |group| {
            let waits = Rc::clone(&drops);
            group.spawn::<_, ()>(async move { for_ever(&waits).await });
            group.spawn(inner(&drops));
            Ok(())
        });
        let error: GroupError<GroupError<&str>> = failed.await.expect_err("not handled");
        assert_eq!(error.to_string(), "the task group failed: the task group failed: inner");
        assert_eq!((drops.get(), metrics().live_tasks), (3, 0));
    });
}

#[test]
fn children_spawn_siblings_through_a_clone() {
    run(async || {
        fn tree(group: &TaskGroup<io::Error>, depth: u32, count: &Rc<Cell<u32>>) {
            count.set(count.get() + 1);
            for _ in 0..depth {
                let (clone, count) = (group.clone(), Rc::clone(count));
                group.spawn(async move {
                    tree(&clone, depth - 1, &count);
                    Ok(())
                });
            }
        }
        let count = Rc::new(Cell::new(0));
        let leaked = RefCell::new(None);
        let body = async |group: &TaskGroup<io::Error>| {
            leaked.replace(Some(group.clone()));
            tree(group, 4, &count);
            Ok(())
        };
        task_group(body).await.expect("nothing failed");
        assert_eq!(count.get(), 1 + 4 + 4 * 3 + 4 * 3 * 2 + 4 * 3 * 2);
        let leaked = leaked.take().expect("the body ran");
        let late = std::panic::catch_unwind(AssertUnwindSafe(|| leaked.spawn(async { Ok(()) })));
        let text = late.expect_err("too late").downcast::<&str>().expect("a text");
        assert_eq!(*text, "TaskGroup::spawn was called after the group had ended");
    });
}

#[test]
fn what_is_spawned_into_a_cancelled_group_is_never_polled() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let error = task_group(async |group| {
            let (clone, drops) = (group.clone(), Rc::clone(&drops));
            group.spawn(async move {
                struct SpawnOnDrop(TaskGroup<&'static str>, Rc<Cell<u32>>);
                impl Drop for SpawnOnDrop {
                    fn drop(&mut self) {
                        let canary = Canary(Rc::clone(&self.1));
                        let late = self.0.spawn::<_, ()>(async move {
                            let _canary = canary;
                            unreachable!("polled")
                        });
                        assert!(!late.is_finished());
                    }
                }
                let _late = SpawnOnDrop(clone, drops);
                yield_now().await;
                Err::<(), _>("first")
            });
            Ok(())
        });
        assert_eq!(error.await.expect_err("failed").failures().len(), 1);
        assert_eq!((drops.get(), metrics().live_tasks), (1, 0));
    });
}

#[test]
fn a_body_whose_work_is_done_ends_its_helpers() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let output = task_group(async |group| {
            let never_polled = Rc::clone(&drops);
            group.spawn::<_, ()>(async move { for_ever(&never_polled).await });
            yield_now().await;
            let helper = Rc::clone(&drops);
            let helper = group.spawn::<_, ()>(async move { for_ever(&helper).await });
            group.abort_all();
            assert!(helper.await.expect_err("aborted").is_cancelled());
            let after = group.spawn(async { Ok::<_, io::Error>(7) });
            Ok(after.await?)
        });
        assert_eq!((output.await.expect("no failure"), drops.get()), (7, 1));
    });
}

/// A child that aborts its group, by a clone or by dropping its future, is aborted itself, also in its first poll.
#[test]
fn a_child_may_abort_its_own_group_in_any_poll() {
    run(async || {
        for polls in 0..3 {
            let drops = Rc::new(Cell::new(0));
            let counted = Rc::clone(&drops);
            let output = task_group(async |group| {
                let (clone, own, other) = (group.clone(), Rc::clone(&counted), Rc::clone(&counted));
                group.spawn::<_, ()>(async move {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                    clone.abort_all();
                    for_ever(&own).await
                });
                group.spawn::<_, ()>(async move { for_ever(&other).await });
                Ok::<_, ()>(())
            });
            output.await.expect("an abort is no failure");
            assert!(drops.get() >= 1, "its own future, after {polls} polls");

            type Kept = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;
            let kept = Kept::default();
            let (theirs, counted) = (Rc::clone(&kept), Rc::clone(&drops));
            drops.set(0);
            kept.replace(Some(Box::pin(async move {
                let body = async move |group: &TaskGroup<()>| {
                    let theirs = Rc::clone(&theirs);
                    group.spawn::<_, ()>(async move {
                        for _ in 0..polls {
                            yield_now().await;
                        }
                        drop(theirs.take());
                        for_ever(&counted).await
                    });
                    Ok(())
                };
                task_group(body).await.ok();
            })));
            let mut group = kept.take().expect("just put");
            assert!(group.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            kept.replace(Some(group));
            no_task_is_left().await;
            assert_eq!((drops.get(), kept.take().is_none()), (1, true));
        }
    });
}

/// A failure ends children that wait in the kernel; what they waited for is not lost.
#[test]
fn children_in_the_kernel_are_cancelled_without_loss() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("up");
        let server = Rc::new(listener.accept().await.expect("accepted").0);
        let error = task_group(async |group| {
            let server = Rc::clone(&server);
            group.spawn(async move {
                server.recv().await?;
                Ok(())
            });
            group.spawn(async {
                sleep(Duration::from_millis(2)).await;
                Err::<(), _>(io::Error::from(io::ErrorKind::Interrupted))
            });
            Ok(())
        });
        assert_eq!(error.await.expect_err("failed").failures().len(), 1);
        client.write_all(b"later").await.expect("sent");
        assert_eq!(&*server.recv().await.expect("received").expect("not the end"), b"later");
    });
}

#[test]
fn a_timeout_ends_a_group() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let group = task_group(async |group| {
            let drops = Rc::clone(&drops);
            group.spawn::<_, ()>(async move { for_ever(&drops).await });
            Ok::<_, ()>(())
        });
        timeout(Duration::from_millis(1), group).await.expect_err("it never ends");
        no_task_is_left().await;
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn a_set_joins_in_the_order_of_the_ends() {
    run(async || {
        let mut set = JoinSet::new();
        assert!(set.join_next().await.is_none());
        let ids: Vec<_> = [3, 1, 2]
            .map(|turns| {
                set.spawn(async move {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    turns
                })
            })
            .map(|handle| handle.id())
            .into();
        let mut joined = Vec::new();
        while let Some((id, outcome)) = set.join_next_with_id().await {
            joined.push((id, outcome.expect("an output")));
        }
        assert_eq!(joined, [(ids[1], 1), (ids[2], 2), (ids[0], 3)]);
    });
}

#[test]
fn a_set_gives_panics_and_aborts_and_goes_on() {
    run_panicking(async || {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        set.spawn(async { std::panic::resume_unwind(Box::new("as told")) });
        set.spawn(pending()).abort();
        yield_now().await;
        let outcomes: Vec<_> =
            [(); 3].map(|()| set.try_join_next().expect("all have ended")).into();
        assert!(set.try_join_next().is_none() && set.is_empty());
        assert!(matches!(outcomes[0], Ok(1)));
        assert!(outcomes[1].as_ref().is_err_and(|error| error.is_panic()));
        assert!(outcomes[2].as_ref().is_err_and(|error| error.is_cancelled()));
    });
}

#[test]
fn a_set_that_is_dropped_aborts_one_that_is_detached_does_not() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let drops = Rc::clone(&drops);
            set.spawn(async move { for_ever::<()>(&drops).await });
        }
        yield_now().await;
        drop(set);
        assert_eq!(drops.get(), 0, "nothing is dropped inside a drop");
        yield_now().await;
        assert_eq!((drops.get(), metrics().live_tasks), (3, 0));

        let ran = Rc::new(Cell::new(false));
        let runs = Rc::clone(&ran);
        let mut set: JoinSet<()> = [async move {
            yield_now().await;
            runs.set(true);
        }]
        .into_iter()
        .collect();
        yield_now().await;
        set.detach_all();
        let other = set.spawn(async {});
        while !ran.get() {
            assert_eq!(set.len(), 1);
            yield_now().await;
        }
        assert!(set.join_next().await.is_some_and(|outcome| outcome.is_ok()) && set.is_empty());
        assert!(other.is_finished());
    });
}

#[test]
fn a_set_shuts_down_and_a_dropped_shutdown_or_join_loses_nothing() {
    run(async || {
        let drops = Rc::new(Cell::new(0));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let drops = Rc::clone(&drops);
            set.spawn(async move { for_ever::<()>(&drops).await });
        }
        yield_now().await;
        {
            let mut shutdown = pin!(set.shutdown());
            let polled = shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!((polled, drops.get()), (Poll::Pending, 0));
        }
        assert_eq!(set.len(), 3);
        set.shutdown().await;
        assert_eq!((set.len(), drops.get()), (0, 3));

        set.spawn(async {});
        assert!(timeout(Duration::ZERO, set.join_next()).await.is_err());
        yield_now().await;
        assert!(set.join_next().await.is_some());
    });
}

#[test]
fn join_all_gives_the_outputs_or_the_panic() {
    run_panicking(async || {
        let set: JoinSet<u32> = (0..4).map(|number| async move { number }).collect();
        assert_eq!(set.join_all().await, [0, 1, 2, 3]);
        let task = annulus::spawn(async {
            let mut set: JoinSet<()> = JoinSet::new();
            set.spawn(pending());
            set.spawn(async { std::panic::resume_unwind(Box::new("one of them")) });
            set.join_all().await
        });
        let payload = task.await.expect_err("it panicked").into_panic();
        assert_eq!(*payload.downcast::<&str>().expect("a text"), "one of them");
        yield_now().await;
        assert_eq!(metrics().live_tasks, 0);
    });
}

#[test]
fn a_thousand_children_that_all_fail_are_one_failure_and_none_is_left() {
    run(async || {
        let error = task_group(async |group| {
            (0..1000).for_each(|number| drop(group.spawn(async move { Err::<(), _>(number) })));
            Ok(())
        });
        assert_eq!(error.await.expect_err("failed").into_error(), 0);
        assert_eq!(metrics().live_tasks, 0);
    });
}

#[test]
fn groups_and_sets_outside_a_runtime_say_so() {
    let outside = std::panic::catch_unwind(|| drop(JoinSet::new().spawn(async {})));
    let text = outside.expect_err("no runtime").downcast::<String>().expect("a text");
    assert!(text.starts_with("annulus::task::JoinSet::spawn was called outside a runtime"));
    let outside = std::panic::catch_unwind(|| {
        let mut group = pin!(task_group(async |group| {
            group.spawn(async { Ok::<_, ()>(()) });
            Ok(())
        }));
        let _ = group.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    let text = outside.expect_err("no runtime").downcast::<String>().expect("a text");
    assert!(text.starts_with("annulus::task::TaskGroup::spawn was called outside a runtime"));
}

/// The end of the runtime drops groups and sets in every state, and what their children do about it is in vain.
#[test]
fn the_end_of_the_runtime_ends_groups_and_sets() {
    let _leaks = LeakGuard::new();
    let drops = Rc::new(Cell::new(0));
    let runtime = Runtime::new().expect("this machine has io_uring");
    let counted = Rc::clone(&drops);
    runtime.block_on(async {
        drop(annulus::spawn(async move {
            let group = task_group(async move |group| {
                for _ in 0..3 {
                    let (clone, drops) = (group.clone(), Rc::clone(&counted));
                    group.spawn::<_, ()>(async move {
                        struct SpawnOnDrop(TaskGroup<()>, Rc<Cell<u32>>);
                        impl Drop for SpawnOnDrop {
                            fn drop(&mut self) {
                                let canary = Canary(Rc::clone(&self.1));
                                let late = self.0.spawn(async move {
                                    let _canary = canary;
                                    Ok(())
                                });
                                assert!(late.is_finished(), "dropped at once");
                            }
                        }
                        let _late = SpawnOnDrop(clone, drops);
                        pending().await
                    });
                }
                let mut set: JoinSet<()> = (0..3).map(|_| pending()).collect();
                set.join_next().await;
                Ok::<_, ()>(())
            });
            group.await.ok();
        }));
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(runtime.metrics().live_tasks, 7);
    runtime.shutdown(PATIENCE).expect("nothing leaks");
    assert_eq!(drops.get(), 3);
}
