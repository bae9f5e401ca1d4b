//! The names of Python's asyncio, by the table in `docs/asyncio.md`: one test a row, which does what its users do.

mod servers;
mod sockets;
mod streams;
mod system;
mod threads;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use annulus::blocking::Pool;
use annulus::runtime::metrics;
use annulus::sync::{
    Barrier, BrokenBarrierError, Condvar, Event, LifoQueue, Mutex, PriorityQueue, PutError, Queue,
    Semaphore, TryGetError, TryPutError, oneshot,
};
use annulus::task::{
    self, Builder, CancellationToken, Failure, GroupError, JoinSet, Until, yield_now,
};
use annulus::time::error::Elapsed;
use annulus::time::{self, Duration, Instant};
use annulus::{Runtime, net, spawn, spawn_blocking};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, run as settled, run_with};

const SECOND: Duration = Duration::from_secs(1);

annulus::task_local! {
    static VARIABLE: u32;
    static CELL: Cell<u32>;
}

fn runtime() -> Runtime {
    Runtime::new().expect("this machine has io_uring")
}

/// Runs tests in which tasks panic: no descriptor stays, no task, no operation.
fn panicking(body: impl AsyncFnOnce()) {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    runtime.block_on(body());
    assert_eq!(runtime.metrics().live_tasks, 0);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

async fn after(time: Duration) -> Duration {
    time::sleep(time).await;
    time
}

/// Sets a flag when dropped.
struct Flag(Rc<Cell<bool>>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

// Running.

#[test]
fn run() {
    let _leaks = LeakGuard::new();
    let main = async {
        time::sleep(Duration::from_millis(1)).await;
        Ok::<_, io::Error>("hello world")
    };
    assert_eq!(annulus::run(main).expect("it ran"), "hello world");
    let nested = annulus::run(async { annulus::run(async { Ok::<_, io::Error>(()) }) });
    assert_eq!(
        nested.expect_err("asyncio.run cannot be nested").kind(),
        io::ErrorKind::Unsupported
    );
}

#[test]
fn runner() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let task = runtime.block_on(async { [spawn(async { 7 })] });
    let output = runtime.block_on(async { task.into_iter().next().expect("one").await });
    assert_eq!(output.expect("no panic"), 7);
    runtime.shutdown(PATIENCE).expect("nothing is left");
}

#[test]
fn get_running_loop() {
    for outside in [
        catch_unwind(|| drop(spawn(async {}))),
        catch_unwind(|| drop(time::sleep(SECOND))),
        catch_unwind(|| assert_eq!(metrics().live_tasks, 0)),
    ] {
        let payload = outside.expect_err("no running event loop");
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).expect("a text");
        assert!(text.contains("annulus::run"), "it says what to do: {text}");
    }
}

#[test]
fn loop_run_until_complete() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let (steps, count) = (Rc::new(Cell::new(0)), Cell::new(0));
    let background = Rc::clone(&steps);
    runtime.block_on(async {
        drop(spawn(async move {
            loop {
                background.set(background.get() + 1);
                yield_now().await;
            }
        }));
        count.set(1);
    });
    let before = steps.get();
    runtime.block_on(async { (0..3).for_each(|_| count.set(count.get() + 1)) });
    runtime.block_on(yield_now());
    assert!(count.get() == 4 && steps.get() > before, "the task goes on meanwhile");
}

#[test]
fn loop_run_forever() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let stop = CancellationToken::new();
    runtime.block_on(async {
        let stopper = stop.clone();
        drop(spawn(async move {
            time::sleep(Duration::from_millis(1)).await;
            stopper.cancel();
        }));
        assert_eq!(stop.run_until_cancelled(pending::<()>()).await, None);
    });
}

#[test]
fn loop_call_soon() {
    settled(async || {
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..3 {
            let order = Rc::clone(&order);
            drop(spawn(async move { order.borrow_mut().push(number) }));
        }
        assert!(order.borrow().is_empty(), "not at once");
        yield_now().await;
        assert_eq!(*order.borrow(), [0, 1, 2], "in order");
    });
}

#[test]
fn loop_call_later() {
    settled(async || {
        time::pause();
        let start = Instant::now();
        let later = spawn(async move {
            time::sleep(SECOND).await;
            start.elapsed()
        });
        let never = spawn(after(SECOND));
        never.abort();
        assert_eq!(later.await.expect("no panic"), SECOND);
        assert!(never.await.expect_err("the handle cancels").is_cancelled());
    });
}

