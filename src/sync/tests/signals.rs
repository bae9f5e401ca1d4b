//! Every schedule of notifications, events, barriers and once-cells, each against a model.

use std::rc::Rc;

use super::schedules::{Bounds, Log, Model, Task, explore, pause};
use crate::sync::{Barrier, Event, Notify, OnceCell};

const EVERY: Bounds = Bounds { drops: 2, idle_polls: 0 };
const IDLE: Bounds = Bounds { drops: 1, idle_polls: 1 };
/// The task that acts while the others wait.
const ACTOR: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Start,
    Queued,
    /// Released, and told so much.
    Told(i64),
    Acting(usize),
    Gone,
}

/// Who is where, and who waits in which order. What each thing does with it is its own.
#[derive(Clone)]
struct Queue {
    at: [At; 4],
    order: Vec<usize>,
}

impl Queue {
    fn new(actor: bool) -> Self {
        let mut at = [At::Start; 4];
        if actor {
            at[ACTOR] = At::Acting(0);
        }
        Self { at, order: Vec::new() }
    }

    fn join(&mut self, task: usize) -> Vec<i64> {
        self.at[task] = At::Queued;
        self.order.push(task);
        vec![]
    }

    fn end(&mut self, task: usize, saw: i64) -> Vec<i64> {
        self.at[task] = At::Gone;
        vec![saw]
    }

    fn release(&mut self, told: i64) -> bool {
        let some = !self.order.is_empty();
        if some {
            let first = self.order.remove(0);
            self.at[first] = At::Told(told);
        }
        some
    }

    fn release_all(&mut self, told: i64) {
        while self.release(told) {}
    }

    /// The task goes; where it was.
    fn leave(&mut self, task: usize) -> At {
        self.order.retain(|queued| *queued != task);
        std::mem::replace(&mut self.at[task], At::Gone)
    }

    fn is_runnable(&self, task: usize) -> bool {
        matches!(self.at[task], At::Start | At::Told(_) | At::Acting(_))
    }

    /// The actor's next step of `count`.
    fn act(&mut self, count: usize) -> usize {
        let At::Acting(step) = self.at[ACTOR] else { panic!("the actor acts") };
        self.at[ACTOR] = if step + 1 == count { At::Gone } else { At::Acting(step + 1) };
        step
    }
}

/// Delegates what every model does alike.
macro_rules! queue_model {
    ($name:ident, |$this:ident, $task:ident| $poll:expr, |$that:ident, $left:ident| $drop:expr) => {
        impl Model for $name {
            fn poll(&mut self, $task: usize) -> Vec<i64> {
                let $this = self;
                $poll
            }

            fn drop(&mut self, task: usize) {
                let $left = self.queue.leave(task);
                let $that = self;
                $drop
            }

            fn is_runnable(&self, task: usize) -> bool {
                self.queue.is_runnable(task)
            }

            fn has_ended(&self, task: usize) -> bool {
                self.queue.at[task] == At::Gone
            }

            fn are_alike(&self, one: usize, other: usize) -> bool {
                one != ACTOR && other != ACTOR
            }
        }
    };
}

const ONE: i64 = 1;
const ALL: i64 = 2;

struct Notified {
    queue: Queue,
    kept: bool,
}

impl Notified {
    fn notify_one(&mut self) {
        if !self.queue.release(ONE) {
            self.kept = true;
        }
    }
}

queue_model!(
    Notified,
    |this, task| match this.queue.at[task] {
        At::Start if std::mem::take(&mut this.kept) => this.queue.end(task, 0),
        At::Start => this.queue.join(task),
        At::Told(_) => this.queue.end(task, 0),
        At::Acting(_) => {
            match this.queue.act(3) {
                2 => this.queue.release_all(ALL),
                _ => this.notify_one(),
            }
            vec![]
        }
        At::Queued | At::Gone => vec![],
    },
    |this, left| if left == At::Told(ONE) {
        this.notify_one();
    }
);

