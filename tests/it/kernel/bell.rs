//! How another thread ends a core's sleep: a message to its ring, or POLL_ADD of an eventfd.

use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use annulus::mesh::{Cores, Mesh, shard};
use annulus::runtime::{Feature, metrics};
use annulus::{Builder, Runtime};

use crate::support::bell::{both_bells, by_message};
use crate::support::filter::{Calls, Question, ask_for};
use crate::support::leak::LeakGuard;
use crate::support::settled::{
    PATIENCE, rounds, run_with, settle, turn, until, without_switched_off,
};
use crate::support::skip::skip;
use crate::support::thread::{this_thread, wait_until_asleep};

#[test]
fn each_wake_from_another_thread_ends_a_sleep() {
    for builder in both_bells() {
        run_with(builder, async || {
            for pause_us in [0, 1, 10, 100, 1000, 10_000].repeat(5) {
                let count = Arc::new(AtomicUsize::new(0));
                let mut thread = None;
                poll_fn(|cx| {
                    if count.load(Ordering::SeqCst) == 1 {
                        return Poll::Ready(());
                    }
                    let (counted, waker) = (Arc::clone(&count), cx.waker().clone());
                    thread.get_or_insert_with(|| {
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_micros(pause_us));
                            counted.store(1, Ordering::SeqCst);
                            waker.wake();
                        })
                    });
                    Poll::Pending
                })
                .await;
                thread.expect("it was polled").join().unwrap();
            }
        });
    }
}

#[test]
fn each_wake_from_another_shard_ends_a_sleep() {
    for feature in [None, Some(Feature::RingMessage)] {
        let _leaks = LeakGuard::new();
        let configure = move |builder: Builder| {
            let builder = without_switched_off(builder.ring_entries(32, 128));
            feature.into_iter().fold(builder, Builder::disable)
        };
        let mesh = Mesh::builder().cores(Cores::Count(2)).pin(false).runtime(configure);
        let outcome = mesh.run(async |me| {
            for round in 0..200 * (1 - me.index()) {
                // Both sleep in between: the other has nothing else to do, and we wait for it.
                let answer = shard(1).call(async move || round + 1).await;
                assert_eq!(answer.expect("alive"), round + 1);
            }
            io::Result::Ok(())
        });
        outcome.map(drop).expect("all is well");
    }
}

#[test]
fn a_core_that_nobody_rings_makes_no_system_call() {
    for builder in both_bells() {
        run_with(builder, async || {
            let before = metrics().enters;
            let mut thread = None;
            poll_fn(|cx| {
                if thread.is_some() {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread = Some(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(200));
                    waker.wake();
                }));
                Poll::Pending
            })
            .await;
            let enters = metrics().enters - before;
            assert!(enters <= 4, "{enters} calls while asleep");
            thread.expect("it was polled").join().unwrap();
        });
    }
}

/// Gives wakers to another thread, and waits until each was called; so many times.
async fn be_woken(times: u64, give: &mpsc::Sender<Waker>) {
    for _ in 0..times {
        let mut is_woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_woken, true) {
                return Poll::Ready(());
            }
            give.send(cx.waker().clone()).expect("it rings");
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn each_sleep_that_a_ring_ends_is_one_call() {
    const RINGS: u64 = 200;
    for builder in both_bells() {
        run_with(builder, async || {
            let (give, wakers) = mpsc::channel::<Waker>();
            let ringer = std::thread::spawn(move || {
                for waker in wakers {
                    std::thread::sleep(Duration::from_micros(300));
                    waker.wake();
                }
            });
            turn().await;
            let before = metrics().enters;
            be_woken(RINGS, &give).await;
            let enters = metrics().enters - before;
            assert!(enters <= RINGS + RINGS / 4, "{enters} calls for {RINGS} sleeps");
            drop(give);
            ringer.join().unwrap();
        });
    }
}

/// How many descriptors this thread's table has, the one of the listing included.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/thread-self/fd").expect("list descriptors").count()
}