#[test]
fn loop_call_at() {
    settled(async || {
        time::pause();
        let when = Instant::now() + SECOND * 3;
        let task = spawn(async move {
            time::sleep_until(when).await;
            Instant::now() - when
        });
        assert_eq!(task.await.expect("no panic"), Duration::ZERO);
    });
}

#[test]
fn loop_time() {
    settled(async || {
        time::pause();
        let before = Instant::now();
        time::sleep(SECOND).await;
        assert_eq!(Instant::now() - before, SECOND);
    });
}

#[test]
fn loop_slow_callback_duration() {
    let _leaks = LeakGuard::new();
    let slow = Rc::new(RefCell::new(Vec::new()));
    let handler = Rc::clone(&slow);
    let runtime = Runtime::builder()
        .on_stall(Duration::from_millis(20), move |stall| handler.borrow_mut().push(stall.task()))
        .build()
        .expect("this machine has io_uring");
    let id = runtime.block_on(async {
        let task = spawn(async { std::thread::sleep(Duration::from_millis(30)) });
        let id = task.id();
        task.await.expect("no panic");
        id
    });
    // On a busy machine others may be slow, too.
    assert!(slow.borrow().contains(&Some(id)));
}

#[test]
fn loop_set_exception_handler() {
    let _leaks = LeakGuard::new();
    let contexts = Rc::new(RefCell::new(Vec::new()));
    let handler = Rc::clone(&contexts);
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |error| handler.borrow_mut().push(error))
        .build()
        .expect("this machine has io_uring");
    runtime.block_on(async {
        let task = Builder::new().name("Task-1").spawn(async { resume_unwind(Box::new("lost")) });
        let id = task.id();
        drop::<task::JoinHandle<()>>(task);
        yield_now().await;
        let seen = contexts.borrow();
        assert_eq!((seen[0].id(), seen[0].name(), seen.len()), (id, Some("Task-1"), 1));
        assert_eq!(metrics().unhandled_panics, 1);
    });
}

// Tasks.

#[test]
fn create_task() {
    settled(async || {
        let task = spawn(async { 6 * 7 });
        assert_eq!(task.await.expect("no panic"), 42);
        let ran = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&ran));
        drop(spawn(async move {
            yield_now().await;
            drop(flag);
        }));
        assert!(!ran.get());
        while !ran.get() {
            yield_now().await; // asyncio's may be collected as garbage here
        }
    });
}

#[test]
fn create_task_name() {
    panicking(async || {
        let task = Builder::new().name("fetch").spawn(async { task::name() });
        assert_eq!(task.await.expect("no panic").as_deref(), Some("fetch"));
        let task = Builder::new().name("fetch").spawn(async { resume_unwind(Box::new("gone")) });
        let error = task.await.map(|(): ()| ()).expect_err("it panicked");
        assert!(error.to_string().contains("(fetch) panicked"), "{error}");
    });
}

#[test]
fn create_task_eager_start() {
    settled(async || {
        let cache = Rc::new(Cell::new(Some("hit")));
        let look = || {
            let cache = Rc::clone(&cache);
            Builder::new().eager().spawn(async move {
                if cache.get().is_none() {
                    yield_now().await;
                }
                cache.get()
            })
        };
        let hit = look();
        assert!(hit.is_finished(), "before anything else runs");
        cache.set(None);
        let miss = look();
        assert!(!miss.is_finished());
        cache.set(Some("miss"));
        assert_eq!(
            (hit.await.ok().flatten(), miss.await.ok().flatten()),
            (Some("hit"), Some("miss"))
        );
    });
}

#[test]
fn task() {
    settled(async || {
        let mut task = spawn(after(Duration::from_millis(1)));
        assert_eq!((&mut task).await.expect("no panic"), Duration::from_millis(1));
        let mut again = Box::pin(task);
        let twice = catch_unwind(AssertUnwindSafe(|| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            again.as_mut().poll(&mut cx)
        }));
        let text = twice.expect_err("once").downcast::<&str>().expect("a text");
        assert_eq!(*text, "a JoinHandle was polled after it gave its result");
    });
}

