//! Work that is sent to another core: its outcomes, panics, aborts, and the ends of either side.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use annulus::mesh::{RemoteError, Shard, shard};
use annulus::time::{sleep, timeout};

use super::{Result, from_shard_0, mesh};
use crate::support::leak::LeakGuard;
use crate::support::settled::until;

#[test]
fn a_call_brings_its_output_and_uses_what_is_not_send_there() {
    from_shard_0(async |other| {
        let text = String::from("sent");
        let answer = other.call(async move || {
            let shared = Rc::new(Cell::new(text.len()));
            let inside = Rc::clone(&shared);
            annulus::spawn(async move { inside.set(inside.get() + 1) }).await.expect("no panic");
            (shared.get(), text, Shard::current().index())
        });
        assert_eq!(answer.await.expect("alive"), (5, "sent".to_owned(), 1));
        Ok(())
    });
}

#[test]
fn a_shard_calls_itself() {
    from_shard_0(async |_| {
        let own = Shard::current();
        assert_eq!(own.call(async || Shard::current().index()).await.expect("alive"), 0);
        Ok(())
    });
}

#[test]
fn many_calls_at_once_all_come_back() {
    from_shard_0(async |other| {
        let calls = (0..500u64).map(|number| {
            other.spawn(async move || {
                if number % 3 == 0 {
                    annulus::task::yield_now().await;
                }
                number
            })
        });
        let mut sum = 0;
        for call in calls.collect::<Vec<_>>() {
            sum += call.await.expect("alive");
        }
        assert_eq!(sum, 499 * 500 / 2);
        Ok(())
    });
}

#[test]
fn a_panic_there_is_an_error_here_and_both_go_on() {
    from_shard_0(async |other| {
        let failed = other.call(async || panic!("there")).await;
        let Err(RemoteError::Task(error)) = failed else { panic!("{failed:?}") };
        assert!(error.is_panic() && error.to_string().contains("there"), "{error}");
        // In the closure itself, before there is a future.
        let failed = other.call(|| -> std::future::Ready<()> { panic!("at once") }).await;
        assert!(matches!(failed, Err(RemoteError::Task(error)) if error.is_panic()));
        assert_eq!(other.call(async || 7).await.expect("it lives"), 7);
        Ok(())
    });
}

#[test]
fn a_panic_that_nobody_takes_is_told_where_it_is_left() {
    static TOLD: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    static LEFT: AtomicBool = AtomicBool::new(false);
    let told = |index: usize| TOLD[index].load(Ordering::Relaxed);
    let _leaks = LeakGuard::new();
    let builder = mesh(2).runtime(|builder| {
        builder.ring_entries(32, 128).on_unhandled_panic(|_| {
            TOLD[Shard::current().index()].fetch_add(1, Ordering::Relaxed);
        })
    });
    let outcome = builder.run(async |me| {
        if me.index() == 0 {
            // The handle goes before the task ends: there.
            let handle = shard(1).spawn(async || {
                until(|| LEFT.load(Ordering::Relaxed)).await;
                panic!("unheard")
            });
            drop(handle);
            LEFT.store(true, Ordering::Relaxed);
            until(|| told(1) == 1).await;
            assert_eq!(told(0), 0);
            // And after: here.
            let handle = shard(1).spawn(async || panic!("unheard"));
            until(|| handle.is_finished()).await;
            assert_eq!((told(0), told(1)), (0, 1));
            drop(handle);
            assert_eq!((told(0), told(1)), (1, 1));
        }
        Result::Ok(())
    });
    outcome.expect("all is well");
}

/// Sets a flag when it is dropped, and on which shard.
struct Flagged(&'static AtomicUsize);

impl Drop for Flagged {
    fn drop(&mut self) {
        let place = Shard::try_current().map_or(100, |shard| 1 + shard.index());
        self.0.store(place, Ordering::SeqCst);
    }
}

#[test]
fn a_call_that_is_dropped_is_aborted_there() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    from_shard_0(async |other| {
        let begun = std::sync::Arc::new(AtomicBool::new(false));
        let inside = begun.clone();
        let mut call = Box::pin(other.call(async move || {
            let _flagged = Flagged(&DROPPED);
            inside.store(true, Ordering::SeqCst);
            pending::<()>().await;
        }));
        while !begun.load(Ordering::SeqCst) {
            assert!(timeout(Duration::from_micros(200), &mut call).await.is_err());
        }
        drop(call);
        until(|| DROPPED.load(Ordering::SeqCst) != 0).await;
        assert_eq!(DROPPED.load(Ordering::SeqCst), 2, "on shard 1");
        Ok(())
    });
}

