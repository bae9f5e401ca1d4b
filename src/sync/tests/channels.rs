//! Channels: every schedule against a model, and each end by itself.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::schedules::{Bounds, Log, Model, Task, explore, pause};
use super::waiting::poll_noop;
use crate::sync::mpsc::error::{TryRecvError, TrySendError};
use crate::sync::{mpsc, oneshot};

const EVERY: Bounds = Bounds { drops: 2, idle_polls: 0 };
const IDLE: Bounds = Bounds { drops: 1, idle_polls: 1 };
const RECEIVER: usize = 3;
const END: i64 = -1;
const REFUSED: i64 = -2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Ready,
    Queued,
    Granted,
    Refused,
    Gone,
}

/// Three senders of some messages each, and a receiver of all.
struct Channel {
    at: [At; 4],
    left: [i64; 4],
    free: usize,
    senders: usize,
    queue: VecDeque<usize>,
    messages: VecDeque<i64>,
}

impl Channel {
    fn grant(&mut self) {
        while self.free > 0
            && let Some(first) = self.queue.pop_front()
        {
            self.free -= 1;
            self.at[first] = At::Granted;
        }
    }

    fn wake_receiver(&mut self) {
        if self.at[RECEIVER] == At::Queued {
            self.at[RECEIVER] = At::Ready;
        }
    }

    fn push(&mut self, task: usize) {
        self.messages.push_back(task as i64 * 10 + self.left[task]);
        self.left[task] -= 1;
        self.wake_receiver();
    }

    fn end_sender(&mut self, task: usize) {
        self.at[task] = At::Gone;
        self.senders -= 1;
        if self.senders == 0 {
            self.wake_receiver();
        }
    }

    fn send(&mut self, task: usize) -> Vec<i64> {
        let closed = self.at[RECEIVER] == At::Gone;
        match self.at[task] {
            At::Refused => {}
            At::Granted if closed => self.free += 1,
            At::Granted => {
                self.push(task);
                self.at[task] = At::Ready;
                return self.send(task);
            }
            At::Ready if self.left[task] == 0 => {
                self.end_sender(task);
                return vec![];
            }
            At::Ready if !closed && self.free > 0 && self.queue.is_empty() => {
                self.free -= 1;
                self.push(task);
                return self.send(task);
            }
            At::Ready if !closed => {
                self.at[task] = At::Queued;
                self.queue.push_back(task);
                return vec![];
            }
            At::Ready => {}
            At::Queued | At::Gone => return vec![],
        }
        self.end_sender(task);
        vec![REFUSED]
    }

    fn receive(&mut self) -> Vec<i64> {
        let mut seen = Vec::new();
        while let Some(message) = self.messages.pop_front() {
            seen.push(message);
            self.free += 1;
            self.grant();
        }
        self.at[RECEIVER] = At::Queued;
        if self.senders == 0 {
            self.at[RECEIVER] = At::Gone;
            seen.push(END);
        }
        seen
    }
}

impl Model for Channel {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        if task == RECEIVER { self.receive() } else { self.send(task) }
    }

    fn drop(&mut self, task: usize) {
        let left = std::mem::replace(&mut self.at[task], At::Gone);
        if task == RECEIVER {
            self.messages.clear();
            for queued in self.queue.drain(..) {
                self.at[queued] = At::Refused;
            }
            return;
        }
        self.queue.retain(|queued| *queued != task);
        if left == At::Granted {
            self.free += 1;
            self.grant();
        }
        self.end_sender(task);
    }

    fn is_runnable(&self, task: usize) -> bool {
        !matches!(self.at[task], At::Queued | At::Gone)
    }

    fn has_ended(&self, task: usize) -> bool {
        self.at[task] == At::Gone
    }

    fn are_alike(&self, _: usize, _: usize) -> bool {
        false
    }
}