/// Three wait; the fourth notifies one, one more, and all.
#[test]
fn notify_in_every_schedule() {
    for bounds in [EVERY, IDLE] {
        let make = |log: &Log| {
            let notify = Rc::new(Notify::new());
            let wait = |task| {
                let (notify, log) = (Rc::clone(&notify), log.clone());
                Box::pin(async move {
                    notify.notified().await;
                    log.say(task, 0);
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..ACTOR).map(wait).collect();
            let theirs = Rc::clone(&notify);
            tasks.push(Box::pin(async move {
                theirs.notify_one();
                pause().await;
                theirs.notify_one();
                pause().await;
                theirs.notify_waiters();
            }));
            (notify, tasks, Notified { queue: Queue::new(true), kept: false })
        };
        explore(bounds, make, |notify, model| {
            let mut next = Box::pin(notify.notified());
            let kept = super::waiting::poll(&mut next, std::task::Waker::noop()).is_ready();
            assert_eq!(kept, model.kept, "whether a notification is kept");
        });
    }
}

struct Flag {
    queue: Queue,
    set: bool,
}

queue_model!(
    Flag,
    |this, task| match this.queue.at[task] {
        At::Start if this.set => this.queue.end(task, 0),
        At::Start => this.queue.join(task),
        At::Told(_) => this.queue.end(task, 0),
        At::Acting(_) => {
            this.set = this.queue.act(3) != 1;
            if this.set {
                this.queue.release_all(ALL);
            }
            vec![]
        }
        // Nothing can have changed: setting releases.
        At::Queued | At::Gone => vec![],
    },
    |_this, _left| {}
);

/// Three wait; the fourth sets, clears and sets again.
#[test]
fn an_event_in_every_schedule() {
    for bounds in [EVERY, IDLE] {
        let make = |log: &Log| {
            let event = Rc::new(Event::new());
            let wait = |task| {
                let (event, log) = (Rc::clone(&event), log.clone());
                Box::pin(async move {
                    event.wait().await;
                    log.say(task, 0);
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..ACTOR).map(wait).collect();
            let theirs = Rc::clone(&event);
            tasks.push(Box::pin(async move {
                theirs.set();
                pause().await;
                theirs.clear();
                pause().await;
                theirs.set();
            }));
            (event, tasks, Flag { queue: Queue::new(true), set: false })
        };
        explore(bounds, make, |event, model| assert_eq!(event.is_set(), model.set));
    }
}

const BROKEN: i64 = -1;

struct Gate {
    queue: Queue,
    parties: usize,
    broken: bool,
}

queue_model!(
    Gate,
    |this, task| match this.queue.at[task] {
        At::Start if this.broken => this.queue.end(task, BROKEN),
        At::Start if this.queue.order.len() + 1 == this.parties => {
            let mut index = 0;
            while this.queue.release(index) {
                index += 1;
            }
            this.queue.end(task, index)
        }
        At::Start => this.queue.join(task),
        At::Told(told) => this.queue.end(task, told),
        At::Acting(_) => {
            this.broken = this.queue.act(2) == 0;
            this.queue.release_all(BROKEN);
            vec![]
        }
        At::Queued | At::Gone => vec![],
    },
    |_this, _left| {}
);

/// Four come to a barrier of two or three; or three, and the fourth breaks it and mends it.
#[test]
fn a_barrier_in_every_schedule() {
    let cases = [(2, false), (3, false), (2, true), (3, true)];
    for (bounds, (parties, breaks)) in [EVERY, IDLE]
        .into_iter()
        .zip([cases, cases])
        .flat_map(|(bounds, cases)| cases.map(|case| (bounds, case)))
    {
        let make = |log: &Log| {
            let barrier = Rc::new(Barrier::new(parties));
            let wait = |task| {
                let (barrier, log) = (Rc::clone(&barrier), log.clone());
                Box::pin(async move {
                    let passed = barrier.wait().await;
                    log.say(task, passed.map_or(BROKEN, |passed| passed.index() as i64));
                    let last = passed.is_ok_and(|passed| passed.index() == parties - 1);
                    assert_eq!(passed.is_ok_and(|passed| passed.is_leader()), last);
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..ACTOR).map(wait).collect();
            let theirs = Rc::clone(&barrier);
            tasks.push(match breaks {
                true => Box::pin(async move {
                    theirs.abort();
                    pause().await;
                    theirs.reset();
                }),
                false => wait(ACTOR),
            });
            (barrier, tasks, Gate { queue: Queue::new(breaks), parties, broken: false })
        };
        explore(bounds, make, |barrier, model| {
            assert_eq!((barrier.is_broken(), barrier.n_waiting()), (model.broken, 0));
        });
    }
}

struct Once {
    queue: Queue,
    making: bool,
    made: Option<i64>,
}

const YOUR_TURN: i64 = -1;

queue_model!(
    Once,
    |this, task| match (this.queue.at[task], this.made) {
        (At::Start | At::Told(_), Some(made)) => this.queue.end(task, made),
        (At::Start, None) if this.making => this.queue.join(task),
        (At::Start | At::Told(_), None) => {
            this.making = true;
            this.queue.at[task] = At::Acting(0);
            vec![]
        }
        (At::Acting(_), _) => {
            this.made = Some(task as i64);
            this.queue.release_all(0);
            this.queue.end(task, task as i64)
        }
        (At::Queued | At::Gone, _) => vec![],
    },
    |this, left| if this.made.is_none() && matches!(left, At::Acting(_) | At::Told(_)) {
        this.making = this.queue.release(YOUR_TURN);
    }
);

/// Four want a value that takes a pause to make.
#[test]
fn a_once_cell_in_every_schedule() {
    for bounds in [EVERY, IDLE] {
        let make = |log: &Log| {
            let cell = Rc::new(OnceCell::new());
            let want = |task| {
                let (cell, log) = (Rc::clone(&cell), log.clone());
                Box::pin(async move {
                    let make = async || {
                        pause().await;
                        task as i64
                    };
                    log.say(task, *cell.get_or_init(make).await);
                }) as Task
            };
            let once = Once { queue: Queue::new(false), making: false, made: None };
            (Rc::clone(&cell), (0..4).map(want).collect(), once)
        };
        explore(bounds, make, |cell, model| assert_eq!(cell.get(), model.made.as_ref()));
    }
}
