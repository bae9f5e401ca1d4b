//! Every schedule of a condition variable and its mutex, against a model of both.

use std::rc::Rc;

use super::schedules::{Bounds, Log, Model, Task, explore, pause};
use crate::sync::{Condvar, Mutex};

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    LockQueued,
    LockGranted,
    Waiting,
    /// Released by `notify_one`, or by `notify_all`.
    Notified {
        one: bool,
    },
    Holding,
    Gone,
}

/// Tasks that lock, wait, and hold the lock for a pause. The last notifies one, one more, and all, without the lock.
struct Both {
    actor: usize,
    at: [At; 4],
    /// Was notified by `notify_one` and has not got the lock since.
    owes: [bool; 4],
    waited: [bool; 4],
    locked: bool,
    lock_queue: Vec<usize>,
    waiting: Vec<usize>,
    steps: usize,
}

impl Both {
    fn new(actor: usize) -> Self {
        let at = [At::Start; 4];
        let (owes, waited) = ([false; 4], [false; 4]);
        let (lock_queue, waiting) = (Vec::new(), Vec::new());
        Self { actor, at, owes, waited, locked: false, lock_queue, waiting, steps: 0 }
    }

    fn unlock(&mut self) {
        self.locked = !self.lock_queue.is_empty();
        if self.locked {
            let next = self.lock_queue.remove(0);
            self.at[next] = At::LockGranted;
        }
    }

    fn lock(&mut self, task: usize) -> Vec<i64> {
        if self.locked {
            self.lock_queue.push(task);
            self.at[task] = At::LockQueued;
            return vec![];
        }
        self.locked = true;
        self.have_lock(task)
    }

    fn have_lock(&mut self, task: usize) -> Vec<i64> {
        if self.waited[task] {
            self.owes[task] = false;
            self.at[task] = At::Holding;
            return vec![0];
        }
        self.waited[task] = true;
        self.at[task] = At::Waiting;
        self.waiting.push(task);
        self.unlock();
        vec![]
    }

    fn notify(&mut self, one: bool) {
        if !self.waiting.is_empty() {
            let first = self.waiting.remove(0);
            self.at[first] = At::Notified { one };
            self.owes[first] = one;
        }
    }
}

impl Model for Both {
    fn poll(&mut self, task: usize) -> Vec<i64> {
        if task == self.actor {
            self.steps += 1;
            match self.steps {
                3 => (0..3).for_each(|_| self.notify(false)),
                _ => self.notify(true),
            }
            self.at[task] = if self.steps == 3 { At::Gone } else { At::Start };
            return vec![];
        }
        match self.at[task] {
            At::Start | At::Notified { .. } => self.lock(task),
            At::LockGranted => self.have_lock(task),
            At::Holding => {
                self.at[task] = At::Gone;
                self.unlock();
                vec![]
            }
            At::LockQueued | At::Waiting | At::Gone => vec![],
        }
    }

    fn drop(&mut self, task: usize) {
        let left = std::mem::replace(&mut self.at[task], At::Gone);
        self.lock_queue.retain(|queued| *queued != task);
        self.waiting.retain(|waiting| *waiting != task);
        if matches!(left, At::LockGranted | At::Holding) {
            self.unlock();
        }
        if self.owes[task] {
            self.notify(true);
        }
    }

    fn is_runnable(&self, task: usize) -> bool {
        !matches!(self.at[task], At::LockQueued | At::Waiting | At::Gone)
    }

    fn has_ended(&self, task: usize) -> bool {
        self.at[task] == At::Gone
    }

    fn are_alike(&self, one: usize, other: usize) -> bool {
        one != self.actor && other != self.actor
    }
}

#[test]
fn a_condvar_in_every_schedule() {
    let many = (3, Bounds { drops: 1, idle_polls: 0 });
    let few = (2, Bounds { drops: 2, idle_polls: 1 });
    for (waiters, bounds) in [many, few] {
        let make = |log: &Log| {
            let pair = Rc::new((Mutex::new(()), Condvar::new()));
            let wait = |task| {
                let (pair, log) = (Rc::clone(&pair), log.clone());
                Box::pin(async move {
                    let guard = pair.1.wait(pair.0.lock().await).await;
                    log.say(task, 0);
                    pause().await;
                    drop(guard);
                }) as Task
            };
            let mut tasks: Vec<Task> = (0..waiters).map(wait).collect();
            let theirs = Rc::clone(&pair);
            tasks.push(Box::pin(async move {
                theirs.1.notify_one();
                pause().await;
                theirs.1.notify(1);
                pause().await;
                theirs.1.notify_all();
            }));
            (pair, tasks, Both::new(waiters))
        };
        explore(bounds, make, |pair, _| assert!(pair.0.try_lock().is_ok()));
    }
}
