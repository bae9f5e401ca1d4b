//! Tasks through the public door: panics everywhere, handles in every state, wakers on every thread, hogs.

use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::until;
use annulus::Runtime;
use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::{Stall, metrics};
use annulus::task::{AbortHandle, JoinError, JoinHandle, consume_budget, yield_now};
use annulus::time::{sleep, timeout};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

fn runtime() -> Runtime {
    Runtime::builder()
        .ring_entries(64, 256)
        .small_buffers(4096, 32)
        .large_buffers(65536, 4)
        .build()
        .expect("this machine has io_uring")
}

/// Runs `f` when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Polls once, outside any task.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A value that must be dropped once, on the thread where it was made.
struct Homebound {
    born: ThreadId,
    drops: Arc<AtomicUsize>,
    _not_send: Rc<()>,
}

impl Homebound {
    fn new(drops: &Arc<AtomicUsize>) -> Self {
        let (born, drops) = (thread::current().id(), Arc::clone(drops));
        Self { born, drops, _not_send: Rc::default() }
    }
}

impl Drop for Homebound {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.born, thread::current().id(), "dropped away from home");
    }
}

async fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

fn message(error: JoinError) -> String {
    match error.into_panic().downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => *payload.downcast::<String>().expect("a text"),
    }
}

/// A task that panics holding an operation in each of its states; the core and the stream go on.
#[test]
fn a_panic_is_the_task_s_own() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    runtime.block_on(async {
        for state in ["not polled", "staged", "in the kernel", "done"] {
            let (client, server) = connection().await.expect("a connection");
            let server = Rc::new(server);
            let theirs = Rc::clone(&server);
            let mut steps = 0;
            let task = annulus::spawn(async move {
                let mut receive = pin!(theirs.recv());
                poll_fn(move |cx| -> Poll<()> {
                    let panics = match state {
                        "not polled" => true,
                        "staged" => receive.as_mut().poll(cx).is_pending(),
                        "in the kernel" => receive.as_mut().poll(cx).is_pending() && steps == 1,
                        _ => steps == 1,
                    };
                    assert!(!panics, "panicked when {state}");
                    if steps == 0 && state != "not polled" {
                        assert!(receive.as_mut().poll(cx).is_pending());
                    }
                    steps += 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            });
            client.write_all(b"still here").await.expect("sent");
            let error = task.await.expect_err("it panicked");
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(message(error), format!("panicked when {state}"));
            let chunk = server.recv().await.expect("no error").expect("not the end");
            assert_eq!(&*chunk, b"still here", "{state}: nothing was lost");
        }
    });
    assert_eq!((runtime.metrics().live_tasks, runtime.metrics().stray_completions), (0, 0));
}

/// Destructors and wakers that panic, one at a time, are isolated and counted.
#[test]
fn a_panic_in_a_drop_or_a_waker_stops_nobody() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let caught = |runtime: &Runtime| runtime.metrics().caught_panics;
    runtime.block_on(async {
        let guard = OnDrop(|| panic!("in the drop of a future"));
        let aborted = annulus::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        aborted.abort();
        assert!(message(aborted.await.expect_err("it panicked")).contains("drop of a future"));
        drop(annulus::spawn(async { OnDrop(|| panic!("in the drop of an output")) }));
    });
    let mut future = spawn_on(&runtime, async {});
    let before = caught(&runtime);
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&bomb)).is_pending());
    runtime.block_on(async {
        let mut timer = Box::pin(sleep(Duration::from_millis(1)));
        assert!(timer.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
        let (client, server) = connection().await.expect("a connection");
        let mut receive = Box::pin(server.recv());
        assert!(receive.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
        client.write_all(b"x").await.expect("sent");
        until(|| metrics().caught_panics - before == 4).await;
        assert!(receive.await.expect("received").is_some());
        timer.await;
    });
    assert!(matches!(poll_once(&mut future), Poll::Ready(Ok(()))));
    assert_eq!(caught(&runtime) - before, 4, "of the output, the handle, the timer and the read");
}

#[test]
fn a_panic_while_panicking_aborts_with_a_clear_line() {
    let Some(output) = in_child!(|| {
        let _ = annulus::run(async {
            drop(annulus::spawn(async {
                let _second = OnDrop(|| panic!("the second panic"));
                panic!("the first panic");
            }));
            sleep(Duration::from_secs(60)).await;
            Ok::<_, io::Error>(())
        });
    }) else {
        return;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
    for line in ["the first panic", "the second panic", "panic in a destructor during cleanup"] {
        assert!(stderr.contains(line), "{line}: {stderr}");
    }
}

#[test]
fn a_panic_of_the_main_future_unwinds_after_an_orderly_shutdown() {
    let _leaks = LeakGuard::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&drops);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        annulus::run(async move {
            let (_client, server) = connection().await?;
            for _ in 0..10 {
                let canary = Homebound::new(&counted);
                drop(annulus::spawn(async move {
                    let _canary = canary;
                    pending::<()>().await;
                }));
            }
            drop(annulus::spawn(async move { server.recv().await.map(drop) }));
            let bomb = OnDrop(|| panic!("while it is dropped in the shutdown"));
            drop(annulus::spawn(async move {
                let _bomb = bomb;
                pending::<()>().await;
            }));
            sleep(Duration::from_millis(1)).await;
            panic!("the main future");
            #[expect(unreachable_code, reason = "names the type of the error")]
            Ok::<(), io::Error>(())
        })
    }));
    let payload = panicked.expect_err("it unwinds");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the main future"));
    assert_eq!(drops.load(Ordering::SeqCst), 10);
    annulus::run(async { Ok::<_, io::Error>(()) }).expect("the thread can run another");
}