#[test]
fn task_cancel() {
    settled(async || {
        let dropped = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&dropped));
        let task = spawn(async move {
            let _finally = flag;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(!dropped.get(), "not inside the call");
        assert!(task.await.expect_err("cancelled").is_cancelled() && dropped.get());
        let finished = spawn(async { 1 });
        yield_now().await;
        finished.abort();
        assert_eq!(finished.await.expect("it was too late"), 1);
    });
}

#[test]
fn task_cancelled() {
    panicking(async || {
        let (cancelled, panicked) =
            (spawn(pending::<()>()), spawn(async { resume_unwind(Box::new("not")) }));
        cancelled.abort();
        assert!(cancelled.await.expect_err("cancelled").is_cancelled());
        assert!(!panicked.await.map(|(): ()| ()).expect_err("panicked").is_cancelled());
    });
}

#[test]
fn task_done() {
    settled(async || {
        time::pause();
        let task = spawn(after(SECOND));
        assert!(!task.is_finished());
        after(SECOND / 2).await;
        assert!(!task.is_finished());
        after(SECOND).await;
        assert!(task.is_finished());
    });
}

#[test]
fn task_result() {
    settled(async || {
        let fine = spawn(async { Ok::<_, io::Error>(1) });
        let fails = spawn(async { Err::<u32, _>(io::Error::other("no")) });
        let sum = async { io::Result::Ok(fine.await?? + fails.await??) };
        assert_eq!(sum.await.expect_err("one failed").to_string(), "no");
    });
}

#[test]
fn task_exception() {
    panicking(async || {
        let task = spawn(async { resume_unwind(Box::new("what went wrong")) });
        let error = task.await.map(|(): ()| ()).expect_err("it panicked");
        assert_eq!(*error.into_panic().downcast::<&str>().expect("a text"), "what went wrong");
    });
}

#[test]
fn task_add_done_callback() {
    settled(async || {
        let called = Rc::new(Cell::new(0));
        let task = spawn(async { 5 });
        let callback = Rc::clone(&called);
        let callback = spawn(async move { callback.set(task.await.unwrap_or_default()) });
        callback.await.expect("no panic");
        assert_eq!(called.get(), 5);
    });
}

#[test]
fn task_get_name() {
    settled(async || {
        assert_eq!(task::name(), None);
        let unnamed = spawn(async { task::name() });
        assert_eq!(unnamed.await.expect("no panic"), None, "there are no names by default");
        let named = Builder::new().name("a").spawn(async {
            yield_now().await;
            task::name()
        });
        assert_eq!(named.await.expect("no panic").as_deref(), Some("a"));
    });
}

#[test]
fn current_task() {
    settled(async || {
        assert_eq!(task::try_id(), None, "the main future is none");
        let task = spawn(async { task::id() });
        let id = task.id();
        assert_eq!(task.await.expect("no panic"), id);
    });
}

#[test]
fn all_tasks() {
    settled(async || {
        let tasks: Vec<_> = (0..3).map(|_| spawn(yield_now())).collect();
        assert_eq!(metrics().live_tasks, 3);
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(metrics().live_tasks, 0);
    });
}

#[test]
fn cancelled_error() {
    settled(async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        struct Finally(&'static str, Rc<RefCell<Vec<&'static str>>>);
        impl Drop for Finally {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let theirs = Rc::clone(&log);
        let task = spawn(async move {
            let _outer = Finally("outer", Rc::clone(&theirs));
            let _inner = Finally("inner", Rc::clone(&theirs));
            pending::<()>().await;
            theirs.borrow_mut().push("never");
        });
        yield_now().await;
        task.abort();
        assert!(task.await.is_err());
        assert_eq!(*log.borrow(), ["inner", "outer"]);
    });
}

#[test]
fn sleep() {
    settled(async || {
        time::pause();
        let start = Instant::now();
        assert_eq!(after(SECOND * 3600).await, SECOND * 3600);
        assert_eq!(start.elapsed(), SECOND * 3600);
    });
}

