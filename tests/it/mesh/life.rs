//! The life of a mesh: outputs, errors, panics, the stop and the time to drain.
#![allow(unsafe_code, reason = "a signal is raised by a system call")]

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annulus::mesh::{MeshError, Shard, Sharded, Stop, shard};
use annulus::signal::ctrl_c;
use annulus::spawn;
use annulus::time::sleep;

use super::mesh;
use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, turn};

type Result<T> = std::result::Result<T, io::Error>;

#[test]
fn every_shard_runs_once_and_the_outputs_are_in_order() {
    let _leaks = LeakGuard::new();
    let runs = AtomicUsize::new(0);
    let outputs = mesh(3).run(async |shard| {
        runs.fetch_add(1, Ordering::Relaxed);
        // The last ends first.
        sleep(Duration::from_millis(3 - shard.index() as u64)).await;
        assert_eq!(shard.count(), 3);
        assert_eq!(Shard::current().index(), shard.index());
        assert_eq!(Shard::all().map(|shard| shard.index()).collect::<Vec<_>>(), [0, 1, 2]);
        Result::Ok(shard.index() * 10)
    });
    assert_eq!(outputs.expect("all is well"), [0, 10, 20]);
    assert_eq!(runs.into_inner(), 3);
}

#[test]
fn a_shard_that_is_done_serves_the_others_until_all_are() {
    let _leaks = LeakGuard::new();
    let outputs = mesh(2).run(async |me| {
        if me.index() == 1 {
            return Ok(0);
        }
        let mut sum = 0;
        for _ in 0..100 {
            sum += shard(1).call(async || Shard::current().index()).await?;
        }
        Result::Ok(sum)
    });
    assert_eq!(outputs.expect("all is well"), [100, 0]);
}

#[test]
fn the_first_error_stops_all_and_is_told_with_its_shard() {
    let _leaks = LeakGuard::new();
    let stopped = AtomicUsize::new(0);
    let outcome = mesh(3).run(async |shard| {
        if shard.index() == 1 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "lost"));
        }
        shard.stopped().await;
        stopped.fetch_add(1, Ordering::Relaxed);
        // What goes wrong after that is not what the caller has to know.
        Result::<()>::Err(io::Error::other("later"))
    });
    let error = outcome.expect_err("one failed");
    assert_eq!(error.shard(), Some(1));
    assert!(matches!(&error, MeshError::Failed { shard: 1, error } if error.to_string() == "lost"));
    assert_eq!(io::Error::from(error).to_string(), "shard 1 failed: lost");
    assert_eq!(stopped.into_inner(), 2);
}

#[test]
fn a_panic_is_an_error_that_names_its_shard_and_the_others_leave_in_order() {
    let _leaks = LeakGuard::new();
    let left = AtomicUsize::new(0);
    let outcome = mesh(3).run(async |me| {
        if me.index() == 2 {
            panic!("out of cheese");
        }
        me.stopped().await;
        // The shard that panicked is gone or going; the others are here.
        let other = shard(1 - me.index());
        assert_eq!(other.call(async || 1).await.expect("it waits for us"), 1);
        left.fetch_add(1, Ordering::Relaxed);
        Result::<()>::Ok(())
    });
    let error = outcome.expect_err("one panicked");
    assert!(
        matches!(&error, MeshError::Panicked { shard: 2, message } if message == "out of cheese")
    );
    assert_eq!(left.into_inner(), 2);
}

#[test]
fn whoever_does_not_leave_in_time_is_dropped_and_named() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).drain(Duration::from_millis(5)).run(async |shard| {
        if shard.index() == 1 {
            pending::<()>().await;
        }
        shard.stop();
        Result::Ok(())
    });
    assert!(matches!(outcome, Err(MeshError::Overdue { shard: 1 })), "{outcome:?}");
}

#[test]
fn anybody_may_stop_a_mesh_and_what_is_under_way_drains() {
    let _leaks = LeakGuard::new();
    let stop = Stop::new();
    let (started, elsewhere) = (AtomicUsize::new(0), stop.clone());
    let outputs = std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = std::time::Instant::now();
            while started.load(Ordering::Acquire) < 2 && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_micros(100));
            }
            elsewhere.stop();
        });
        mesh(2).stop(&stop).run(async |shard| {
            assert!(!shard.is_stopped());
            started.fetch_add(1, Ordering::Release);
            shard.stopped().await;
            assert!(shard.is_stopped());
            sleep(Duration::from_millis(2)).await;
            Result::Ok(shard.index())
        })
    });
    assert_eq!(outputs.expect("it drained"), [0, 1]);
}

#[test]
fn control_c_stops_every_shard() {
    let output = in_child!(|| {
        let outputs = mesh(3).run(async |shard| {
            if shard.index() == 1 {
                let own = shard.clone();
                let interrupted = spawn(async move {
                    ctrl_c().await?;
                    own.stop();
                    Result::Ok(())
                });
                // Until it listens.
                turn().await;
                // SAFETY: no memory is passed.
                assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0);
                interrupted.await??;
            }
            shard.stopped().await;
            Result::Ok(shard.index())
        });
        assert_eq!(outputs.expect("it left"), [0, 1, 2]);
    });
    if let Some(output) = output {
        assert_passed(&output);
    }
}