/// The runtime lies in a thread local: it ends among the destructors of the thread.
#[test]
fn a_runtime_ends_with_its_thread() {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
        static HANDLE: RefCell<Option<JoinHandle<()>>> = const { RefCell::new(None) };
    }
    let Some(output) = in_child!(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        for handle_first in [false, true] {
            let counted = Arc::clone(&drops);
            let ended = thread::spawn(move || {
                if handle_first {
                    HANDLE.set(None);
                }
                RUNTIME.set(Some(runtime()));
                RUNTIME.with_borrow(|runtime| {
                    runtime.as_ref().expect("just made").block_on(async {
                        let canary = Homebound::new(&counted);
                        let (client, server) = connection().await.expect("a connection");
                        HANDLE.set(Some(annulus::spawn(async move {
                            let _held = (canary, client);
                            let _ = server.recv().await;
                        })));
                        sleep(Duration::from_millis(1)).await;
                    });
                });
            });
            ended.join().expect("no panic");
        }
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    }) else {
        return;
    };
    assert_passed(&output);
}

/// Uses a waker in every way until told to stop.
fn hammer(waker: Waker, stop: &AtomicBool) {
    let mut kept = Vec::new();
    for round in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match round % 7 {
            0 | 3 => waker.wake_by_ref(),
            1 => kept.push(waker.clone()),
            2 => kept.extend([waker.clone(), waker.clone()]),
            4 => drop(waker.clone()),
            5 => kept.pop().into_iter().for_each(Waker::wake),
            _ if kept.len() > 100 => kept.clear(),
            _ => {}
        }
    }
}

#[test]
fn wakers_are_right_on_eight_threads_during_and_after_the_runtime() {
    let _leaks = LeakGuard::new();
    for round in 0..4 {
        let (stop, drops) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let runtime = runtime();
        let threads = runtime.block_on(async {
            let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
            for task in 0..8 {
                let (wakers, canary) = (Rc::clone(&wakers), Homebound::new(&drops));
                let mut polls = 0_u32;
                drop(annulus::spawn(poll_fn(move |cx| {
                    let _canary = &canary;
                    polls += 1;
                    if polls == 1 {
                        wakers.borrow_mut().push(cx.waker().clone());
                    }
                    // Half of them end under fire.
                    if task % 2 == 0 && polls > 100 { Poll::Ready(()) } else { Poll::Pending }
                })));
            }
            yield_now().await;
            let threads: Vec<_> = wakers
                .take()
                .into_iter()
                .map(|waker| {
                    let stop = Arc::clone(&stop);
                    thread::spawn(move || hammer(waker, &stop))
                })
                .collect();
            sleep(Duration::from_millis(30)).await;
            threads
        });
        let tasks = runtime.metrics().live_tasks;
        assert!((4..=8).contains(&tasks), "{tasks} in round {round}");
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 8);
        thread::sleep(Duration::from_millis(5));
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no panic");
        }
    }
}