#[test]
fn sleep_0() {
    settled(async || {
        let turns = Rc::new(Cell::new(0));
        let tasks = [(); 3].map(|()| {
            let turns = Rc::clone(&turns);
            spawn(async move {
                for turn in 0..5 {
                    assert_eq!(turns.get() / 3, turn, "one turn of every other task");
                    turns.set(turns.get() + 1);
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await.expect("they take turns");
        }
    });
}

// Waiting for several.

#[test]
fn task_group() {
    settled(async || {
        let outputs = task::task_group(async |group| {
            let one = group.spawn(async { Ok(1) });
            let two = group.spawn(async {
                yield_now().await;
                Ok(2)
            });
            Ok::<_, io::Error>((one.await?, two.await?))
        });
        assert_eq!(outputs.await.expect("no failure"), (1, 2));

        let cleaned = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&cleaned));
        let failed = task::task_group(async |group| {
            group.spawn::<_, ()>(async move {
                let _finally = flag;
                pending().await
            });
            group.spawn(async { Err::<(), _>("terminate") });
            pending::<Result<(), _>>().await
        });
        assert_eq!(failed.await.expect_err("a child failed").into_error(), "terminate");
        assert!(cleaned.get(), "the sibling is gone when the group returns");
    });
}

#[test]
fn task_group_create_task() {
    settled(async || {
        let group = task::task_group(async |group| {
            let child = group.spawn(async { Ok::<_, &str>(3) });
            assert_eq!(group.len(), 1);
            let grandchild = group.clone();
            group.spawn(async move {
                grandchild.spawn(async { Ok(()) });
                Ok(())
            });
            let cancelled = group.spawn::<_, ()>(pending());
            cancelled.abort();
            assert!(cancelled.await.is_err(), "which is no failure of the group");
            Ok((child.await, group.clone()))
        });
        let (child, ended) = group.await.expect("no failure");
        assert_eq!(child.expect("an output"), 3);
        let late = catch_unwind(AssertUnwindSafe(|| ended.spawn(async { Ok(()) })));
        assert!(late.is_err(), "the group has ended");
    });
}

#[test]
fn exception_group() {
    panicking(async || {
        let error = task::task_group(async |group| {
            group.spawn::<_, ()>(async { resume_unwind(Box::new("a bug")) });
            struct Late;
            impl Drop for Late {
                fn drop(&mut self) {
                    resume_unwind(Box::new("on the way out"));
                }
            }
            let late = Late;
            group.spawn::<_, ()>(async move {
                let _late = late;
                pending().await
            });
            pending::<Result<(), io::Error>>().await
        });
        let error: GroupError<io::Error> = error.await.expect_err("both failed");
        let (bugs, errors): (Vec<_>, Vec<_>) =
            error.into_failures().into_iter().partition(|f| matches!(f, Failure::Panic(_)));
        assert_eq!((bugs.len(), errors.len()), (2, 0), "as except* would split them");
    });
}

#[test]
fn gather() {
    settled(async || {
        time::pause();
        let in_order = task::try_gather([3, 1, 2].map(|n| async move {
            after(SECOND * n).await;
            Ok::<_, io::Error>(n)
        }));
        assert_eq!(in_order.await.expect("no failure"), [3, 1, 2]);
        let start = Instant::now();
        let fails = task::try_gather([1, 3600].map(|n| async move {
            after(SECOND * n).await;
            Err::<(), _>(n)
        }));
        assert_eq!(fails.await.expect_err("the first").into_error(), 1);
        assert_eq!(
            (start.elapsed(), metrics().live_tasks),
            (SECOND, 0),
            "asyncio leaves the others"
        );
    });
}

#[test]
fn gather_return_exceptions() {
    panicking(async || {
        let outcomes = task::gather([1, 2, 3].map(|n| async move {
            assert_ne!(n, 0);
            if n == 2 {
                resume_unwind(Box::new("two"));
            }
            n
        }));
        let outcomes = outcomes.await;
        assert!(matches!(outcomes[..], [Ok(1), Err(_), Ok(3)]), "{outcomes:?}");
    });
}

#[test]
fn wait() {
    settled(async || {
        time::pause();
        let mut pending: JoinSet<_> = [1, 2, 3].map(|n| after(SECOND * n)).into_iter().collect();
        let done = task::wait(&mut pending, None, Until::FirstCompleted).await;
        assert_eq!((done.len(), pending.len()), (1, 2));
        let soon = Instant::now() + SECOND / 2;
        let done = task::wait(&mut pending, Some(soon), Until::All).await;
        assert_eq!((done.len(), pending.len()), (0, 2), "a timeout is no error");
        pending.spawn(after(SECOND));
        let done = task::wait(&mut pending, None, Until::FirstFailed).await;
        assert_eq!((done.len(), pending.len()), (3, 0), "nothing failed");
        let mut fallible = JoinSet::new();
        fallible.spawn(async { Err::<(), _>("first exception") });
        fallible.spawn(std::future::pending());
        let done = task::try_wait(&mut fallible, None, Until::FirstFailed).await;
        assert_eq!((done.len(), fallible.len()), (1, 1));
        fallible.shutdown().await;
    });
}

#[test]
fn wait_for() {
    settled(async || {
        time::pause();
        assert_eq!(time::timeout(SECOND, after(SECOND / 2)).await, Ok(SECOND / 2));
        let cancelled = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&cancelled));
        let slow = async move {
            let _finally = flag;
            after(SECOND * 3600).await
        };
        let start = Instant::now();
        assert!(time::timeout(SECOND, slow).await.is_err());
        assert!(cancelled.get() && start.elapsed() == SECOND);
    });
}

