//! Rings and lines step by step, on one thread: who is woken when, and in which order.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::channel::error::{SendError, TryRecvError, TrySendError};
use crate::channel::{later, mpsc, spsc};

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::<Count>::default();
    (Arc::clone(&count), Waker::from(count))
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll<T>(future: impl Future<Output = T>, waker: &Waker) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn messages_come_in_order_through_every_place_of_a_ring() {
    // Capacities that are no power of two, and more rounds than slots.
    for capacity in [1, 2, 3, 5, 8] {
        let (mut sender, mut receiver) = spsc::channel(capacity);
        let (many, mut one) = mpsc::channel(capacity);
        for round in 0..40 {
            let count = round % capacity + 1;
            for number in 0..count {
                sender.try_send((round, number)).expect("there is room");
                many.try_send((round, number)).expect("there is room");
            }
            assert_eq!((sender.len(), many.len()), (count, count));
            for number in 0..count {
                assert_eq!(receiver.try_recv(), Ok((round, number)));
                assert_eq!(one.try_recv(), Ok((round, number)));
            }
            assert!(receiver.is_empty() && one.is_empty());
        }
        for number in 0..capacity {
            sender.try_send((0, number)).expect("there is room");
            many.try_send((0, number)).expect("there is room");
        }
        assert_eq!(sender.try_send((1, 0)), Err(TrySendError::Full((1, 0))));
        assert_eq!(many.try_send((1, 0)), Err(TrySendError::Full((1, 0))));
    }
}

#[test]
fn who_does_not_wait_is_not_woken_and_who_does_once() {
    for turns in [false, true] {
        let _turns = turns.then(later::enter);
        let (mut sender, mut receiver) = spsc::channel(8);
        let (count, waker) = counted();
        sender.try_send(1).expect("there is room");
        assert_eq!(poll(receiver.recv(), &waker), Poll::Ready(Some(1)));
        assert_eq!(poll(receiver.recv(), &waker), Poll::Pending);
        for number in 0..4 {
            sender.try_send(number).expect("there is room");
        }
        later::settle();
        assert_eq!(count.get(), 1, "turns: {turns}");
    }
}

#[test]
fn a_sender_is_woken_for_half_a_ring_or_at_the_end_of_the_turn() {
    let _turns = later::enter();
    let (mut sender, mut receiver) = spsc::channel(8);
    let (count, waker) = counted();
    for round in 0..2 {
        while sender.try_send(0).is_ok() {}
        assert!(poll(sender.send(1), &waker).is_pending());
        for _ in 0..3 {
            receiver.try_recv().expect("it is full");
        }
        assert_eq!(count.get(), 2 * round);
        receiver.try_recv().expect("it is half full");
        assert_eq!(count.get(), 2 * round + 1);
        while sender.try_send(0).is_ok() {}
        assert!(poll(sender.send(1), &waker).is_pending());
        receiver.try_recv().expect("it is full");
        assert_eq!(count.get(), 2 * round + 1);
        later::settle();
        assert_eq!(count.get(), 2 * round + 2);
    }
}

#[test]
fn without_turns_a_sender_is_woken_at_once() {
    let (mut sender, mut receiver) = spsc::channel(8);
    let (count, waker) = counted();
    while sender.try_send(0).is_ok() {}
    assert!(poll(sender.send(1), &waker).is_pending());
    receiver.try_recv().expect("it is full");
    assert_eq!(count.get(), 1);
}

#[test]
fn senders_wait_in_order_and_nobody_overtakes() {
    for turns in [false, true] {
        let _turns = turns.then(later::enter);
        let (sender, mut receiver) = mpsc::channel(2);
        let others = [sender.clone(), sender.clone(), sender.clone()];
        let wakers = [counted(), counted(), counted()];
        sender.try_send(0).expect("there is room");
        sender.try_send(1).expect("there is room");
        let mut waiting: Vec<_> = others.iter().zip(2..).map(|(other, n)| other.send(n)).collect();
        for (sending, (_, waker)) in waiting.iter_mut().zip(&wakers) {
            assert!(Pin::new(sending).poll(&mut Context::from_waker(waker)).is_pending());
        }
        assert_eq!(receiver.try_recv(), Ok(0));
        later::settle();
        assert_eq!(wakers.each_ref().map(|(count, _)| count.get()), [1, 0, 0]);
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)), "the room is another's");
        assert_eq!(sender.try_send_many(&mut (0..3)), Ok(0));
        // Out of turn: it waits on.
        let polled = Pin::new(&mut waiting[2]).poll(&mut Context::from_waker(&wakers[2].1));
        assert!(polled.is_pending());
        // The first gives up, and the second is called in its place.
        assert_eq!(waiting[0].take_back(), Some(2));
        assert_eq!(wakers.each_ref().map(|(count, _)| count.get()), [1, 1, 0]);
        let polled = Pin::new(&mut waiting[1]).poll(&mut Context::from_waker(&wakers[1].1));
        assert_eq!(polled, Poll::Ready(Ok(())));
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(3)));
        later::settle();
        let polled = Pin::new(&mut waiting[2]).poll(&mut Context::from_waker(&wakers[2].1));
        assert_eq!(polled, Poll::Ready(Ok(())));
        assert_eq!(receiver.try_recv(), Ok(4));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.try_send(5).expect("the line is empty");
    }
}