/// A foreign thread wakes a sleeping core each time; a wake-up that is lost hangs, and the timeout says so.
#[test]
fn no_wake_from_another_thread_is_lost() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let (sender, receiver) = mpsc::channel::<(Waker, Arc<AtomicBool>)>();
    let ringer = thread::spawn(move || {
        for (waker, flag) in receiver {
            flag.store(true, Ordering::Relaxed);
            waker.wake();
        }
    });
    runtime.block_on(async move {
        for round in 0..5_000 {
            let flag = Arc::new(AtomicBool::new(false));
            let mut sent = false;
            let rung = poll_fn(|cx| {
                if !std::mem::replace(&mut sent, true) {
                    let message = (cx.waker().clone(), Arc::clone(&flag));
                    sender.send(message).expect("the ringer lives");
                }
                if flag.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            });
            let rung = timeout(Duration::from_secs(10), rung).await;
            assert!(rung.is_ok(), "round {round}: the wake-up was lost");
        }
    });
    ringer.join().expect("no panic");
}

#[test]
fn a_task_has_a_hundred_thousand_wakers() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let inside = Rc::clone(&wakers);
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let task = spawn_on(&runtime, async move {
        poll_fn(|cx| {
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                inside.replace(vec![cx.waker().clone(); 100_000]);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    });
    runtime.block_on(yield_now());
    let mut wakers = wakers.take();
    assert_eq!(wakers.len(), 100_000);
    let abroad = wakers.split_off(50_000);
    let woken = thread::spawn(move || abroad.into_iter().for_each(Waker::wake));
    wakers.into_iter().for_each(Waker::wake);
    woken.join().expect("no panic");
    runtime.block_on(task).expect("it ended");
    assert_eq!(polls.get(), 2, "many wakes before a poll are one");
}

fn spawn_on<F: Future + 'static>(runtime: &Runtime, future: F) -> JoinHandle<F::Output> {
    let mut future = Some(future);
    let spawned = poll_fn(move |_| Poll::Ready(future.take().map(annulus::spawn)));
    runtime.block_on(spawned).expect("polled once")
}

/// What becomes of a handle; `Abroad` aborts on another thread and waits for that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Dropped,
    Awaited,
    Aborted,
    AbortedAbroad,
    Outlives,
}

const FATES: [Fate; 5] =
    [Fate::Dropped, Fate::Awaited, Fate::Aborted, Fate::AbortedAbroad, Fate::Outlives];
const ENDS: [&str; 3] = ["returns", "panics", "waits"];
const WHENS: [&str; 3] = ["before its first poll", "during its poll", "after it"];

/// Each fate of a handle, for each end of its task, at each moment of its life: every value is dropped once, at home.
#[test]
fn every_handle_tells_the_truth() {
    let _leaks = LeakGuard::new();
    for fate in FATES {
        for end in ENDS {
            for when in WHENS {
                one_handle(fate, end, when);
            }
        }
    }
}

type Slot = Rc<RefCell<Option<JoinHandle<Homebound>>>>;

fn apply(fate: Fate, slot: &Slot) {
    match fate {
        Fate::Dropped => drop(slot.take()),
        Fate::Aborted => slot.borrow().as_ref().expect("a handle").abort(),
        Fate::AbortedAbroad => {
            let handle: AbortHandle = slot.borrow().as_ref().expect("a handle").abort_handle();
            thread::spawn(move || handle.abort()).join().expect("no panic");
        }
        Fate::Awaited | Fate::Outlives => {}
    }
}

