//! Ends of a runtime: full of operations, in a panic, in a thread's locals, inside another runtime.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use annulus::fs::File;
use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::metrics;
use annulus::time::sleep;
use annulus::{Builder, Runtime};

use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, narrow_pair, pair, poll_once, std_pair, turn};

/// Reads of one pipe.
const READS: usize = 800;

/// Tasks that wait for everything there is to wait for; the other ends of what they use.
async fn fill(count: usize) -> (Vec<std::net::TcpStream>, Vec<std::io::PipeWriter>) {
    let (mut peers, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (near, far) = pair();
        peers.push(far);
        annulus::spawn(async move { near.recv().await.map(drop) });
        let (near, far) = narrow_pair();
        peers.push(far);
        annulus::spawn(async move { near.send_all(vec![0; 4 << 20]).await.map(drop) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        annulus::spawn(async move { listener.accept().await.map(drop) });
        annulus::spawn(sleep(Duration::from_secs(3600)));
        let (reader, writer) = std::io::pipe().unwrap();
        writers.push(writer);
        let file = File::from_std(std::os::fd::OwnedFd::from(reader).into());
        annulus::spawn(async move { file.read_at(vec![0; 100], 0).await.map(drop) });
    }
    // Of one descriptor, as of many.
    let (reader, writer) = std::io::pipe().unwrap();
    writers.push(writer);
    let file = Rc::new(File::from_std(std::os::fd::OwnedFd::from(reader).into()));
    for _ in 0..READS {
        let file = Rc::clone(&file);
        annulus::spawn(async move { file.read_at(vec![0; 100], 0).await.map(drop) });
    }
    while metrics().live_operations < 4 * count + READS {
        turn().await;
    }
    (peers, writers)
}

#[test]
fn a_runtime_full_of_operations_ends_well_before_its_deadline() {
    let _leaks = LeakGuard::new();
    let leaked = Rc::new(Cell::new(false));
    let hook = Rc::clone(&leaked);
    // What would be waited for is, for half of it: far longer than a machine takes that is busy with others.
    let deadline = 6 * PATIENCE;
    let builder = Builder::new().shutdown_deadline(deadline).on_leak(move |_| hook.set(true));
    let runtime = builder.build().unwrap();
    let (peers, writers) = runtime.block_on(fill(60));
    assert!(runtime.metrics().live_operations >= 1000, "{:?}", runtime.metrics());
    let start = Instant::now();
    drop(runtime);
    assert!(start.elapsed() < deadline / 2, "{:?}", start.elapsed());
    assert!(!leaked.get());
    for mut far in peers {
        // What was sent before, then the end or the reset, as soon as the kernel has brought them; not silence.
        far.set_nonblocking(false).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = loop {
            match far.read(&mut [0; 65_536]) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error.kind()),
            }
        };
        assert!(matches!(end, Ok(()) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
    drop(writers);
}

/// A part of a task, which is dropped where the task is at home, wherever its wakers go; it counts that.
struct AtHome(ThreadId, Rc<Cell<usize>>);

impl AtHome {
    fn new(dropped: &Rc<Cell<usize>>) -> Self {
        Self(std::thread::current().id(), Rc::clone(dropped))
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        // A panic would be taken for the task's.
        if std::thread::current().id() != self.0 {
            std::process::abort();
        }
        self.1.set(self.1.get() + 1);
    }
}

/// Row 18 of the fault table.
#[test]
fn wakers_are_right_on_any_thread_also_after_the_end() {
    let _leaks = LeakGuard::new();
    for round in 0..20 {
        let runtime = Runtime::new().unwrap();
        let dropped = Rc::<Cell<usize>>::default();
        let threads: Vec<_> = runtime.block_on(async {
            let (send, receive) = std::sync::mpsc::channel();
            for _ in 0..8 {
                let (send, at_home) = (send.clone(), AtHome::new(&dropped));
                annulus::spawn(poll_fn(move |cx| {
                    let _ = (send.send(cx.waker().clone()), &at_home);
                    Poll::<()>::Pending
                }));
            }
            turn().await;
            turn().await;
            let wakers: Vec<Waker> = receive.try_iter().collect();
            assert_eq!(wakers.len(), 8);
            let rouse = |waker: Waker| {
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        let clone = waker.clone();
                        waker.wake_by_ref();
                        clone.wake();
                        waker.wake_by_ref();
                    }
                })
            };
            wakers.into_iter().map(rouse).collect()
        });
        if round % 2 == 0 {
            runtime.block_on(async { sleep(Duration::from_millis(1)).await });
        }
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        assert_eq!(dropped.get(), 8);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Sets its cell when it is dropped.
struct Canary(Rc<Cell<bool>>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_panic_of_the_main_future_unwinds_after_an_orderly_end() {
    let _leaks = LeakGuard::new();
    let dropped = Rc::new(Cell::new(false));
    let canary = Canary(Rc::clone(&dropped));
    let result = catch_unwind(AssertUnwindSafe(|| {
        annulus::run(async {
            let (near, _far) = pair();
            annulus::spawn(async move {
                let _canary = canary;
                near.recv().await.map(drop)
            });
            turn().await;
            turn().await;
            if true {
                panic!("the main future's own");
            }
            std::io::Result::Ok(())
        })
    }));
    let payload = result.expect_err("it panicked");
    assert_eq!(payload.downcast_ref(), Some(&"the main future's own"));
    assert!(dropped.get(), "the task was not dropped");
}

#[test]
fn a_runtime_goes_on_after_a_panic_of_the_main_future() {
    let _leaks = LeakGuard::new();
    let runtime = Runtime::new().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let (near, _far) = pair();
            let mut read = Box::pin(near.recv());
            assert!(poll_once(&mut read).await.is_pending());
            turn().await;
            if true {
                panic!("once");
            }
        })
    }));
    result.expect_err("it panicked");
    runtime.block_on(async {
        let (near, far) = pair();
        crate::support::settled::write_now(&far, b"still here");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"still here");
    });
    crate::support::settled::settle(&runtime);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_runtime_in_a_threads_locals_ends_with_the_thread() {
    thread_local! {
        static RUNTIME: Runtime = Runtime::new().expect("this machine has io_uring");
    }
    let Some(output) = in_child!(|| {
        let thread = std::thread::spawn(|| {
            let (near, far) = std_pair();
            RUNTIME.with(|runtime| {
                runtime.block_on(async {
                    let near = TcpStream::from_std(near).unwrap();
                    annulus::spawn(async move { near.recv().await.map(drop) });
                    annulus::spawn(pending::<()>());
                    sleep(Duration::from_millis(1)).await;
                });
            });
            far
        });
        let mut far = thread.join().expect("no panic");
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the stream was closed");
    }) else {
        return;
    };
    assert_passed(&output);
}

