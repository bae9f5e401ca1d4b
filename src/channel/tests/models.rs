//! Loom models: two ends, or three, each on a thread, that send, receive, wait and go.
//!
//! A thread that sleeps is a mutex and a condition variable, so a wake-up that is lost is a deadlock to loom.
//! Threads are of both kinds: with turns, at whose end they look again, and without, where each change has its fence.

use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{Context, Poll, Waker};

use loom::thread;

use crate::channel::error::TryRecvError;
use crate::channel::{later, mpsc, spsc};
use crate::loom::Bell;

/// Polls until it is done, and sleeps between, as a loop does: the turn ends before the sleep.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let bell = Bell::new();
    let waker = Waker::from(StdArc::clone(&bell));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        later::settle();
        bell.wait();
    }
}

/// One poll, whose waker nobody answers to.
fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let future = std::pin::pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs the body as a loop would, or as a plain thread.
fn on_a<T>(turns: bool, body: impl FnOnce() -> T) -> T {
    let _turns = turns.then(later::enter);
    body()
}

/// Each of the two kinds of thread at each end.
fn each_kind(model: fn(bool, bool)) {
    each_kind_within(loom::model::Builder::new(), model);
}

/// With a preemption less than asked for: a sender of many has more steps.
fn each_kind_shallow(model: fn(bool, bool)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.map(|bound| bound.saturating_sub(1));
    each_kind_within(builder, model);
}

fn each_kind_within(builder: loom::model::Builder, model: fn(bool, bool)) {
    for kinds in [(false, false), (false, true), (true, false), (true, true)] {
        builder.check(move || model(kinds.0, kinds.1));
    }
}

#[test]
fn loom_spsc_two_messages_through_a_ring_of_one() {
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(1);
        let thread = thread::spawn(move || {
            on_a(there, || {
                for number in 0..2 {
                    block_on(sender.send(number)).expect("it receives");
                }
            });
        });
        on_a(here, || {
            for number in 0..2 {
                assert_eq!(block_on(receiver.recv()), Some(number));
            }
            assert_eq!(block_on(receiver.recv()), None);
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_spsc_a_turn_s_messages_are_found_by_who_waits() {
    // The sender goes on to something else after its turn: nothing but the end of the turn looks again.
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(2);
        let thread = thread::spawn(move || {
            on_a(there, || {
                sender.try_send(1).expect("there is room");
                later::settle();
                sender.try_send(2).expect("there is room");
            });
            sender
        });
        on_a(here, || {
            assert_eq!(block_on(receiver.recv()), Some(1));
            assert_eq!(block_on(receiver.recv()), Some(2));
        });
        drop(thread.join().expect("no panic"));
    });
}

#[test]
fn loom_spsc_room_is_found_by_who_waits() {
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(2);
        for number in 0..2 {
            sender.try_send(number).expect("there is room");
        }
        // More than half of the ring stays full: only the end of the turn says that there is room.
        let thread = thread::spawn(move || {
            on_a(there, || assert_eq!(receiver.try_recv(), Ok(0)));
            receiver
        });
        on_a(here, || block_on(sender.send(2)).expect("it receives"));
        let mut receiver = thread.join().expect("no panic");
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
    });
}

/// Counts how often it was dropped, by whichever thread.
struct Canary(StdArc<StdAtomicUsize>);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, StdOrdering::SeqCst);
    }
}

fn canaries() -> (StdArc<StdAtomicUsize>, impl Fn() -> Canary + Send + 'static) {
    let dropped = StdArc::<StdAtomicUsize>::default();
    let counted = StdArc::clone(&dropped);
    (dropped, move || Canary(StdArc::clone(&counted)))
}

#[test]
fn loom_spsc_a_receiver_that_goes_ends_the_wait_and_drops_each_once() {
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(1);
        let (dropped, canary) = canaries();
        let thread = thread::spawn(move || {
            on_a(there, || drop(receiver.try_recv()));
            drop(receiver);
        });
        on_a(here, || {
            // As many as fit and as are received, and then an error, not a hang.
            let mut made = 0;
            loop {
                made += 1;
                if block_on(sender.send(canary())).is_err() {
                    break;
                }
                if made == 3 {
                    break;
                }
            }
            drop(sender);
            thread.join().expect("no panic");
            assert_eq!(dropped.load(StdOrdering::SeqCst), made);
        });
    });
}