#[test]
fn a_bounded_channel_in_every_schedule() {
    let each_one = (1, [1, 1, 1, 0], EVERY);
    let more = (2, [1, 2, 2, 0], Bounds { drops: 1, idle_polls: 0 });
    for (capacity, counts, bounds) in [each_one, more, (1, [1, 0, 2, 0], IDLE)] {
        let make = |log: &Log| {
            let (sender, mut receiver) = mpsc::channel(capacity);
            let send = |task: usize| {
                let (sender, log, count) = (sender.clone(), log.clone(), counts[task]);
                Box::pin(async move {
                    for left in (1..=count).rev() {
                        if sender.send(task as i64 * 10 + left).await.is_err() {
                            log.say(task, REFUSED);
                            return;
                        }
                    }
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..RECEIVER).map(send).collect();
            let log = log.clone();
            tasks.push(Box::pin(async move {
                while let Some(message) = receiver.recv().await {
                    log.say(RECEIVER, message);
                }
                log.say(RECEIVER, END);
            }));
            let model = Channel {
                at: [At::Ready; 4],
                left: counts,
                free: capacity,
                senders: 3,
                queue: VecDeque::new(),
                messages: VecDeque::new(),
            };
            (sender.downgrade(), tasks, model)
        };
        let schedules = explore(bounds, make, |sender, _| assert!(sender.upgrade().is_none()));
        assert!(schedules > 1000, "{schedules} schedules are too few to prove anything");
    }
}

/// A sender that pauses and sends, a receiver, and whoever goes first.
struct Once {
    sender: At,
    receiver: At,
    sent: bool,
    paused: bool,
}

impl Model for Once {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        match task {
            0 if !self.paused => {
                self.paused = true;
                vec![]
            }
            0 => {
                let refused = self.receiver == At::Gone;
                self.drop(0);
                self.sent = !refused;
                vec![if refused { REFUSED } else { 7 }]
            }
            _ if self.sender == At::Gone => {
                self.receiver = At::Gone;
                vec![if self.sent { 7 } else { END }]
            }
            _ => {
                self.receiver = At::Queued;
                vec![]
            }
        }
    }

    fn drop(&mut self, task: usize) {
        if task == 1 {
            self.receiver = At::Gone;
            return;
        }
        self.sender = At::Gone;
        if self.receiver == At::Queued {
            self.receiver = At::Ready;
        }
    }

    fn is_runnable(&self, task: usize) -> bool {
        [self.sender, self.receiver][task] == At::Ready
    }

    fn has_ended(&self, task: usize) -> bool {
        [self.sender, self.receiver][task] == At::Gone
    }

    fn are_alike(&self, _: usize, _: usize) -> bool {
        false
    }
}

#[test]
fn a_oneshot_in_every_schedule() {
    let make = |log: &Log| {
        let value = Rc::new(7);
        let (sender, receiver) = oneshot::channel();
        let (sent, sending, log) = (Rc::clone(&value), log.clone(), log.clone());
        let tasks: Vec<Task> = vec![
            Box::pin(async move {
                pause().await;
                let result = sender.send(sent);
                sending.say(0, result.map_or(REFUSED, |()| 7));
            }),
            Box::pin(async move { log.say(1, receiver.await.map_or(END, |value| *value)) }),
        ];
        let model = Once { sender: At::Ready, receiver: At::Ready, sent: false, paused: false };
        (value, tasks, model)
    };
    let bounds = Bounds { drops: 2, idle_polls: 3 };
    let schedules = explore(bounds, make, |value, _| assert_eq!(Rc::strong_count(value), 1));
    assert!(schedules > 50, "{schedules}");
}

#[test]
fn a_oneshot_tells_both_ends_of_the_other() {
    let (mut sender, mut receiver) = oneshot::channel::<i32>();
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
    assert!(poll_noop(&mut pin!(sender.closed())).is_pending());
    receiver.close();
    assert!(poll_noop(&mut pin!(sender.closed())).is_ready() && sender.is_closed());
    assert_eq!(sender.send(1), Err(1));
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
    let (sender, mut receiver) = oneshot::channel();
    sender.send(2).expect("open");
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(2), "it was sent before the close");
    assert!(matches!(poll_noop(&mut receiver), Poll::Ready(Err(_))), "once");
}

#[test]
fn permits_keep_room_and_outlive_a_close() {
    let (sender, mut receiver) = mpsc::channel(2);
    let permit = sender.try_reserve().expect("room");
    let owned = sender.clone().try_reserve_owned().expect("room");
    assert_eq!((sender.capacity(), sender.max_capacity()), (0, 2));
    assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
    let mut waits = Box::pin(sender.reserve());
    assert!(poll_noop(&mut waits).is_pending());
    receiver.close();
    assert!(matches!(poll_noop(&mut waits), Poll::Ready(Err(_))));
    assert_eq!(sender.try_send(0), Err(TrySendError::Closed(0)));
    assert!(poll_noop(&mut Box::pin(receiver.recv())).is_pending(), "permits are out");
    permit.send(1);
    drop(owned.send(2));
    let mut both = Vec::new();
    let received = poll_noop(&mut Box::pin(receiver.recv_many(&mut both, 9)));
    assert_eq!((received, both), (Poll::Ready(2), vec![1, 2]));
    assert_eq!(poll_noop(&mut Box::pin(receiver.recv())), Poll::Ready(None));
    assert!(receiver.is_closed() && sender.is_closed());
    assert!(poll_noop(&mut Box::pin(sender.closed())).is_ready());
}

#[test]
fn a_dropped_permit_gives_its_room_to_who_waits() {
    let (sender, mut receiver) = mpsc::channel(1);
    let permit = sender.try_reserve().expect("room");
    let mut waits = Box::pin(sender.send(1));
    assert!(poll_noop(&mut waits).is_pending());
    drop(permit);
    assert!(poll_noop(&mut waits).is_ready());
    drop(waits);
    let mut owned = Box::pin(sender.clone().reserve_owned());
    assert!(poll_noop(&mut owned).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    let Poll::Ready(Ok(owned)) = poll_noop(&mut owned) else { panic!("there is room") };
    assert!(owned.release().same_channel(&sender));
    assert_eq!((sender.capacity(), sender.strong_count()), (1, 1));
    assert!(sender.try_reserve_owned().expect("room").send(3).try_send(4).is_err());
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn an_unbounded_channel_takes_all_and_gives_it_back_in_order() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let weak = sender.downgrade();
    for number in 0..1000 {
        weak.upgrade().expect("one is left").send(number).expect("open");
    }
    assert_eq!((receiver.len(), receiver.max_capacity()), (1000, usize::MAX));
    assert!((0..1000).all(|number| receiver.try_recv() == Ok(number)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let mut end = Box::pin(receiver.recv());
    assert!(poll_noop(&mut end).is_pending());
    drop(sender);
    assert_eq!(poll_noop(&mut end), Poll::Ready(None));
    assert!(weak.upgrade().is_none());
}

/// What is dropped with the receiver is dropped one by one, with the channel usable.
#[test]
fn a_message_may_use_the_channel_when_it_is_dropped() {
    struct Sends(Option<mpsc::WeakUnboundedSender<Self>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take().and_then(|weak| weak.upgrade()) {
                assert!(sender.send(Self(None)).is_err(), "it is closed");
            }
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    for _ in 0..3 {
        assert!(sender.send(Sends(Some(sender.downgrade()))).is_ok());
    }
    drop(receiver);
    assert!(sender.is_closed());
}

#[test]
#[should_panic(expected = "a channel of capacity 0 could never send")]
fn a_channel_has_room_for_one() {
    let _ = mpsc::channel::<()>(0);
}