#[test]
fn a_signal_given_before_the_start_counts() {
    let _leaks = LeakGuard::new();
    let stop = Stop::new();
    stop.stop();
    let outputs = mesh(2).stop(&stop).run(async |shard| {
        shard.stopped().await;
        Result::Ok(())
    });
    assert_eq!(outputs.expect("it left").len(), 2);
}

#[test]
fn tasks_are_dropped_on_their_shards_when_all_futures_have_ended() {
    let _leaks = LeakGuard::new();
    let dropped = AtomicUsize::new(0);
    let dropped: &'static AtomicUsize = Box::leak(Box::new(dropped));
    let outputs = mesh(2).run(async |_| {
        let thread = std::thread::current().id();
        struct OnDrop<F: FnMut()>(F);
        impl<F: FnMut()> Drop for OnDrop<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        let canary = OnDrop(move || {
            assert_eq!(std::thread::current().id(), thread);
            assert!(Shard::try_current().is_some(), "the shard is still entered");
            dropped.fetch_add(1, Ordering::Relaxed);
        });
        spawn(async move {
            pending::<()>().await;
            drop(canary);
        });
        Result::Ok(())
    });
    assert!(outputs.is_ok());
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn a_mesh_inside_a_runtime_is_refused() {
    let refused = annulus::run(async {
        let outcome = mesh(1).run(async |_| Result::Ok(()));
        Result::Ok(outcome.map(drop))
    });
    let error = io::Error::from(refused.expect("the outer one runs").expect_err("it is nested"));
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn what_is_a_shard_s_is_asked_for_on_one() {
    assert!(Shard::try_current().is_none());
    assert!(std::panic::catch_unwind(Shard::current).is_err());
    assert!(std::panic::catch_unwind(|| shard(0)).is_err());
    let outcome = mesh(1).run(async |_| {
        assert!(std::panic::catch_unwind(|| shard(1)).is_err(), "there is one");
        Result::Ok(())
    });
    assert!(outcome.is_ok());
}

#[test]
fn two_meshes_live_side_by_side() {
    let _leaks = LeakGuard::new();
    std::thread::scope(|scope| {
        let meshes = [(); 2].map(|()| {
            scope.spawn(|| {
                mesh(2).run(async |me| {
                    let other = shard(1 - me.index());
                    Result::Ok(other.call(async || Shard::current().index()).await?)
                })
            })
        });
        for mesh in meshes {
            assert_eq!(mesh.join().expect("no panic").expect("all is well"), [1, 0]);
        }
    });
}

/// Counts itself, and knows its thread.
struct Canary {
    home: std::thread::ThreadId,
    live: &'static AtomicUsize,
}

impl Canary {
    fn new(live: &'static AtomicUsize) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self { home: std::thread::current().id(), live }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        assert_eq!(self.home, std::thread::current().id(), "dropped on another core");
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_sharded_value_is_made_used_and_dropped_on_its_own_core() {
    static LIVE: AtomicUsize = AtomicUsize::new(0);
    let _leaks = LeakGuard::new();
    let outcome = mesh(3).run(async |me| {
        if me.index() > 0 {
            return Ok(None);
        }
        let values = Sharded::new(|| (Canary::new(&LIVE), RefCell::new(Vec::new()))).await?;
        assert_eq!(LIVE.load(Ordering::SeqCst), 3);
        for key in 0..64u32 {
            let owner = values.owner(&key);
            assert_eq!(values.owner(&key).index(), owner.index(), "always the same");
            values.call(&owner, async move |value| value.1.borrow_mut().push(key)).await?;
        }
        let counts = Shard::broadcast({
            let values = values.clone();
            async move || {
                let value = values.local();
                assert_eq!(value.0.home, std::thread::current().id());
                value.1.borrow().len()
            }
        });
        let counts: Vec<usize> =
            counts.await.into_iter().map(|count| count.expect("alive")).collect();
        assert_eq!(counts.iter().sum::<usize>(), 64);
        assert!(
            counts.iter().all(|count| *count > 0),
            "64 keys and not one for some core: {counts:?}"
        );
        drop(values);
        let start = std::time::Instant::now();
        while LIVE.load(Ordering::SeqCst) > 0 {
            assert!(start.elapsed() < PATIENCE, "the values stay");
            sleep(Duration::from_micros(100)).await;
        }
        // A handle that outlives the mesh keeps no value.
        Result::Ok(Some(Sharded::new(|| Canary::new(&LIVE)).await?))
    });
    let handles = outcome.expect("all is well");
    assert_eq!(LIVE.load(Ordering::SeqCst), 0);
    drop(handles);
}

#[test]
fn a_sharded_value_that_is_not_made_everywhere_is_made_nowhere() {
    static LIVE: AtomicUsize = AtomicUsize::new(0);
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() > 0 {
            return Ok(());
        }
        let made = Sharded::new(|| {
            assert!(Shard::current().index() == 0, "not here");
            Canary::new(&LIVE)
        });
        assert!(made.await.is_err());
        Result::Ok(())
    });
    outcome.expect("all is well");
    assert_eq!(LIVE.load(Ordering::SeqCst), 0);
}