#[test]
fn a_runtime_inside_a_runtime_is_refused_with_the_cure() {
    let _leaks = LeakGuard::new();
    let (outer, inner) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    outer.block_on(async {
        let error = annulus::run(async { std::io::Result::Ok(()) }).expect_err("nested");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("already inside an annulus runtime"), "{error}");
        let result = catch_unwind(AssertUnwindSafe(|| inner.block_on(async {})));
        let payload = result.expect_err("nested");
        let text = payload.downcast_ref::<String>().expect("a text");
        assert!(text.contains("thread of its own"), "{text}");
        sleep(Duration::from_millis(1)).await;
    });
    // One after the other is no nesting.
    inner.block_on(sleep_a_little());
    outer.block_on(sleep_a_little());
}

async fn sleep_a_little() {
    sleep(Duration::from_millis(1)).await;
}

#[test]
fn a_runtime_can_be_made_and_dropped_inside_another() {
    let _leaks = LeakGuard::new();
    let full = Runtime::new().unwrap();
    let (near, mut far) = full.block_on(async {
        let (near, far) = pair();
        far.set_nonblocking(false).unwrap();
        (near, far)
    });
    full.block_on(async {
        annulus::spawn(async move { near.recv().await.map(drop) });
        turn().await;
        turn().await;
    });
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        drop(Runtime::new().unwrap());
        drop(full);
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "its stream was closed");
        sleep_a_little().await;
        let (near, far) = pair();
        crate::support::settled::write_now(&far, b"x");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"x");
    });
}

#[test]
fn a_destructor_that_runs_a_runtime_is_refused_inside_one() {
    struct Runs(Rc<Cell<Option<ErrorKind>>>);
    impl Drop for Runs {
        fn drop(&mut self) {
            let result = annulus::run(async { std::io::Result::Ok(()) });
            self.0.set(result.err().map(|error| error.kind()));
        }
    }
    let _leaks = LeakGuard::new();
    let seen = Rc::new(Cell::new(None));
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let runs = Runs(Rc::clone(&seen));
        annulus::spawn(async move {
            let _runs = runs;
            pending::<()>().await;
        });
        turn().await;
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    assert_eq!(seen.get(), Some(ErrorKind::Unsupported));
}

#[test]
fn outside_a_runtime_the_panic_says_where_to_go() {
    let _leaks = LeakGuard::new();
    let (near, _far) = std_pair();
    let result = catch_unwind(AssertUnwindSafe(|| TcpStream::from_std(near)));
    let payload = result.map(drop).expect_err("no runtime");
    let text = payload.downcast_ref::<String>().expect("a text");
    assert!(text.contains("TcpStream::from_std") && text.contains("annulus::run"), "{text}");
}
