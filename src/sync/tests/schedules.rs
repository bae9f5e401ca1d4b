//! Every schedule of a few tasks, compared step by step with a reference model.
//!
//! A step polls a task that is runnable, polls one that is not, or drops one. After each step the real thing and the
//! model agree on what was seen, on who has ended and on who is runnable: so a wake-up that is lost, or one too many,
//! shows at the step that did it. Futures are polled by hand, each time with another waker.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What tasks saw since the last look: who, and what.
#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Vec<(usize, i64)>>>);

impl Log {
    pub(super) fn say(&self, task: usize, what: i64) {
        self.0.borrow_mut().push((task, what));
    }
}

/// What the real thing is compared with.
pub(super) trait Model {
    /// What the task sees in this poll.
    fn poll(&mut self, task: usize) -> Vec<i64>;
    /// The task's future is dropped; it had not ended.
    fn drop(&mut self, task: usize);
    /// Whether a poll of the task would get it further.
    fn is_runnable(&self, task: usize) -> bool;
    /// Whether its future is ready.
    fn has_ended(&self, task: usize) -> bool;
    /// Whether two tasks do the same: then the lower one always begins, and no schedule is run under another name.
    fn are_alike(&self, one: usize, other: usize) -> bool;
}

/// How far to go: how many tasks are dropped in one schedule, and how many polls nobody asked for there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) drops: usize,
    pub(super) idle_polls: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Poll(usize),
    IdlePoll(usize),
    Drop(usize),
}

/// Runs every schedule of the tasks that `make` makes, and `check` after each; returns how many there were.
///
/// `make` gets the log that its tasks write to, and gives the real thing, for `check`, the tasks and the model.
pub(super) fn explore<R, M: Model>(
    bounds: Bounds,
    make: impl Fn(&Log) -> (R, Vec<Task>, M),
    check: impl Fn(&R, &M),
) -> usize {
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut schedules = 0;
    loop {
        let log = Log::default();
        let (real, tasks, model) = make(&log);
        let mut world = World::new(bounds, log, tasks, model);
        let mut depth = 0;
        loop {
            let steps = world.steps();
            if steps.is_empty() {
                break;
            }
            if depth == path.len() {
                path.push((0, steps.len()));
            }
            world.take(steps[path[depth].0]);
            depth += 1;
        }
        let World { tasks, model, .. } = world;
        drop(tasks);
        check(&real, &model);
        schedules += 1;
        while path.last().is_some_and(|(chosen, count)| chosen + 1 == *count) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return schedules,
        }
    }
}

struct World<M> {
    bounds: Bounds,
    log: Log,
    tasks: Vec<Option<(Task, Arc<Flag>)>>,
    /// Which of them took a step.
    begun: Vec<bool>,
    model: M,
    taken: Vec<Step>,
}

impl<M: Model> World<M> {
    fn new(bounds: Bounds, log: Log, tasks: Vec<Task>, model: M) -> Self {
        let woken = || Arc::new(Flag(AtomicBool::new(true)));
        let tasks: Vec<_> = tasks.into_iter().map(|task| Some((task, woken()))).collect();
        let begun = vec![false; tasks.len()];
        Self { bounds, log, tasks, begun, model, taken: Vec::new() }
    }

    fn is_runnable(&self, task: usize) -> bool {
        self.tasks[task].as_ref().is_some_and(|(_, flag)| flag.0.load(Ordering::SeqCst))
    }

    /// What could be done next; nothing once nobody is runnable and no drop is left.
    fn steps(&self) -> Vec<Step> {
        let is_next = |task: &usize| {
            let another =
                |before: usize| !self.begun[before] && self.model.are_alike(before, *task);
            self.begun[*task] || !(0..*task).any(another)
        };
        let alive =
            || (0..self.tasks.len()).filter(|task| self.tasks[*task].is_some()).filter(is_next);
        let mut steps: Vec<Step> =
            alive().filter(|task| self.is_runnable(*task)).map(Step::Poll).collect();
        if self.bounds.idle_polls > 0 {
            steps.extend(alive().filter(|task| !self.is_runnable(*task)).map(Step::IdlePoll));
        }
        if self.bounds.drops > 0 {
            steps.extend(alive().map(Step::Drop));
        }
        steps
    }

    fn take(&mut self, step: Step) {
        self.taken.push(step);
        let (Step::Poll(task) | Step::IdlePoll(task) | Step::Drop(task)) = step;
        self.begun[task] = true;
        match step {
            Step::Poll(task) => self.poll(task),
            Step::IdlePoll(task) => {
                self.bounds.idle_polls -= 1;
                self.poll(task);
            }
            Step::Drop(task) => {
                self.bounds.drops -= 1;
                self.tasks[task] = None;
                self.model.drop(task);
            }
        }
        for task in (0..self.tasks.len()).filter(|task| self.tasks[*task].is_some()) {
            self.same("is runnable", self.is_runnable(task), self.model.is_runnable(task), task);
        }
    }

    fn poll(&mut self, task: usize) {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let (future, woken) = self.tasks[task].as_mut().expect("only the living are polled");
        *woken = flag;
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
        if ended {
            self.tasks[task] = None;
        }
        let seen = std::mem::take(&mut *self.log.0.borrow_mut());
        let expected: Vec<_> = self.model.poll(task).into_iter().map(|what| (task, what)).collect();
        self.same("saw", seen, expected, task);
        self.same("has ended", ended, self.model.has_ended(task), task);
    }

    #[track_caller]
    fn same<T: PartialEq + Debug>(&self, what: &str, real: T, expected: T, task: usize) {
        assert!(
            real == expected,
            "task {task} {what}: {real:?}, the model says {expected:?}, after {:?}",
            self.taken,
        );
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Lets the schedule decide when to go on.
pub(super) async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