#[test]
fn an_end_that_goes_is_told_and_messages_come_back() {
    let (sender, receiver) = mpsc::channel(1);
    let (count, waker) = counted();
    sender.try_send(0).expect("there is room");
    let mut waiting = sender.send(1);
    assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(receiver);
    assert_eq!(count.get(), 1);
    let polled = Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Ready(Err(SendError(1))));
    assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(sender.try_send_many(&mut (0..2)), Err(SendError(())));

    let (mut sender, mut receiver) = spsc::channel::<u8>(1);
    assert!(poll(receiver.recv(), &waker).is_pending());
    sender.try_send(3).expect("there is room");
    assert_eq!(count.get(), 2);
    drop(sender);
    assert_eq!(poll(receiver.recv(), &waker), Poll::Ready(Some(3)));
    assert_eq!(poll(receiver.recv(), &waker), Poll::Ready(None));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    let mut buffer = Vec::new();
    assert_eq!(poll(receiver.recv_many(&mut buffer, 4), &waker), Poll::Ready(0));
}

#[test]
fn an_iterator_that_panics_or_lies_leaves_the_channel_whole() {
    struct Ends(usize, bool);
    impl Iterator for Ends {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.0 += 1;
            match (self.0, self.1) {
                (..3, _) => Some(self.0),
                (_, true) => panic!("the iterator ends badly"),
                (_, false) => None,
            }
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (5, Some(5))
        }
    }
    impl ExactSizeIterator for Ends {}

    let (mut single, mut receiver) = spsc::channel(4);
    let (many, mut taker) = mpsc::channel(4);
    for panics in [true, false] {
        let unwinding = std::panic::AssertUnwindSafe(|| single.try_send_many(&mut Ends(0, panics)));
        assert_eq!(std::panic::catch_unwind(unwinding).is_err(), panics);
        let unwinding = std::panic::AssertUnwindSafe(|| many.try_send_many(&mut Ends(0, panics)));
        assert_eq!(std::panic::catch_unwind(unwinding).is_err(), panics);
        assert_eq!(receiver.drain().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(taker.drain().collect::<Vec<_>>(), [1, 2]);
        // What was claimed in vain is room again.
        assert_eq!(taker.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(many.try_send_many(&mut (0..4)), Ok(4));
        assert_eq!(taker.drain().count(), 4);
    }
}

#[test]
fn a_drain_that_is_forgotten_takes_nothing_twice() {
    let (mut sender, mut receiver) = spsc::channel(4);
    let value = Arc::new(());
    for _ in 0..3 {
        sender.try_send(Arc::clone(&value)).expect("there is room");
    }
    let mut drain = receiver.drain();
    let first = drain.next();
    let _forgotten = std::mem::ManuallyDrop::new(drain);
    drop((receiver, sender));
    assert_eq!(Arc::strong_count(&value), 2);
    drop(first);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_waker_that_uses_the_channel_is_heard() {
    struct Sends(std::sync::Mutex<spsc::Sender<u8>>);
    impl Wake for Sends {
        fn wake(self: Arc<Self>) {
            self.0.lock().expect("no panic").try_send(7).expect("there is room");
        }
    }
    let _turns = later::enter();
    let (mut first, mut first_end) = spsc::channel(1);
    let (second, mut second_end) = spsc::channel(1);
    let sends = Waker::from(Arc::new(Sends(second.into())));
    let (count, waker) = counted();
    assert!(poll(first_end.recv(), &sends).is_pending());
    assert!(poll(second_end.recv(), &waker).is_pending());
    first.try_send(1).expect("there is room");
    later::settle();
    assert_eq!(count.get(), 1);
    assert_eq!(poll(second_end.recv(), &waker), Poll::Ready(Some(7)));
}