#[test]
fn a_message_needs_no_descriptor_and_no_operation() {
    for (builder, message) in both_bells().into_iter().zip([by_message(), false]) {
        let _leaks = LeakGuard::new();
        let before = descriptors();
        let runtime = without_switched_off(builder).build().unwrap();
        let (give, wakers) = mpsc::channel::<Waker>();
        let ringer = std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        runtime.block_on(be_woken(20, &give));
        drop(give);
        ringer.join().unwrap();
        let eventfds = if message { 0 } else { 1 };
        assert_eq!(descriptors() - before, 1 + eventfds, "a ring, and what rings it");
        // A wake may have come before the core slept.
        assert!(runtime.metrics().live_operations <= eventfds);
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        assert_eq!(descriptors(), before);
    }
}

/// A waker of a task of this runtime's that waits for ever.
fn waker_of(runtime: &Runtime) -> Waker {
    runtime.block_on(async {
        let (give, wakers) = mpsc::channel();
        drop(annulus::spawn(async move {
            poll_fn(|cx| give.send(cx.waker().clone()).map_or(Poll::Pending, Poll::Ready)).await;
            pending::<()>().await;
        }));
        turn().await;
        wakers.recv().expect("it was polled")
    })
}

#[test]
fn a_waker_that_outlives_its_runtime_keeps_no_ring_and_wakes_no_other() {
    for (builder, again) in both_bells().into_iter().zip(both_bells()) {
        let _leaks = LeakGuard::new();
        let before = descriptors();
        let runtime = without_switched_off(builder).build().unwrap();
        let waker = waker_of(&runtime);
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        // Of an eventfd it keeps what it owns.
        assert!(descriptors() <= before + 1);
        // The next one gets the number of the last one's ring.
        let next = without_switched_off(again).build().unwrap();
        let enters = next.block_on(async {
            let (ours, is_done) = (waker.clone(), Arc::new(AtomicBool::new(false)));
            let (done, mut thread) = (Arc::clone(&is_done), None);
            turn().await;
            let before = metrics().enters;
            poll_fn(|cx| {
                if is_done.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                let (ours, done, waker) = (ours.clone(), Arc::clone(&done), cx.waker().clone());
                thread.get_or_insert_with(|| {
                    std::thread::spawn(move || {
                        for _ in 0..100 {
                            ours.wake_by_ref();
                            std::thread::sleep(Duration::from_micros(200));
                        }
                        done.store(true, Ordering::SeqCst);
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
            thread.expect("it was polled").join().unwrap();
            metrics().enters - before
        });
        assert!(enters <= 10, "{enters} calls of a core that nobody wakes");
        settle(&next);
        assert_eq!(next.shutdown(PATIENCE), Ok(()));
        drop(waker);
        assert_eq!(descriptors(), before);
    }
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn sleep_us(time_us: u64) {
    annulus::time::sleep(Duration::from_micros(time_us)).await;
}

#[test]
fn rings_meet_the_end_of_their_runtime() {
    const RINGERS: usize = 3;
    for round in 0..rounds(100, 5000) {
        for builder in both_bells().map(without_switched_off) {
            let _leaks = LeakGuard::new();
            // Without deferred work the kernel makes the completion in the ringer's call.
            let builder = match round % 3 {
                0 => builder.disable(Feature::DeferTaskrun),
                _ => builder,
            };
            let runtime = builder.build().unwrap();
            let waker = waker_of(&runtime);
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let ring = || {
                    while !stop.load(Ordering::Relaxed) {
                        waker.wake_by_ref();
                    }
                };
                // Also in a panic.
                let stopping = StopWhenDropped(&stop);
                (0..RINGERS).for_each(|_| drop(scope.spawn(ring)));
                runtime.block_on(sleep_us(round as u64 % 7 * 50));
                assert_eq!(runtime.metrics().stray_completions, 0);
                assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
                // Whose ring has the number now; they still ring.
                let next = without_switched_off(Builder::new()).build().unwrap();
                next.block_on(sleep_us(100));
                settle(&next);
                assert_eq!(next.shutdown(PATIENCE), Ok(()));
                drop(stopping);
            });
        }
    }
}

/// Starts a thread whose messages are asked for, and one that answers for the kernel; `None` without such filters.
fn ring_under_questions(
    ring: impl FnOnce() + Send + 'static,
    answer: impl FnOnce(OwnedFd) + Send + 'static,
) -> Option<[std::thread::JoinHandle<()>; 2]> {
    let (give, asked) = mpsc::channel();
    // Started before the filter, which holds for the threads that come after it.
    let (begin, begun) = mpsc::channel();
    let answers = std::thread::spawn(move || begun.recv().map_or((), answer));
    let ringer = std::thread::spawn(move || {
        let listener = ask_for(Calls::Only(libc::SYS_io_uring_register));
        let has_filter = listener.is_ok();
        give.send(listener.ok()).expect("it waits");
        if has_filter {
            ring();
        }
    });
    begin.send(asked.recv().expect("it answers")?).expect("it waits");
    Some([ringer, answers])
}

#[test]
fn a_runtime_ends_when_nobody_rings_it_any_more() {
    if !by_message() {
        skip!("cores are rung by an eventfd here");
    }
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let waker = waker_of(&runtime);
    let [is_held, ends, is_let_go] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
    let held = Arc::clone(&is_held);
    let ring = move || {
        // Until one finds the core asleep, and is held within its call.
        while !held.load(Ordering::SeqCst) {
            waker.wake_by_ref();
        }
    };
    let (held, ending, let_go) = (Arc::clone(&is_held), Arc::clone(&ends), Arc::clone(&is_let_go));
    let answer = move |listener| {
        let question = Question::next(&listener).expect("a message");
        held.store(true, Ordering::SeqCst);
        while !ending.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        // So that the runtime has time to do what it must not.
        std::thread::sleep(Duration::from_millis(20));
        let_go.store(true, Ordering::SeqCst);
        question.allow();
    };
    let Some(threads) = ring_under_questions(ring, answer) else {
        skip!("no filters that ask");
    };
    runtime.block_on(until(|| is_held.load(Ordering::SeqCst)));
    ends.store(true, Ordering::SeqCst);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert!(is_let_go.load(Ordering::SeqCst), "the ring was closed under who rang it");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_message_that_finds_no_memory_is_sent_again() {
    const RINGS: u64 = 20;
    const REFUSALS: [i32; 3] = [libc::ENOMEM, libc::EAGAIN, libc::EINTR];
    if !by_message() {
        skip!("cores are rung by an eventfd here");
    }
    let _leaks = LeakGuard::new();
    let (core, start) = (this_thread(), Instant::now());
    let (give, wakers) = mpsc::channel::<Waker>();
    let ring = move || {
        for waker in wakers {
            wait_until_asleep(core, || true);
            waker.wake();
        }
    };
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let answer = move |listener| {
        for call in 0.. {
            let Some(question) = Question::next(&listener) else { return };
            match REFUSALS.get(call % (REFUSALS.len() + 1)) {
                Some(errno) => {
                    count.fetch_add(1, Ordering::SeqCst);
                    question.refuse(*errno);
                }
                None => question.allow(),
            }
        }
    };
    let Some(threads) = ring_under_questions(ring, answer) else {
        skip!("no filters that ask");
    };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(be_woken(RINGS, &give));
    drop(give);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused >= REFUSALS.len(), "{refused} refused in {:?}", start.elapsed());
}

#[test]
fn a_filter_that_forbids_the_message_later_is_named() {
    if !by_message() {
        skip!("cores are rung by an eventfd here");
    }
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let waker = waker_of(&runtime);
    let (tell, told) = mpsc::channel();
    let ring = move || {
        // Until one finds the core asleep.
        let payload = catch_unwind(AssertUnwindSafe(|| {
            loop {
                waker.wake_by_ref();
            }
        }));
        tell.send(*payload.expect_err("it rings for ever").downcast::<String>().unwrap()).unwrap();
    };
    let answer = move |listener| {
        Question::next(&listener).into_iter().for_each(|question| question.refuse(libc::EPERM));
    };
    let Some(threads) = ring_under_questions(ring, answer) else {
        skip!("no filters that ask");
    };
    let mut text = None;
    runtime.block_on(until(|| {
        text = text.take().or_else(|| told.try_recv().ok());
        text.is_some()
    }));
    let text = text.expect("just seen");
    assert!(text.contains("filter") && text.contains("Feature::RingMessage"), "{text}");
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