#[test]
fn a_call_that_is_never_polled_sends_nothing() {
    from_shard_0(async |other| {
        let begun = std::sync::Arc::new(AtomicBool::new(false));
        let inside = begun.clone();
        drop(other.call(async move || inside.store(true, Ordering::SeqCst)));
        other.call(async || ()).await.expect("alive");
        assert!(!begun.load(Ordering::SeqCst));
        Ok(())
    });
}

#[test]
fn a_task_whose_handle_is_dropped_runs_on() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    from_shard_0(async |other| {
        drop(other.spawn(async || {
            sleep(Duration::from_millis(1)).await;
            Flagged(&DONE)
        }));
        until(|| DONE.load(Ordering::SeqCst) != 0).await;
        assert_eq!(DONE.load(Ordering::SeqCst), 2, "its output is dropped where it was made");
        Ok(())
    });
}

#[test]
fn an_abort_ends_the_task_and_says_so() {
    from_shard_0(async |other| {
        let task = other.spawn(async || pending::<()>().await);
        other.call(async || ()).await.expect("alive");
        task.abort();
        let aborted = task.await;
        assert!(
            matches!(&aborted, Err(RemoteError::Task(error)) if error.is_cancelled()),
            "{aborted:?}"
        );
        // Before it came there: it never begins.
        let task = other.spawn(async || 1);
        task.abort();
        match task.await {
            Err(RemoteError::NeverBegan | RemoteError::Task(_)) | Ok(1) => Ok(()),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn calls_to_a_shard_that_panicked_fail_and_hang_nowhere() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() == 1 {
            me.stopped().await;
            panic!("as told");
        }
        let other = shard(1);
        let waiting = other.spawn(async || pending::<()>().await);
        other.call(async || ()).await.expect("alive");
        me.stop();
        assert!(matches!(waiting.await, Err(RemoteError::Task(error)) if error.is_cancelled()));
        let mut refused = other.call(async || ()).await;
        while refused.is_ok() {
            refused = other.call(async || ()).await;
        }
        let kept = Rc::new(());
        assert_eq!(Rc::strong_count(&kept), 1);
        Result::Ok(())
    });
    assert_eq!(outcome.expect_err("one panicked").shard(), Some(1));
}

#[test]
fn what_is_sent_to_a_shard_that_ended_is_dropped_here() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() == 1 {
            panic!("at once");
        }
        me.stopped().await;
        let other = shard(1);
        while other.call(async || ()).await.is_ok() {}
        // Its inbox may close while the first are on the way; then it is closed.
        let flagged = Flagged(&DROPPED);
        let sent = other.spawn(async move || drop(flagged));
        assert!(matches!(sent.await, Err(RemoteError::NeverBegan)));
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1, "on shard 0");
        Result::Ok(())
    });
    assert_eq!(outcome.expect_err("one panicked").shard(), Some(1));
}

#[test]
fn an_answer_to_a_shard_that_ended_is_dropped_and_delays_nobody() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() == 0 {
            let late = shard(1).spawn(async || {
                sleep(Duration::from_millis(2)).await;
                vec![1u8; 1000]
            });
            // Kept by a task, which goes with its shard.
            annulus::spawn(async move { late.await.map(drop) });
            panic!("too early");
        }
        sleep(Duration::from_millis(4)).await;
        Result::Ok(())
    });
    assert_eq!(outcome.expect_err("one panicked").shard(), Some(0));
}

#[test]
fn a_broadcast_reaches_all_in_order() {
    from_shard_0(async |_| {
        let outputs = Shard::broadcast(async || Shard::current().index()).await;
        let outputs: Vec<usize> = outputs.into_iter().map(|one| one.expect("alive")).collect();
        assert_eq!(outputs, [0, 1]);
        Ok(())
    });
}

#[test]
fn a_loop_of_refused_calls_lets_others_run() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() == 1 {
            panic!("at once");
        }
        me.stopped().await;
        let ran = Rc::new(Cell::new(false));
        let inside = Rc::clone(&ran);
        annulus::spawn(async move { inside.set(true) });
        while !ran.get() {
            let _ = shard(1).call(async || ()).await;
        }
        Result::Ok(())
    });
    assert_eq!(outcome.expect_err("one panicked").shard(), Some(1));
}