#[test]
fn loom_spsc_who_sees_the_end_has_seen_what_was_sent() {
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(1);
        let thread = thread::spawn(move || {
            on_a(there, || sender.try_send(7).expect("there is room"));
            drop(sender);
        });
        on_a(here, || match receiver.try_recv() {
            Ok(7) | Err(TryRecvError::Empty) => {}
            other => panic!("{other:?}"),
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_spsc_a_dropped_receive_loses_nothing() {
    each_kind(|here, there| {
        let (mut sender, mut receiver) = spsc::channel(1);
        let thread = thread::spawn(move || {
            on_a(there, || block_on(sender.send(7)).expect("it receives"));
        });
        on_a(here, || {
            let first = poll_once(receiver.recv()).flatten();
            let second = block_on(receiver.recv());
            assert_eq!(first.or(second), Some(7));
            assert_eq!(first.and(second), None);
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_mpsc_two_messages_through_a_ring_of_one() {
    each_kind_shallow(|here, there| {
        let (sender, mut receiver) = mpsc::channel(1);
        let thread = thread::spawn(move || {
            on_a(there, || {
                for number in 0..2 {
                    block_on(sender.send(number)).expect("it receives");
                }
            });
        });
        on_a(here, || {
            for number in 0..2 {
                assert_eq!(block_on(receiver.recv()), Some(number));
            }
            assert_eq!(block_on(receiver.recv()), None);
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn loom_mpsc_two_senders_at_once() {
    each_kind_shallow(|here, there| {
        let (sender, mut receiver) = mpsc::channel(2);
        let threads = [1, 2].map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                on_a(there, || sender.try_send(number).expect("there is room"));
            })
        });
        on_a(here, || {
            let first = block_on(receiver.recv()).expect("two are sent");
            let second = block_on(receiver.recv()).expect("two are sent");
            assert_eq!(first + second, 3);
        });
        for thread in threads {
            thread.join().expect("no panic");
        }
        drop(sender);
    });
}

#[test]
fn loom_mpsc_a_turn_that_is_given_up_goes_to_the_next() {
    each_kind_shallow(|here, there| {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(0).expect("there is room");
        let given_up = sender.clone();
        let mut sending = given_up.send(1);
        assert!(Pin::new(&mut sending).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let second = thread::spawn(move || {
            on_a(there, || block_on(sender.send(2)).expect("it receives"));
        });
        on_a(here, || {
            assert_eq!(block_on(receiver.recv()), Some(0));
            // It may have been called, or is now.
            drop(sending);
            assert_eq!(block_on(receiver.recv()), Some(2));
        });
        second.join().expect("no panic");
    });
}

#[test]
fn loom_mpsc_a_receiver_that_goes_ends_every_wait_and_drops_each_once() {
    each_kind_shallow(|here, there| {
        let (sender, receiver) = mpsc::channel(1);
        let (dropped, canary) = canaries();
        sender.try_send(canary()).unwrap_or_else(|_| panic!("there is room"));
        let another = canary();
        let thread = thread::spawn(move || {
            on_a(there, || {
                drop(block_on(sender.send(another)));
                drop(sender.try_send(canary()));
            });
        });
        on_a(here, || drop(receiver));
        thread.join().expect("no panic");
        assert_eq!(dropped.load(StdOrdering::SeqCst), 3);
    });
}

#[test]
fn loom_mpsc_positions_claimed_in_vain_are_passed_over() {
    each_kind_shallow(|here, there| {
        let (sender, mut receiver) = mpsc::channel(2);
        let thread = thread::spawn(move || {
            on_a(there, || {
                let lying = &mut Lying(2);
                assert_eq!(sender.try_send_many(lying), Ok(0));
                block_on(sender.send(5)).expect("it receives");
            });
        });
        on_a(here, || {
            assert_eq!(block_on(receiver.recv()), Some(5));
            assert_eq!(block_on(receiver.recv()), None);
        });
        thread.join().expect("no panic");
    });
}

/// Promises so many and has none.
struct Lying(usize);

impl Iterator for Lying {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0, Some(self.0))
    }
}

impl ExactSizeIterator for Lying {}