fn one_handle(fate: Fate, end: &'static str, when: &'static str) {
    let case = format!("{fate:?} {when}, and the task {end}");
    let (future_drops, output_drops) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let (runtime, slot) = (runtime(), Slot::default());
    let outcome = runtime.block_on(async {
        let (canary, output) = (Homebound::new(&future_drops), Homebound::new(&output_drops));
        let inside = Rc::clone(&slot);
        slot.replace(Some(annulus::spawn(async move {
            let _canary = canary;
            if when == "during its poll" {
                apply(fate, &inside);
            }
            match end {
                "returns" => output,
                "panics" => panic!("as told"),
                _ => pending().await,
            }
        })));
        if when == "before its first poll" {
            apply(fate, &slot);
        }
        yield_now().await;
        sleep(Duration::ZERO).await;
        if when == "after it" {
            apply(fate, &slot);
        }
        let handle = slot.take()?;
        if fate == Fate::Outlives || (fate == Fate::Awaited && end == "waits") {
            slot.replace(Some(handle));
            return None;
        }
        Some(handle.await)
    });
    drop(runtime);
    let outlived = slot.take().map(|mut handle| {
        assert!(handle.is_finished(), "{case}");
        handle.abort();
        match poll_once(&mut handle) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("{case}: nobody will ever finish it"),
        }
    });
    let aborted = matches!(fate, Fate::Aborted | Fate::AbortedAbroad);
    let early = aborted && when == "before its first poll";
    // An abort from another thread may come after the first poll.
    let unpolled = early && fate != Fate::AbortedAbroad;
    match outcome.or(outlived) {
        None => assert_eq!(fate, Fate::Dropped, "{case}"),
        Some(Ok(_)) => assert!(end == "returns" && !unpolled, "{case}"),
        Some(Err(error)) if error.is_panic() => {
            assert!(end == "panics" && !unpolled, "{case}");
        }
        Some(Err(_)) => assert!(early || end == "waits", "{case}"),
    }
    let drops = [&future_drops, &output_drops].map(|drops| drops.load(Ordering::SeqCst));
    assert_eq!(drops, [1, 1], "{case}");
}

#[test]
fn a_runtime_inside_a_runtime_is_refused_with_the_cure() {
    let _leaks = LeakGuard::new();
    let outer = runtime();
    let inner = runtime();
    let text = outer.block_on(async {
        let error = annulus::run(async { Ok::<_, io::Error>(()) }).expect_err("nested");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let panicked = catch_unwind(AssertUnwindSafe(|| inner.block_on(async {})));
        let payload = panicked.expect_err("nested");
        assert!(payload.downcast_ref::<String>().is_some_and(|text| text.contains("await")));
        error.to_string()
    });
    assert!(text.contains("await the future there"), "{text}");
    inner.block_on(async {});
}

#[test]
fn block_on_in_a_drop_is_refused_and_contained() {
    let _leaks = LeakGuard::new();
    let (outer, inner) = (runtime(), Rc::new(runtime()));
    let tried = Rc::clone(&inner);
    let guard = OnDrop(move || tried.block_on(async {}));
    let mut task = spawn_on(&outer, async move {
        let _guard = guard;
        pending::<()>().await;
    });
    outer.block_on(yield_now());
    drop(outer);
    let Poll::Ready(Err(error)) = poll_once(&mut task) else { panic!("its runtime is over") };
    assert!(message(error).contains("await the future there"));
    inner.block_on(async {});
}