#[test]
fn as_completed() {
    settled(async || {
        time::pause();
        let mut tasks = task::as_completed([3, 1, 2].map(|n| after(SECOND * n)));
        let mut order = Vec::new();
        while let Some((index, outcome)) = tasks.next().await {
            order.push((index, outcome.expect("no panic").as_secs()));
        }
        assert_eq!(order, [(1, 1), (2, 2), (0, 3)]);
    });
}

#[test]
fn shield() {
    settled(async || {
        time::pause();
        let saved = Rc::new(Cell::new(false));
        let flag = Flag(Rc::clone(&saved));
        let request = spawn(async move {
            let save = task::shield(async move {
                after(SECOND).await;
                drop(flag);
            });
            save.await
        });
        yield_now().await;
        request.abort();
        assert!(request.await.expect_err("cancelled").is_cancelled());
        assert!(!saved.get());
        after(SECOND * 2).await;
        assert!(saved.get());
    });
}

#[test]
fn timeout() {
    settled(async || {
        time::pause();
        let in_time = time::timeout_scope(SECOND, async |_| after(SECOND / 2).await);
        assert_eq!(in_time.await, Ok(SECOND / 2));
        let inner = time::timeout_scope(SECOND * 10, async |_| {
            time::timeout_scope(SECOND, async |_| after(SECOND * 5).await).await
        });
        assert!(matches!(inner.await, Ok(Err(_))), "timeouts nest");
    });
}

#[test]
fn timeout_at() {
    settled(async || {
        time::pause();
        let deadline = Instant::now() + SECOND;
        let late = time::timeout_scope_at(Some(deadline), async |_| after(SECOND * 2).await);
        assert!(late.await.is_err() && Instant::now() == deadline);
        let never = time::timeout_scope_at(None, async |_| after(SECOND * 2).await);
        assert!(never.await.is_ok());
    });
}

#[test]
fn timeout_reschedule() {
    settled(async || {
        time::pause();
        let start = Instant::now();
        let outcome = time::timeout_scope_at(None, async |scope| {
            after(SECOND).await;
            scope.reschedule(Some(Instant::now() + SECOND * 10));
            pending::<()>().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), SECOND * 11);
    });
}

#[test]
fn timeout_when() {
    settled(async || {
        time::pause();
        let when = Instant::now() + SECOND;
        let outcome = time::timeout_scope(SECOND, async |scope| {
            let before = scope.deadline();
            scope.reschedule(None);
            (before, scope.deadline())
        });
        assert_eq!(outcome.await, Ok((Some(when), None)));
    });
}

#[test]
fn timeout_expired() {
    settled(async || {
        time::pause();
        let expired = time::timeout_scope(SECOND, async |_| pending::<()>().await);
        let other_error = time::timeout_scope(SECOND, async |_| Err::<(), _>("the body's"));
        assert!(expired.await.is_err());
        assert_eq!(other_error.await, Ok(Err("the body's")), "which is not taken for a timeout");
    });
}

#[test]
fn timeout_error() {
    settled(async || {
        let error: Elapsed =
            time::timeout(Duration::ZERO, pending::<()>()).await.expect_err("it never ends");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    });
}

// Threads.

#[test]
fn to_thread() {
    settled(async || {
        // def blocking_io(): time.sleep(..), with the loop free meanwhile.
        let blocking = spawn_blocking(|| {
            std::thread::sleep(Duration::from_millis(2));
            "complete"
        });
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let other = spawn(async move {
            for _ in 0..10 {
                yield_now().await;
                counted.set(counted.get() + 1);
            }
        });
        assert_eq!(blocking.await.expect("no panic"), "complete");
        other.await.expect("no panic");
        assert_eq!(turns.get(), 10);
    });
}

