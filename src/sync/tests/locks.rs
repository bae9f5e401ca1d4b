//! Every schedule of the locks, against one model: permits and a queue.

use std::collections::VecDeque;
use std::rc::Rc;

use super::schedules::{Bounds, Log, Model, Task, explore, pause};
use crate::sync::{Mutex, RwLock, Semaphore};

const EVERY: Bounds = Bounds { drops: 2, idle_polls: 0 };
const IDLE: Bounds = Bounds { drops: 1, idle_polls: 1 };
/// What a task sees when it has its permits.
const GOT: i64 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Queued,
    Granted,
    Holding,
    Gone,
}

/// Tasks that take what they want, pause and put it back.
struct Permits {
    free: usize,
    queue: VecDeque<usize>,
    wants: Vec<usize>,
    at: Vec<At>,
}

impl Permits {
    fn new(free: usize, wants: &[usize]) -> Self {
        let at = vec![At::Start; wants.len()];
        Self { free, queue: VecDeque::new(), wants: wants.to_vec(), at }
    }

    fn put(&mut self, count: usize) {
        self.free += count;
        while let Some(first) = self.queue.front().copied().filter(|t| self.wants[*t] <= self.free)
        {
            self.queue.pop_front();
            self.free -= self.wants[first];
            self.at[first] = At::Granted;
        }
    }

    fn hold(&mut self, task: usize) -> Vec<i64> {
        self.at[task] = At::Holding;
        vec![GOT]
    }
}

impl Model for Permits {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        let wants = self.wants[task];
        match self.at[task] {
            At::Start if self.queue.is_empty() && wants <= self.free => {
                self.free -= wants;
                self.hold(task)
            }
            At::Start => {
                self.at[task] = At::Queued;
                self.queue.push_back(task);
                vec![]
            }
            At::Granted => self.hold(task),
            At::Holding => {
                self.at[task] = At::Gone;
                self.put(wants);
                vec![]
            }
            At::Queued | At::Gone => vec![],
        }
    }

    fn drop(&mut self, task: usize) {
        let at = std::mem::replace(&mut self.at[task], At::Gone);
        self.queue.retain(|queued| *queued != task);
        let held = matches!(at, At::Granted | At::Holding);
        self.put(if held { self.wants[task] } else { 0 });
    }

    fn is_runnable(&self, task: usize) -> bool {
        matches!(self.at[task], At::Start | At::Granted | At::Holding)
    }

    fn has_ended(&self, task: usize) -> bool {
        self.at[task] == At::Gone
    }

    fn are_alike(&self, one: usize, other: usize) -> bool {
        self.wants[one] == self.wants[other]
    }
}

/// Runs all schedules of one task for each of `wants`, which `task` makes from the lock, the log and its index.
fn explore_permits<L: 'static>(
    bounds: &[Bounds],
    wants: &[usize],
    new: impl Fn() -> L,
    free: usize,
    task: impl Fn(Rc<L>, Log, usize) -> Task,
    check: impl Fn(&L),
) {
    for bounds in bounds.iter().copied() {
        let make = |log: &Log| {
            let lock = Rc::new(new());
            let tasks = (0..wants.len()).map(|t| task(Rc::clone(&lock), log.clone(), t)).collect();
            (lock, tasks, Permits::new(free, wants))
        };
        let schedules = explore(bounds, make, |lock, _| check(lock));
        assert!(schedules > 1000, "{schedules} schedules are too few to prove anything");
    }
}

#[test]
fn a_mutex_in_every_schedule() {
    for (owned, bounds) in [(false, EVERY), (true, IDLE)] {
        explore_permits(
            &[bounds],
            &[1, 1, 1, 1],
            || Mutex::new(0),
            1,
            |lock, log, task| {
                Box::pin(async move {
                    if owned {
                        let mut guard = Rc::clone(&lock).lock_owned().await;
                        log.say(task, GOT);
                        *guard += 1;
                        pause().await;
                        *guard -= 1;
                    } else {
                        let mut guard = lock.lock().await;
                        log.say(task, GOT);
                        *guard += 1;
                        pause().await;
                        *guard -= 1;
                    }
                })
            },
            |lock| drop(lock.try_lock().expect("free again")),
        );
    }
}

#[test]
fn a_semaphore_in_every_schedule() {
    const WANTS: [usize; 4] = [1, 3, 2, 1];
    explore_permits(
        &[EVERY, IDLE],
        &WANTS,
        || Semaphore::bounded(3),
        3,
        |semaphore, log, task| {
            Box::pin(async move {
                let permit = semaphore.acquire_many(WANTS[task] as u32).await.expect("open");
                log.say(task, GOT);
                pause().await;
                drop(permit);
            })
        },
        |semaphore| assert_eq!(semaphore.available_permits(), 3),
    );
}

#[test]
fn an_rwlock_in_every_schedule() {
    const READERS: usize = u32::MAX as usize >> 3;
    const WANTS: [usize; 4] = [1, READERS, 1, READERS];
    explore_permits(
        &[EVERY, IDLE],
        &WANTS,
        || RwLock::new(0),
        READERS,
        |lock, log, task| {
            Box::pin(async move {
                if WANTS[task] == 1 {
                    let guard = lock.read().await;
                    log.say(task, GOT);
                    let before = *guard;
                    pause().await;
                    assert_eq!(before, *guard, "nobody writes while somebody reads");
                } else {
                    let mut guard = lock.write().await;
                    log.say(task, GOT);
                    *guard += 1;
                    pause().await;
                }
            })
        },
        |lock| drop(lock.try_write().expect("free again")),
    );
}