/// The task of one runtime drops another, whose tasks wake the first's in their destructors.
#[test]
fn a_runtime_may_be_dropped_inside_a_task_of_another() {
    let _leaks = LeakGuard::new();
    let (outer, inner) = (runtime(), runtime());
    let woken = Rc::new(Cell::new(false));
    let drops = Arc::new(AtomicUsize::new(0));
    let (seen, counted) = (Rc::clone(&woken), Arc::clone(&drops));
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let waker = Rc::clone(&slot);
    let guard = OnDrop(move || {
        seen.set(true);
        slot.take().expect("the outer task waits").wake();
        let canary = Homebound::new(&counted);
        let mut late = annulus::spawn(async move { drop(canary) });
        assert!(matches!(poll_once(&mut late), Poll::Ready(Err(error)) if error.is_cancelled()));
    });
    drop(spawn_on(&inner, async move {
        let _guard = guard;
        let (_client, server) = connection().await.expect("a connection");
        let _ = server.recv().await;
    }));
    inner.block_on(async { sleep(Duration::from_millis(1)).await });
    outer.block_on(async move {
        let waits = annulus::spawn(poll_fn(move |cx| {
            if woken.get() {
                return Poll::Ready(());
            }
            waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        }));
        yield_now().await;
        annulus::spawn(async move { drop(inner) }).await.expect("dropped");
        timeout(Duration::from_secs(10), waits).await.expect("woken").expect("no panic");
        sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(outer.metrics().live_tasks, 0);
}

/// While tasks wake themselves, are always ready, and spawn without end, a small echo is served in time.
#[test]
fn hogs_that_give_way_do_not_keep_others_from_the_kernel() {
    let _leaks = LeakGuard::new();
    let runtime = runtime();
    runtime.block_on(async {
        let hogs = [
            annulus::spawn(async {
                loop {
                    yield_now().await;
                }
            }),
            annulus::spawn(async {
                loop {
                    consume_budget().await;
                }
            }),
            annulus::spawn(async {
                loop {
                    for _ in 0..100 {
                        drop(annulus::spawn(async {}));
                    }
                    yield_now().await;
                }
            }),
        ];
        let (client, server) = connection().await.expect("a connection");
        let echo = annulus::spawn(async move {
            while let Some(chunk) = server.recv().await? {
                server.send_all(chunk).await?;
            }
            Ok::<_, io::Error>(())
        });
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            client.write_all(b"ping").await.expect("sent");
            client.read_exact(&mut [0; 4]).await.expect("echoed");
            times.push(start.elapsed());
        }
        times.sort_unstable();
        assert!(times[197] < Duration::from_secs(5), "p99 is {:?}", times[197]);
        drop(client);
        echo.await.expect("no panic").expect("no error");
        for hog in hogs {
            hog.abort();
            assert!(hog.await.expect_err("it never ends").is_cancelled());
        }
    });
}

/// The polls of a runtime that lasted longer than the limit, by whose they were.
fn stalls<F: Future>(limit: Duration, body: F) -> Vec<Stall> {
    let _leaks = LeakGuard::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let hook = move |stall| log.borrow_mut().push(stall);
    let runtime = Runtime::builder().on_stall(limit, hook).build();
    let runtime = runtime.expect("this machine has io_uring");
    runtime.block_on(body);
    drop(runtime);
    seen.take()
}

const LONG: Duration = Duration::from_millis(30);

#[test]
fn a_hog_is_named_by_the_report_of_its_stall() {
    let mut ids = Vec::new();
    let seen = stalls(LONG / 2, async {
        let hog = annulus::task::Builder::new().name("hog").spawn(async {
            yield_now().await;
            thread::sleep(LONG);
            yield_now().await;
            thread::sleep(LONG);
        });
        let nameless = annulus::spawn(async { thread::sleep(LONG) });
        ids.extend([hog.id(), nameless.id()]);
        thread::sleep(LONG);
        hog.await.expect("it ends");
        nameless.await.expect("it ends");
    });
    // On a busy machine other polls may last long, too.
    let of = |task| seen.iter().filter(move |stall| stall.task() == task);
    assert!(of(Some(ids[0])).filter(|stall| stall.name() == Some("hog")).count() >= 2, "{seen:?}");
    assert!(of(Some(ids[1])).any(|stall| stall.name().is_none()), "{seen:?}");
    assert!(
        of(None).any(|stall| stall.to_string().starts_with("the main future kept")),
        "{seen:?}"
    );
    let text = of(Some(ids[0])).next_back().expect("it was seen").to_string();
    assert!(text.starts_with(&format!("task {} (hog) kept its core for ", ids[0])), "{text}");
    assert!(seen.iter().all(|stall| stall.lasted() > LONG / 2), "{seen:?}");
}

#[test]
fn short_polls_are_no_stall_and_a_hook_that_panics_stops_nobody() {
    let seen = stalls(Duration::MAX, async {
        for _ in 0..100 {
            annulus::spawn(yield_now()).await.expect("it ends");
        }
    });
    assert!(seen.is_empty(), "{seen:?}");
    let runtime =
        Runtime::builder().on_stall(Duration::ZERO, |_| std::panic::resume_unwind(Box::new(())));
    let runtime = runtime.build().expect("this machine has io_uring");
    let sum = runtime.block_on(async { annulus::spawn(async { 6 }).await.expect("it ends") + 1 });
    assert_eq!(sum, 7);
    assert!(runtime.metrics().caught_panics > 0);
}