#[test]
fn loop_run_in_executor() {
    let _leaks = LeakGuard::new();
    let executor = Pool::builder().name("executor").threads_max(1).build();
    settled(async || {
        let name = || std::thread::current().name().map(str::to_owned);
        let ran_by = executor.spawn(name).await.expect("no panic");
        assert_eq!(ran_by.as_deref(), Some("executor-0"));
        // None: the default executor.
        let ran_by = spawn_blocking(name).await.expect("no panic");
        assert_eq!(ran_by.as_deref(), Some("annulus-pool-0"));
    });
    assert_eq!(executor.shutdown(PATIENCE), Ok(()));
}

#[test]
fn loop_set_default_executor() {
    let executor = Pool::builder().name("default").build();
    run_with(annulus::Builder::new().blocking_pool(&executor), async || {
        let name = spawn_blocking(|| std::thread::current().name().map(str::to_owned));
        assert_eq!(name.await.expect("no panic").as_deref(), Some("default-0"));
    });
}

#[test]
fn loop_getaddrinfo() {
    settled(async || {
        let numeric = net::lookup_host("127.0.0.1:80").await.expect("an address");
        assert_eq!(numeric.collect::<Vec<_>>(), ["127.0.0.1:80".parse().expect("a literal")]);
        // Too long for the question to be asked.
        let name = "x".repeat(300);
        let gaierror = net::lookup_host((name.as_str(), 80)).await.map(drop);
        assert!(gaierror.is_err_and(|error| error.to_string().contains(&name)));
    });
}

#[test]
fn loop_shutdown_default_executor() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime.block_on(async {
        drop(spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(2));
            sender.send("done")
        }));
        while metrics().blocking.running == 0 && metrics().blocking.queued > 0 {
            time::sleep(Duration::from_micros(100)).await;
        }
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert_eq!(receiver.try_recv(), Ok("done"));
}

// Context.

#[test]
fn contextvars_context_var() {
    settled(async || {
        let handler = || async {
            yield_now().await;
            VARIABLE.get() * 10
        };
        let clients = [1, 2].map(|client| spawn(VARIABLE.scope(client, handler())));
        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.expect("no panic"));
        }
        assert_eq!(answers, [10, 20], "each task its own");
    });
}

#[test]
fn context_var_get() {
    settled(async || {
        assert!(VARIABLE.try_get().is_err(), "a LookupError");
        assert_eq!(VARIABLE.try_get().unwrap_or(7), 7, "with a default");
        assert_eq!(VARIABLE.scope(3, async { VARIABLE.get() }).await, 3);
    });
}

#[test]
fn context_var_set() {
    settled(async || {
        let values = VARIABLE.scope(1, async {
            let inner = VARIABLE.scope(2, async { VARIABLE.get() }).await;
            (inner, VARIABLE.get())
        });
        assert_eq!(values.await, (2, 1));
        let changed = CELL.scope(Cell::new(1), async {
            CELL.with(|cell| cell.set(5));
            CELL.with(Cell::get)
        });
        assert_eq!(changed.await, 5);
    });
}

#[test]
fn context_var_reset() {
    settled(async || {
        assert_eq!(VARIABLE.scope(1, async { VARIABLE.get() }).await, 1);
        assert!(VARIABLE.try_get().is_err());
    });
}

#[test]
fn copy_context() {
    settled(async || {
        let seen = CELL.scope(Cell::new(1), async {
            let child = spawn(async {
                yield_now().await;
                CELL.with(|cell| cell.replace(9))
            });
            CELL.with(|cell| cell.set(2));
            let child = child.await.expect("no panic");
            (child, CELL.with(Cell::get))
        });
        assert_eq!(seen.await, (2, 9), "the value itself, where asyncio would say (1, 2)");
    });
}

#[test]
fn context_run() {
    settled(async || {
        let child = VARIABLE.sync_scope(4, || [spawn(async { VARIABLE.get() })]);
        let [child] = child;
        assert_eq!(child.await.expect("no panic"), 4);
        assert!(VARIABLE.try_get().is_err());
    });
}

// Locks.

