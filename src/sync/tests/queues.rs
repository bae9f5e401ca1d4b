//! Queues, broadcast and watch: every schedule against a model, and their edges.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

use super::schedules::{Bounds, Log, Model, Task, explore, pause};
use super::waiting::poll_noop;
use crate::sync::{
    LifoQueue, OrderedQueue, PriorityQueue, Queue, TryGetError, TryPutError, broadcast, watch,
};

const EVERY: Bounds = Bounds { drops: 2, idle_polls: 0 };
const IDLE: Bounds = Bounds { drops: 1, idle_polls: 1 };
/// The task that acts while the others wait.
const ACTOR: usize = 3;
const REFUSED: i64 = -2;
const END: i64 = -1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Ready,
    Queued,
    Granted,
    Refused,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Put,
    Get,
    ShutDown { immediate: bool },
}

/// One of the two lines at a queue: for items, or for room.
#[derive(Default)]
struct Line {
    free: usize,
    queue: VecDeque<usize>,
}

impl Line {
    fn put(&mut self, at: &mut [At; 4], open: bool) {
        self.free += 1;
        self.grant(at, open);
    }

    fn grant(&mut self, at: &mut [At; 4], open: bool) {
        while open
            && self.free > 0
            && let Some(first) = self.queue.pop_front()
        {
            self.free -= 1;
            at[first] = At::Granted;
        }
    }
}

/// A queue for one item; putters put their number.
struct Desk {
    roles: [Role; 4],
    at: [At; 4],
    items: Line,
    room: Line,
    kept: VecDeque<i64>,
    open: bool,
}

impl Desk {
    fn line(&mut self, task: usize) -> &mut Line {
        if self.roles[task] == Role::Put { &mut self.room } else { &mut self.items }
    }

    /// The task has its turn, or is refused it.
    fn act(&mut self, task: usize) -> Vec<i64> {
        self.at[task] = At::Gone;
        let (at, open) = (&mut self.at, self.open);
        if self.roles[task] == Role::Get {
            let Some(item) = self.kept.pop_front() else { return vec![REFUSED] };
            self.room.put(at, open);
            return vec![item];
        }
        if !open {
            return vec![REFUSED];
        }
        self.kept.push_back(task as i64);
        self.items.put(at, open);
        vec![]
    }

    fn shut_down(&mut self, immediate: bool) {
        self.open = false;
        for task in self.room.queue.drain(..).chain(self.items.queue.drain(..)) {
            self.at[task] = At::Refused;
        }
        if immediate {
            self.room.free += self.kept.len();
            self.kept.clear();
        }
    }
}

impl Model for Desk {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        if let Role::ShutDown { immediate } = self.roles[task] {
            self.at[task] = At::Gone;
            self.shut_down(immediate);
            return vec![];
        }
        let (at, open) = (self.at[task], self.open);
        let line = self.line(task);
        match at {
            At::Ready if open && (line.free == 0 || !line.queue.is_empty()) => {
                line.queue.push_back(task);
                self.at[task] = At::Queued;
                vec![]
            }
            At::Ready => {
                line.free -= usize::from(open);
                self.act(task)
            }
            At::Granted => {
                line.free += usize::from(!open);
                self.act(task)
            }
            At::Refused => self.act(task),
            At::Queued | At::Gone => vec![],
        }
    }

    fn drop(&mut self, task: usize) {
        let left = std::mem::replace(&mut self.at[task], At::Gone);
        let (mut at, open) = (self.at, self.open);
        let line = self.line(task);
        line.queue.retain(|queued| *queued != task);
        if left == At::Granted {
            line.put(&mut at, open);
        }
        self.at = at;
    }

    fn is_runnable(&self, task: usize) -> bool {
        !matches!(self.at[task], At::Queued | At::Gone)
    }

    fn has_ended(&self, task: usize) -> bool {
        self.at[task] == At::Gone
    }

    fn are_alike(&self, one: usize, other: usize) -> bool {
        self.roles[one] == Role::Get && self.roles[other] == Role::Get
    }
}

#[test]
fn a_queue_in_every_schedule() {
    use Role::{Get, Put, ShutDown};
    let shut_down = |immediate| ShutDown { immediate };
    let both = [Put, Put, Get, Get];
    let cases = [
        (both, EVERY),
        (both, IDLE),
        ([Put, Put, Get, shut_down(false)], EVERY),
        ([Put, Put, Get, shut_down(true)], EVERY),
        ([Get, Get, Put, shut_down(false)], EVERY),
        ([Get, Get, Put, shut_down(true)], IDLE),
    ];
    for (roles, bounds) in cases {
        let make = |log: &Log| {
            let queue = Rc::new(Queue::bounded(1));
            let play = |task: usize| {
                let (queue, log) = (Rc::clone(&queue), log.clone());
                Box::pin(async move {
                    match roles[task] {
                        Put => match queue.put(task as i64).await {
                            Ok(()) => {}
                            Err(_) => log.say(task, REFUSED),
                        },
                        Get => log.say(task, queue.get().await.unwrap_or(REFUSED)),
                        ShutDown { immediate } => queue.shutdown(immediate),
                    }
                }) as Task
            };
            let model = Desk {
                roles,
                at: [At::Ready; 4],
                items: Line::default(),
                room: Line { free: 1, queue: VecDeque::new() },
                kept: VecDeque::new(),
                open: true,
            };
            (Rc::clone(&queue), (0..4).map(play).collect(), model)
        };
        let schedules = explore(bounds, make, |queue, model| {
            let mut left: Vec<i64> = Vec::new();
            while let Ok(item) = queue.try_get() {
                left.push(item);
            }
            assert_eq!(model.kept, left);
        });
        assert!(schedules > 400, "{schedules} schedules are too few to prove anything");
    }
}

