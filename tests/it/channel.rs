//! Channels between cores, and between cores and plain threads: nothing lost, nothing twice, and no wait without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annulus::channel::error::{SendError, TryRecvError, TrySendError};
use annulus::channel::{mpsc, spsc};
use annulus::runtime::metrics;
use annulus::time::{sleep, timeout};
use annulus::{Runtime, spawn};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, rounds, run, until};

/// Runs a body on a core of its own, whose end leaves nothing.
fn core<T: Send + 'static>(
    body: impl AsyncFnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        let runtime = Runtime::new().expect("this machine has io_uring");
        let output = runtime.block_on(body());
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        output
    })
}

/// A message that counts its end.
#[derive(Debug)]
struct Counted(usize, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn messages_cross_in_order_whatever_the_ring_holds() {
    let _leaks = LeakGuard::new();
    let count = rounds(2_000, 500_000);
    for capacity in [1, 3, 1024] {
        let (mut sender, mut receiver) = spsc::channel(capacity);
        let far = core(async move || {
            for number in 0..count {
                assert_eq!(receiver.recv().await, Some(number));
            }
            assert_eq!(receiver.recv().await, None);
        });
        run_on_this(async || {
            for number in 0..count {
                sender.send(number).await.unwrap();
            }
            drop(sender);
        });
        far.join().unwrap();
    }
}

/// Runs a body on a core on this thread.
fn run_on_this<T>(body: impl AsyncFnOnce() -> T) -> T {
    let runtime = Runtime::new().expect("this machine has io_uring");
    let output = runtime.block_on(body());
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    output
}

#[test]
fn batches_cross_whole_between_a_core_and_a_plain_thread() {
    let _leaks = LeakGuard::new();
    let count = rounds(5_000, 500_000);
    let (mut sender, mut receiver) = spsc::channel(16);
    let (mut back, mut returned) = spsc::channel(16);
    let far = thread::spawn(move || {
        let mut batch = Vec::new();
        while receiver.blocking_recv_many(&mut batch, 7) > 0 {
            back.blocking_send_many(&mut batch.drain(..)).unwrap();
        }
    });
    run_on_this(async || {
        let sending =
            spawn(async move { sender.send_many(&mut (0..count)).await.map(|()| sender) });
        let mut seen = Vec::new();
        while seen.len() < count {
            assert_ne!(returned.recv_many(&mut seen, 64).await, 0);
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        drop(sending.await.unwrap().unwrap());
        assert_eq!(returned.recv().await, None);
    });
    far.join().unwrap();
}

#[test]
fn many_senders_of_all_kinds_share_a_receiver() {
    let _leaks = LeakGuard::new();
    let count = rounds(500, 50_000);
    let (sender, mut receiver) = mpsc::channel(4);
    let plain = sender.clone();
    let plain = thread::spawn(move || {
        for number in 0..count {
            plain.blocking_send((0, number)).unwrap();
        }
    });
    let batches = sender.clone();
    let batches = core(async move || {
        for start in (0..count).step_by(10) {
            batches.send_many(&mut (start..start + 10).map(|number| (1, number))).await.unwrap();
        }
    });
    let foreign = sender.clone();
    let foreign = thread::spawn(move || {
        // Its runtime moves tasks from thread to thread, so its futures have to be `Send`.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(async move {
            for number in 0..count {
                foreign.send((2, number)).await.unwrap();
            }
        });
        runtime.block_on(task).unwrap();
    });
    run_on_this(async || {
        let own = spawn(async move {
            for number in 0..count {
                sender.send((3, number)).await.unwrap();
            }
        });
        let mut next = [0; 4];
        while let Some((from, number)) = receiver.recv().await {
            assert_eq!(number, next[from], "of sender {from}");
            next[from] += 1;
        }
        assert_eq!(next, [count; 4]);
        own.await.unwrap();
    });
    for thread in [plain, batches, foreign] {
        thread.join().unwrap();
    }
}