#[test]
fn lock() {
    settled(async || {
        let lock = Rc::new(Mutex::new(0));
        let tasks = [(); 3].map(|()| {
            let lock = Rc::clone(&lock);
            spawn(async move {
                let mut value = lock.lock().await;
                let seen = *value;
                yield_now().await;
                *value = seen + 1;
            })
        });
        for task in tasks {
            task.await.expect("no panic");
        }
        let held = lock.lock().await;
        assert_eq!(*held, 3, "nobody came between");
        let waits = Rc::clone(&lock);
        let cancelled = spawn(async move { *waits.lock().await = 100 });
        yield_now().await;
        cancelled.abort();
        drop(held);
        assert!(cancelled.await.expect_err("it waited").is_cancelled());
        assert_eq!(*lock.try_lock().expect("who was cancelled holds nothing"), 3);
    });
}

#[test]
fn event() {
    settled(async || {
        let event = Rc::new(Event::new());
        let waiters = [(); 3].map(|()| {
            let event = Rc::clone(&event);
            spawn(async move { event.wait().await })
        });
        yield_now().await;
        assert!(!event.is_set() && waiters.iter().all(|waiter| !waiter.is_finished()));
        event.set();
        for waiter in waiters {
            waiter.await.expect("no panic");
        }
        event.wait().await;
        event.clear();
        assert!(time::timeout(Duration::ZERO, event.wait()).await.is_err());
    });
}

#[test]
fn condition() {
    settled(async || {
        let shared = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
        let consumers = [(); 2].map(|()| {
            let shared = Rc::clone(&shared);
            spawn(async move {
                let (items, available) = &*shared;
                let guard = items.lock().await;
                available.wait_for(guard, |items| !items.is_empty()).await.pop()
            })
        });
        yield_now().await;
        let (items, available) = &*shared;
        items.lock().await.extend(["one", "two"]);
        available.notify(2);
        let mut taken = Vec::new();
        for consumer in consumers {
            taken.extend(consumer.await.expect("no panic"));
        }
        assert_eq!(taken, ["two", "one"]);
    });
}

