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

/// Sends and receives one by one what `value` makes, through a ring that is long enough to ask for lines ahead.
fn go_round<T: PartialEq + std::fmt::Debug + Send>(value: impl Fn(u8) -> T) {
    let (mut sender, mut receiver) = spsc::channel(100);
    let (many, mut one) = mpsc::channel(100);
    for round in 0..5 {
        for number in round..round + 100 {
            sender.try_send(value(number)).expect("there is room");
            many.try_send(value(number)).expect("there is room");
        }
        for number in round..round + 100 {
            assert_eq!(receiver.try_recv(), Ok(value(number)));
            assert_eq!(one.try_recv(), Ok(value(number)));
        }
    }
}

#[test]
fn values_of_every_size_go_round_a_long_ring() {
    go_round(drop);
    go_round(|number| number);
    go_round(|number| [u64::from(number); 3]);
    go_round(|number| [number; 300]);
    go_round(|number| vec![number]);
}

#[test]
fn a_poll_sends_and_receives_as_many_as_its_budget_has() {
    use crate::executor::budget;

    let (_, waker) = counted();
    let (mut sender, mut receiver) = spsc::channel(300);
    for _ in 0..2 {
        budget::reset();
        let sent = (0..300).take_while(|n| poll(sender.send(*n), &waker).is_ready()).count() as u64;
        assert_eq!(sent, budget::PER_POLL);
        budget::reset();
        let received = (0..300).take_while(|_| poll(receiver.recv(), &waker).is_ready()).count();
        // The first of them is looked for, and counts for itself.
        assert_eq!(received, sent as usize);
    }
    budget::lift();
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
        let ((count, waker), (other, other_waker)) = (counted(), counted());
        assert!(poll(receiver.recv(), &waker).is_pending());
        assert!(poll(taker.recv(), &other_waker).is_pending());
        let unwinding = std::panic::AssertUnwindSafe(|| single.try_send_many(&mut Ends(0, panics)));
        assert_eq!(std::panic::catch_unwind(unwinding).is_err(), panics);
        let unwinding = std::panic::AssertUnwindSafe(|| many.try_send_many(&mut Ends(0, panics)));
        assert_eq!(std::panic::catch_unwind(unwinding).is_err(), panics);
        assert_eq!((count.get(), other.get()), (1, 1), "who waits for what is there is told");
        assert_eq!(receiver.drain().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(taker.drain().collect::<Vec<_>>(), [1, 2]);
        // What was claimed in vain is room again.
        assert_eq!(taker.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(many.try_send_many(&mut (0..4)), Ok(4));
        assert_eq!(taker.drain().count(), 4);
    }
}

/// Ends after each number, and then goes on.
struct Halting(u32);

impl Iterator for Halting {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 += 1;
        (self.0 % 2 == 1).then_some(self.0)
    }
}

#[test]
fn batches_go_round_the_ring_also_from_an_iterator_that_goes_on_after_its_end() {
    let (mut sender, mut receiver) = spsc::channel(4);
    let mut buffer = Vec::new();
    for start in 0..8 {
        // The place where the ring goes round is somewhere else each time.
        sender.try_send(start).expect("there is room");
        assert_eq!(receiver.try_recv(), Ok(start));
        assert_eq!(sender.try_send_many(&mut (0..9)), Ok(4));
        assert_eq!(receiver.try_recv_many(&mut buffer, 3), 3);
        assert_eq!(receiver.try_recv_many(&mut buffer, 3), 1);
        assert_eq!(std::mem::take(&mut buffer), [0, 1, 2, 3]);
        assert_eq!(sender.try_send_many(&mut Halting(0)), Ok(1));
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

/// Gives numbers, and uses the channel's other ends before each.
struct Meddling<F: FnMut(u32)>(std::ops::Range<u32>, F);

impl<F: FnMut(u32)> Iterator for Meddling<F> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let next = self.0.next()?;
        (self.1)(next);
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<F: FnMut(u32)> ExactSizeIterator for Meddling<F> {}

#[test]
fn an_iterator_may_use_the_channel_that_it_is_sent_through() {
    let (mut single, mut receiver) = spsc::channel(4);
    let mut early = Vec::new();
    // What is put in with others is shown with them: while it goes on there is nothing.
    let meddle = |_| early.extend(receiver.try_recv().ok());
    assert_eq!(single.try_send_many(&mut Meddling(0..9, meddle)), Ok(4));
    assert_eq!((early, receiver.drain().collect::<Vec<_>>()), (vec![], vec![0, 1, 2, 3]));

    let (many, mut receiver) = mpsc::channel(8);
    let (other, mut early) = (many.clone(), Vec::new());
    let meddle = |number| {
        // Behind the positions that are claimed already, and so after all of them.
        assert_eq!(other.try_send(100 + number), Ok(()));
        early.extend(receiver.try_recv().ok());
    };
    assert_eq!(many.try_send_many(&mut Meddling(0..4, meddle)), Ok(4));
    let all: Vec<u32> = early.into_iter().chain(receiver.drain()).collect();
    assert_eq!(all, [0, 1, 2, 3, 100, 101, 102, 103]);
}

/// A message that panics as it is dropped, the first of them.
struct Bomb<'a>(&'a AtomicUsize);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) != 0, "the first one");
    }
}

#[test]
fn a_message_that_panics_as_it_is_dropped_leaves_each_of_the_others_its_drop() {
    // By the end of both ends, by a drain, and by who received it.
    for way in 0..6 {
        let drops = AtomicUsize::new(0);
        let (mut single, mut receiver) = spsc::channel(4);
        let (many, mut taker) = mpsc::channel(4);
        for _ in 0..3 {
            assert!(single.try_send(Bomb(&drops)).is_ok() && many.try_send(Bomb(&drops)).is_ok());
        }
        drops.store(1, Ordering::Relaxed);
        if way % 2 == 0 {
            taker.drain().for_each(drop)
        } else {
            receiver.drain().for_each(drop)
        }
        drops.store(0, Ordering::Relaxed);
        let unwinding = std::panic::AssertUnwindSafe(|| match way {
            0 => drop((receiver, single)),
            1 => drop((taker, many)),
            2 => receiver.drain().for_each(drop),
            3 => taker.drain().for_each(drop),
            4 => _ = receiver.try_recv().map(drop),
            _ => _ = taker.try_recv().map(drop),
        });
        assert!(std::panic::catch_unwind(unwinding).is_err(), "way {way}");
        assert_eq!(drops.load(Ordering::Relaxed), 3, "way {way}");
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