#[test]
fn receives_and_sends_that_time_out_lose_nothing() {
    let _leaks = LeakGuard::new();
    let count = rounds(300, 20_000);
    let (mut sender, mut receiver) = spsc::channel(2);
    let far = core(async move || {
        let mut seen = Vec::new();
        while seen.len() < count {
            if let Ok(message) = timeout(Duration::from_micros(20), receiver.recv()).await {
                seen.push(message.expect("the sender is there"));
            }
        }
        seen
    });
    run_on_this(async || {
        for number in 0..count {
            let mut message = Some(number);
            while let Some(number) = message.take() {
                let mut sending = sender.send(number);
                if timeout(Duration::from_micros(20), &mut sending).await.is_err() {
                    message = sending.take_back();
                }
            }
        }
    });
    assert_eq!(far.join().unwrap(), (0..count).collect::<Vec<_>>());
}

#[test]
fn turns_that_time_out_are_passed_on() {
    let _leaks = LeakGuard::new();
    let count = rounds(200, 10_000);
    let (sender, mut receiver) = mpsc::channel(1);
    let cores: Vec<_> = (0..2)
        .map(|_| {
            let sender = sender.clone();
            core(async move || {
                let tasks: Vec<_> = (0..2)
                    .map(|_| {
                        let sender = sender.clone();
                        spawn(async move {
                            let mut sent = 0;
                            while sent < count {
                                let send = timeout(Duration::from_micros(10), sender.send(1usize));
                                sent += usize::from(send.await.is_ok_and(|sent| sent.is_ok()));
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    run_on_this(async || {
        let mut received = 0;
        while let Some(one) = receiver.recv().await {
            received += one;
        }
        // A send that was done and whose timeout came in the same turn would count as late: it cannot, for the message
        // is asked first.
        assert_eq!(received, 4 * count);
    });
    for core in cores {
        core.join().unwrap();
    }
}

#[test]
fn a_core_that_ends_gives_its_senders_their_messages_back() {
    let _leaks = LeakGuard::new();
    let dropped = Arc::<AtomicUsize>::default();
    let (sender, mut receiver) = mpsc::channel(2);
    let (go, told) = std::sync::mpsc::channel::<()>();
    let far = thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            drop(spawn(async move {
                let _first = receiver.recv().await;
                std::future::pending::<()>().await;
                drop(receiver);
            }));
            sleep(Duration::from_micros(100)).await;
        });
        told.recv().unwrap();
        // Its task holds the receiver.
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    });
    run_on_this(async || {
        let mut waiting = Vec::new();
        for number in 0..6 {
            let (sender, message) = (sender.clone(), Counted(number, Arc::clone(&dropped)));
            waiting.push(spawn(async move { sender.send(message).await }));
        }
        until(|| waiting.iter().any(|task| task.is_finished())).await;
        assert!(waiting.iter().any(|task| !task.is_finished()), "three or four wait");
        go.send(()).unwrap();
        let mut back = Vec::new();
        for task in waiting {
            if let Err(SendError(message)) = task.await.unwrap() {
                back.push(message.0);
            }
        }
        assert!((3..=4).contains(&back.len()), "{back:?}");
        let refused = sender.try_send(Counted(9, Arc::clone(&dropped)));
        assert!(matches!(refused, Err(TrySendError::Closed(Counted(9, _)))));
    });
    far.join().unwrap();
    drop(sender);
    assert_eq!(dropped.load(Ordering::SeqCst), 7, "each once");
}

/// A message that notes on which thread it ends.
struct Located(std::sync::mpsc::Sender<thread::ThreadId>);

impl Drop for Located {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).expect("it is listened to");
    }
}

#[test]
fn what_a_core_did_not_receive_is_dropped_there() {
    let _leaks = LeakGuard::new();
    let (ends, ended) = std::sync::mpsc::channel();
    let five = || (0..5).map(|_| Located(ends.clone())).collect::<Vec<_>>().into_iter();
    let (mut single, mut from_single) = spsc::channel(8);
    let (many, mut from_many) = mpsc::channel(8);
    assert!(matches!(single.try_send_many(&mut five()), Ok(5)));
    assert!(matches!(many.try_send_many(&mut five()), Ok(5)));
    let far = core(async move || {
        drop((from_single.recv().await, from_many.recv().await));
        // The others end with the receivers, by which they were never seen.
        drop((from_single, from_many));
        thread::current().id()
    });
    let there = far.join().unwrap();
    assert!(single.is_closed() && many.is_closed());
    assert_eq!(ended.try_iter().collect::<Vec<_>>(), [there; 10]);
}

#[test]
fn an_end_that_panics_ends_the_channel() {
    let _leaks = LeakGuard::new();
    let (mut sender, mut receiver) = spsc::channel(1);
    let far = core(async move || {
        let panicking = spawn(async move {
            sender.send(1).await.unwrap();
            sender.send(2).await.unwrap();
            panic!("with the sender in hand");
        });
        assert!(panicking.await.unwrap_err().is_panic());
    });
    run_on_this(async || {
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, None);
    });
    far.join().unwrap();

    let (sender, mut receiver) = mpsc::channel(1);
    let far = core(async move || {
        let panicking = spawn(async move {
            receiver.recv().await.unwrap();
            panic!("with the receiver in hand");
        });
        assert!(panicking.await.unwrap_err().is_panic());
    });
    run_on_this(async || {
        while sender.send(()).await.is_ok() {}
        assert!(sender.is_closed());
    });
    far.join().unwrap();
}

#[test]
fn a_receiver_that_never_reads_holds_its_sender_back() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(8);
        let sent = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&sent);
        let far = core(async move || {
            while sender.send([0u8; 64]).await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        until(|| sent.load(Ordering::SeqCst) == 8).await;
        for _ in 0..20 {
            sleep(Duration::from_micros(100)).await;
        }
        assert_eq!((sent.load(Ordering::SeqCst), receiver.len()), (8, 8));
        assert_eq!(receiver.drain().count(), 8);
        drop(receiver);
        far.join().unwrap();
    });
}