/// Receivers that log all they get; the fourth task sends, and goes.
struct Watched {
    sent: Vec<i64>,
    /// How many of them each has seen.
    seen: [usize; ACTOR],
    at: [At; 4],
    steps: VecDeque<Vec<i64>>,
    /// What a receiver gets of what it has not seen.
    get: fn(&[i64]) -> Vec<i64>,
}

impl Watched {
    fn new(steps: &[&[i64]], get: fn(&[i64]) -> Vec<i64>) -> Self {
        let steps = steps.iter().map(|step| step.to_vec()).collect();
        Self { sent: Vec::new(), seen: [0; ACTOR], at: [At::Ready; 4], steps, get }
    }

    fn wake_all(&mut self) {
        for at in self.at[..ACTOR].iter_mut().filter(|at| **at == At::Queued) {
            *at = At::Ready;
        }
    }
}

impl Model for Watched {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        if task == ACTOR {
            let step = self.steps.pop_front().expect("the actor has steps left");
            if self.at[..ACTOR].iter().any(|at| *at != At::Gone) {
                self.sent.extend(step);
            }
            self.wake_all();
            if self.steps.is_empty() {
                self.at[ACTOR] = At::Gone;
            }
            return vec![];
        }
        let mut seen = (self.get)(&self.sent[self.seen[task]..]);
        self.seen[task] = self.sent.len();
        self.at[task] = At::Queued;
        if self.at[ACTOR] == At::Gone {
            self.at[task] = At::Gone;
            seen.push(END);
        }
        seen
    }

    fn drop(&mut self, task: usize) {
        self.at[task] = At::Gone;
        if task == ACTOR {
            self.wake_all();
        }
    }

    fn is_runnable(&self, task: usize) -> bool {
        self.at[task] == At::Ready
    }

    fn has_ended(&self, task: usize) -> bool {
        self.at[task] == At::Gone
    }

    fn are_alike(&self, one: usize, other: usize) -> bool {
        one != ACTOR && other != ACTOR
    }
}

const STEPS: &[&[i64]] = &[&[1], &[2, 3, 4]];

async fn act(send: impl Fn(i64)) {
    for (index, step) in STEPS.iter().enumerate() {
        if index > 0 {
            pause().await;
        }
        step.iter().for_each(|value| send(*value));
    }
}