#[test]
fn semaphore() {
    settled(async || {
        let semaphore = Rc::new(Semaphore::new(2));
        let (active, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let work = || {
            let (semaphore, active, most) =
                (Rc::clone(&semaphore), Rc::clone(&active), Rc::clone(&most));
            async move {
                let _permit = semaphore.acquire().await.expect("it is open");
                active.set(active.get() + 1);
                most.set(most.get().max(active.get()));
                yield_now().await;
                active.set(active.get() - 1);
            }
        };
        task::gather((0..6).map(|_| work())).await;
        assert_eq!((most.get(), semaphore.available_permits()), (2, 2));
    });
}

#[test]
fn bounded_semaphore() {
    settled(async || {
        let semaphore = Semaphore::bounded(1);
        drop(semaphore.acquire().await.expect("it is open"));
        assert!(semaphore.try_add_permits(1).is_err(), "a ValueError: released too often");
        let text = catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(1)));
        assert!(text.is_err(), "or a panic, where the mistake is not expected");
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn barrier() {
    settled(async || {
        let barrier = Rc::new(Barrier::new(3));
        let pass = || {
            let barrier = Rc::clone(&barrier);
            spawn(async move { barrier.wait().await.map(|passed| passed.index()) })
        };
        let first = [pass(), pass()];
        yield_now().await;
        assert_eq!((barrier.n_waiting(), barrier.parties()), (2, 3));
        let last = barrier.wait().await.expect("not broken");
        assert!(last.is_leader());
        let mut indices = vec![last.index()];
        for task in first {
            indices.push(task.await.expect("no panic").expect("not broken"));
        }
        indices.sort_unstable();
        assert_eq!((indices, barrier.n_waiting()), (vec![0, 1, 2], 0));
    });
}

#[test]
fn broken_barrier_error() {
    settled(async || {
        let barrier = Rc::new(Barrier::new(2));
        let waits = Rc::clone(&barrier);
        let waits = spawn(async move { waits.wait().await });
        yield_now().await;
        barrier.abort();
        let error: BrokenBarrierError = waits.await.expect("no panic").expect_err("it is broken");
        assert!(barrier.is_broken() && !error.to_string().is_empty());
        barrier.reset();
        assert!(!barrier.is_broken());
    });
}

// Futures and queues.

#[test]
fn future() {
    settled(async || {
        let (sets_result, future) = oneshot::channel();
        let waits = spawn(future);
        yield_now().await;
        assert!(!waits.is_finished());
        sets_result.send(7).expect("somebody waits");
        assert_eq!(waits.await.expect("no panic"), Ok(7));
        let (dropped, future) = oneshot::channel::<u32>();
        drop(dropped);
        assert!(future.await.is_err(), "cancelled");
        let (sets_result, cancelled) = oneshot::channel();
        drop(cancelled);
        assert!(sets_result.is_closed() && sets_result.send(1) == Err(1), "an InvalidStateError");
    });
}

#[test]
fn queue() {
    settled(async || {
        let queue = Rc::new(Queue::bounded(2));
        let puts = Rc::clone(&queue);
        let producer = spawn(async move {
            for item in 0..5 {
                puts.put(item).await.expect("open");
            }
        });
        while !queue.is_full() {
            yield_now().await;
        }
        assert_eq!((queue.len(), queue.max_size(), producer.is_finished()), (2, Some(2), false));
        let mut items = Vec::new();
        for _ in 0..5 {
            items.push(queue.get().await.expect("open"));
        }
        producer.await.expect("no panic");
        assert_eq!((items, queue.is_empty()), (vec![0, 1, 2, 3, 4], true));
        assert!(time::timeout(Duration::ZERO, queue.get()).await.is_err());
        queue.try_put(9).expect("room");
        assert_eq!(queue.try_get(), Ok(9), "who gave up took nothing with it");
    });
}

#[test]
fn queue_join() {
    settled(async || {
        let queue = Rc::new(Queue::new());
        (0..6).for_each(|item| queue.try_put(item).expect("room"));
        let done = Rc::new(Cell::new(0));
        let workers = [(); 3].map(|()| {
            let (queue, done) = (Rc::clone(&queue), Rc::clone(&done));
            spawn(async move {
                while let Ok(_item) = queue.get().await {
                    yield_now().await;
                    done.set(done.get() + 1);
                    queue.task_done();
                }
            })
        });
        queue.join().await;
        assert_eq!((done.get(), queue.unfinished()), (6, 0));
        for worker in workers {
            worker.abort(); // as asyncio's example does
            assert!(worker.await.expect_err("aborted").is_cancelled());
        }
        let too_often = catch_unwind(AssertUnwindSafe(|| queue.task_done()));
        assert!(too_often.is_err(), "a ValueError");
    });
}

#[test]
fn queue_shutdown() {
    settled(async || {
        let queue = Rc::new(Queue::new());
        let waits = Rc::clone(&queue);
        let waits = spawn(async move { (waits.get().await, waits.get().await.is_err()) });
        yield_now().await;
        queue.put("last").await.expect("open");
        queue.shutdown(false);
        assert!(queue.put("late").await.is_err());
        assert_eq!(waits.await.expect("no panic"), (Ok("last"), true));
        let at_once = Queue::new();
        at_once.try_put(1).expect("room");
        at_once.shutdown(true);
        assert!(at_once.get().await.is_err() && at_once.unfinished() == 0);
        at_once.join().await;
    });
}

#[test]
fn priority_queue() {
    settled(async || {
        let queue = PriorityQueue::new();
        for entry in [(2, "b"), (1, "a"), (3, "c")] {
            queue.put(entry).await.expect("open");
        }
        let order = [(); 3].map(|()| queue.try_get().expect("three").1);
        assert_eq!(order, ["a", "b", "c"]);
    });
}

#[test]
fn lifo_queue() {
    settled(async || {
        let queue = LifoQueue::new();
        for item in 1..=3 {
            queue.put(item).await.expect("open");
        }
        assert_eq!([(); 3].map(|()| queue.try_get()), [Ok(3), Ok(2), Ok(1)]);
    });
}

#[test]
fn queue_empty() {
    assert!(matches!(Queue::<()>::new().try_get(), Err(TryGetError::Empty)));
}

#[test]
fn queue_full() {
    let queue = Queue::bounded(1);
    queue.try_put("first").expect("room");
    assert!(matches!(queue.try_put("second"), Err(TryPutError::Full("second"))));
}

#[test]
fn queue_shut_down() {
    settled(async || {
        let queue = Queue::new();
        queue.shutdown(false);
        assert!(matches!(queue.put("lost?").await, Err(PutError("lost?"))));
        assert!(queue.get().await.is_err());
        assert!(matches!(queue.try_get(), Err(TryGetError::ShutDown)));
        assert!(matches!(queue.try_put("no"), Err(TryPutError::ShutDown("no"))));
    });
}