#[test]
fn cores_that_send_and_receive_and_go_at_random_lose_nothing() {
    let _leaks = LeakGuard::new();
    for round in 0..rounds(20, 2_000) {
        let dropped = Arc::<AtomicUsize>::default();
        let made = Arc::<AtomicUsize>::default();
        let (sender, mut receiver) = mpsc::channel(1 + round % 5);
        let senders: Vec<_> = (0..2)
            .map(|index| {
                let (sender, dropped, made) = (sender.clone(), dropped.clone(), made.clone());
                core(async move || {
                    for number in 0..50 + 7 * (round + index) % 40 {
                        made.fetch_add(1, Ordering::SeqCst);
                        if sender.send(Counted(number, dropped.clone())).await.is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let far = core(async move || {
            for _ in 0..round * 5 {
                if receiver.recv().await.is_none() {
                    break;
                }
            }
        });
        far.join().unwrap();
        for core in senders {
            core.join().unwrap();
        }
        assert_eq!(dropped.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
    }
}

#[test]
fn a_core_that_waits_makes_no_system_call_and_one_message_wakes_it() {
    run(async || {
        let (mut sender, mut receiver) = spsc::channel(4);
        let (go, told) = std::sync::mpsc::channel::<()>();
        let far = thread::spawn(move || {
            told.recv().unwrap();
            thread::sleep(Duration::from_millis(5));
            sender.blocking_send(1).unwrap();
        });
        go.send(()).unwrap();
        let before = metrics().enters;
        assert_eq!(receiver.recv().await, Some(1));
        let enters = metrics().enters - before;
        assert!(enters <= 6, "{enters} calls for one wait");
        far.join().unwrap();
    });
}

#[test]
fn the_blocking_forms_are_for_plain_threads() {
    let (sender, mut receiver) = mpsc::channel(1);
    sender.blocking_send(1).unwrap();
    assert_eq!(receiver.blocking_recv(), Some(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let _leaks = LeakGuard::new();
    run_on_this(async || {
        let blocking = std::panic::AssertUnwindSafe(|| sender.blocking_send(2));
        let panic = std::panic::catch_unwind(blocking).unwrap_err();
        let text = panic.downcast::<String>().unwrap();
        assert!(text.contains("mpsc::Sender::blocking_send"), "{text}");
    });
}