#[test]
fn a_watch_in_every_schedule() {
    let last = |unseen: &[i64]| unseen.last().copied().into_iter().collect();
    for bounds in [EVERY, IDLE] {
        let make = |log: &Log| {
            let (sender, receiver) = watch::channel(0);
            let receive = |task| {
                let (mut receiver, log) = (receiver.clone(), log.clone());
                Box::pin(async move {
                    while receiver.changed().await.is_ok() {
                        log.say(task, *receiver.borrow());
                    }
                    log.say(task, END);
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..ACTOR).map(receive).collect();
            tasks.push(Box::pin(async move { act(|value| _ = sender.send(value)).await }));
            ((), tasks, Watched::new(STEPS, last))
        };
        explore(bounds, make, |(), _| {});
    }
}

#[test]
fn a_broadcast_in_every_schedule() {
    const KEPT: usize = 2;
    let all = |unseen: &[i64]| match unseen.len().checked_sub(KEPT) {
        Some(missed) if missed > 0 => [&[-10 - missed as i64], &unseen[missed..]].concat(),
        _ => unseen.to_vec(),
    };
    for bounds in [EVERY, IDLE] {
        let make = |log: &Log| {
            let (sender, receiver) = broadcast::channel(KEPT);
            let receive = |task| {
                let (mut receiver, log) = (receiver.resubscribe(), log.clone());
                Box::pin(async move {
                    loop {
                        match receiver.recv().await {
                            Ok(value) => log.say(task, value),
                            Err(broadcast::RecvError::Lagged(missed)) => {
                                log.say(task, -10 - missed as i64);
                            }
                            Err(broadcast::RecvError::Closed) => return log.say(task, END),
                        }
                    }
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..ACTOR).map(receive).collect();
            let sent = sender.clone();
            tasks.push(Box::pin(async move { act(|value| _ = sent.send(value)).await }));
            drop(sender);
            ((), tasks, Watched::new(STEPS, all))
        };
        explore(bounds, make, |(), _| {});
    }
}

#[test]
fn each_order_gives_items_out_in_its_way() {
    fn through<O: crate::sync::Order<(i32, char)>>(queue: OrderedQueue<(i32, char), O>) -> String {
        for item in [(2, 'a'), (1, 'b'), (3, 'c'), (1, 'b')] {
            queue.try_put(item).expect("room");
        }
        std::iter::from_fn(|| queue.try_get().ok()).map(|(_, name)| name).collect()
    }
    assert_eq!(through(Queue::new()), "abcb");
    assert_eq!(through(LifoQueue::new()), "bcba");
    assert_eq!(through(PriorityQueue::bounded(4)), "bbac");
}

#[test]
fn equal_items_come_out_as_they_came() {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Job(i32);
    let (queue, first) = (PriorityQueue::new(), Rc::new(Job(1)));
    queue.try_put(Rc::clone(&first)).expect("room");
    queue.try_put(Rc::new(Job(1))).expect("room");
    assert!(queue.try_get().is_ok_and(|job| Rc::ptr_eq(&job, &first)));
}

#[test]
fn join_waits_for_what_was_put_and_shutdown_ends_it() {
    let queue = Queue::bounded(2);
    assert!(poll_noop(&mut Box::pin(queue.join())).is_ready(), "nothing was put");
    queue.try_put(1).expect("room");
    queue.try_put(2).expect("room");
    assert_eq!((queue.try_put(3), queue.is_full()), (Err(TryPutError::Full(3)), true));
    assert_eq!((queue.max_size(), Queue::<()>::new().max_size()), (Some(2), None));
    assert_eq!(queue.try_get(), Ok(1));
    let mut join = Box::pin(queue.join());
    queue.task_done();
    assert!(poll_noop(&mut join).is_pending(), "one is in the queue");
    queue.shutdown(false);
    assert_eq!(queue.try_put(3), Err(TryPutError::ShutDown(3)));
    assert!(poll_noop(&mut join).is_pending(), "it can still be got");
    queue.shutdown(true);
    assert!(poll_noop(&mut join).is_ready());
    assert_eq!((queue.try_get(), queue.unfinished()), (Err(TryGetError::ShutDown), 0));
    assert!(matches!(poll_noop(&mut Box::pin(queue.get())), Poll::Ready(Err(_))));
}

#[test]
#[should_panic(expected = "task_done was called more often than items were put")]
fn task_done_too_often_panics() {
    let queue = Queue::new();
    queue.try_put(1).expect("room");
    queue.task_done();
    queue.task_done();
}

#[test]
#[should_panic(expected = "do not hold one over an await")]
fn sending_while_a_value_is_looked_at_panics() {
    let (sender, receiver) = watch::channel(1);
    let _held = receiver.borrow();
    let _ = sender.send(2);
}

#[test]
fn a_watch_shows_what_changed() {
    let (sender, mut receiver) = watch::channel(1);
    assert_eq!((receiver.has_changed(), sender.send_replace(2)), (Ok(false), 1));
    assert!(receiver.borrow().has_changed() && receiver.borrow_and_update().has_changed());
    assert!(!sender.send_if_modified(|_| false) && receiver.has_changed() == Ok(false));
    sender.send_modify(|value| *value += 1);
    receiver.mark_unchanged();
    let mut wait = Box::pin(receiver.wait_for(|value| *value == 4));
    assert!(poll_noop(&mut wait).is_pending());
    sender.send(4).expect("one watches");
    assert!(matches!(poll_noop(&mut wait), Poll::Ready(Ok(value)) if *value == 4));
    drop(wait);
    receiver.mark_changed();
    assert_eq!(poll_noop(&mut Box::pin(receiver.changed())), Poll::Ready(Ok(())));
    assert!(poll_noop(&mut Box::pin(sender.closed())).is_pending());
    drop(sender.clone());
    drop(sender);
    assert!(receiver.has_changed().is_err());
    assert!(matches!(poll_noop(&mut Box::pin(receiver.wait_for(|_| false))), Poll::Ready(Err(_))));
}

#[test]
fn a_broadcast_keeps_what_somebody_has_yet_to_see() {
    let (sender, mut one) = broadcast::channel(3);
    let two = sender.subscribe();
    let value = Rc::new(1);
    assert_eq!(sender.send(Rc::clone(&value)), Ok(2));
    assert_eq!((one.try_recv(), sender.len()), (Ok(Rc::clone(&value)), 1));
    drop(two);
    assert_eq!((sender.len(), Rc::strong_count(&value)), (0, 1), "nobody has to see it");
    assert_eq!(one.try_recv(), Err(broadcast::TryRecvError::Empty));
    for _ in 0..5 {
        sender.send(Rc::clone(&value)).expect("one listens");
    }
    assert_eq!((one.len(), Rc::strong_count(&value)), (5, 4), "three are kept");
    assert_eq!(one.try_recv(), Err(broadcast::TryRecvError::Lagged(2)));
    assert!(one.resubscribe().is_empty());
    assert_eq!(sender.receiver_count(), 1);
    drop(one);
    assert_eq!((Rc::strong_count(&value), sender.send(value).is_err()), (1, true));
    assert!(poll_noop(&mut Box::pin(sender.closed())).is_ready());
}
