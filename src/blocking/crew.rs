//! The threads of a pool and the queue before them, behind one lock.
//!
//! A job goes to the queue if it has room and nobody waits for room; else its future waits on its own core with a
//! *ticket*. When a thread takes a job, the room goes to the lowest ticket. Of idle threads the one that idled last
//! gets the next job, so that the others reach their timeout.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{fmt, io, mem, ptr};

use super::job::{Refusal, Work, wake_all};
use super::thread;
use crate::loom::{Condvar, Mutex, MutexGuard};
use crate::sys::thread::Affinity;

/// What a pool is made with.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) threads_max: usize,
    pub(super) queue_max: usize,
    pub(super) idle_timeout: Duration,
    pub(super) stack_size: Option<usize>,
}

/// See the head of the file.
pub(super) struct Crew {
    pub(super) settings: Settings,
    /// The processors of its maker: threads are made by whoever has a job, pinned or not.
    pub(super) affinity: Option<Affinity>,
    state: Mutex<State>,
    /// Rung when a thread of a closed pool is gone.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<dyn Work>>,
    /// Those who wait for room, by ticket.
    waiting: BTreeMap<u64, Waker>,
    /// Tickets to whom room was given that is not yet used.
    granted: BTreeSet<u64>,
    next_ticket: u64,
    /// Threads without work, the last to idle on top.
    idle: Vec<Arc<Condvar>>,
    threads: usize,
    next_thread: u64,
    running: usize,
    closed: bool,
}

/// Where a job is on its way to the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere yet.
    New,
    /// Before the queue, with this ticket.
    Waiting(u64),
    /// In the queue, or further.
    Queued,
}

/// What a pool holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Threads, idle ones included.
    pub threads: usize,
    /// Jobs that threads are at.
    pub running: usize,
    /// Jobs in the queue.
    pub queued: usize,
    /// Jobs that wait for room in the queue.
    pub waiting: usize,
}

impl Crew {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            affinity: Affinity::current(),
            state: Mutex::new(State::default()),
            ended: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of the user's runs under the lock, so a panic cannot have left it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn metrics(&self) -> Metrics {
        let state = self.lock();
        Metrics {
            threads: state.threads,
            running: state.running,
            queued: state.queue.len(),
            waiting: state.waiting.len() + state.granted.len(),
        }
    }

    /// Queues the job, or puts it in line; where it then is. `waker` is called when its turn has come.
    ///
    /// A job that is refused is told so, and counts as queued.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: Arc<dyn Work>,
        place: Place,
        waker: &Waker,
    ) -> Place {
        let waker = waker.clone();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            job.refuse(Refusal::Closed);
            return Place::Queued;
        }
        if !state.has_room_for(place, self.settings.queue_max) {
            let ticket = state.ticket(place);
            let former = state.waiting.insert(ticket, waker);
            drop(state);
            drop(former);
            return Place::Waiting(ticket);
        }
        state.queue.push_back(job);
        self.call_thread(state);
        Place::Queued
    }

    /// Wakes an idle thread, or makes one if there may be more.
    fn call_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if let Some(seat) = state.idle.pop() {
            drop(state);
            seat.notify_one();
            return;
        }
        if state.threads == self.settings.threads_max {
            return;
        }
        state.threads += 1;
        let number = state.next_thread;
        state.next_thread += 1;
        drop(state);
        if let Err(error) = thread::start(self, number) {
            self.thread_failed(&error);
        }
    }

    /// Without any thread nobody would ever come to what is queued; with one it only takes longer.
    #[cold]
    fn thread_failed(&self, error: &io::Error) {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return;
        }
        let stranded = mem::take(&mut state.queue);
        let turns = state.grant(self.settings.queue_max);
        drop(state);
        self.ended.notify_all();
        for job in stranded {
            job.refuse(Refusal::NoThread(error.kind()));
        }
        wake_all(turns);
    }

    /// Takes a job out of the queue whose closure was taken back.
    pub(super) fn withdraw(&self, job: Arc<dyn Work>) {
        let mut state = self.lock();
        let is_it = |queued: &Arc<dyn Work>| ptr::addr_eq(Arc::as_ptr(queued), Arc::as_ptr(&job));
        let found = state.queue.iter().rposition(is_it);
        let removed = found.and_then(|at| state.queue.remove(at));
        let turns = state.grant(self.settings.queue_max);
        drop(state);
        drop(removed);
        wake_all(turns);
    }

    /// Gives a ticket back; what was granted to it goes to the next.
    pub(super) fn leave(&self, ticket: u64) {
        let mut state = self.lock();
        let waker = state.waiting.remove(&ticket);
        state.granted.remove(&ticket);
        let turns = state.grant(self.settings.queue_max);
        drop(state);
        drop(waker);
        wake_all(turns);
    }

    /// What a thread of the pool does in its life.
    pub(super) fn work(&self) {
        let seat = Arc::new(Condvar::new());
        let mut job = self.next(&seat);
        while let Some(current) = job {
            let waker = current.run();
            drop(current);
            job = self.next_after(&seat, waker);
        }
        self.ended.notify_all();
    }

    /// The next job after one that is done, and for whom `waker` waits.
    ///
    /// Who is woken finds this thread idle or at the next job, so that one that gives its jobs one by one is served by
    /// one thread; by a second where it found a result without having to be woken, before the thread came here.
    fn next_after(&self, seat: &Arc<Condvar>, waker: Option<Waker>) -> Option<Arc<dyn Work>> {
        let mut state = self.lock();
        state.running -= 1;
        let job = state.take_job(self.settings.queue_max);
        if job.is_none() && !state.closed {
            state.idle.push(Arc::clone(seat));
        }
        drop(state);
        wake_all(waker);
        let Some((job, turns)) = job else { return self.next(seat) };
        wake_all(turns);
        Some(job)
    }

    /// The next job; `None` when the thread is to end, and no longer counted.
    fn next(&self, seat: &Arc<Condvar>) -> Option<Arc<dyn Work>> {
        let mut state = self.lock();
        loop {
            if state.is_idle(seat) {
                let waited = seat.wait_timeout(state, self.settings.idle_timeout);
                let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = locked;
                // Whoever called it took it out; who timed out does so itself, and ends.
                if timeout.timed_out() && state.remove_idle(seat) {
                    state.threads -= 1;
                    return None;
                }
            } else if let Some((job, turns)) = state.take_job(self.settings.queue_max) {
                drop(state);
                wake_all(turns);
                return Some(job);
            } else if state.closed {
                state.threads -= 1;
                return None;
            } else {
                state.idle.push(Arc::clone(seat));
            }
        }
    }

    /// Refuses new jobs, drops those that no thread has begun with, sends idle threads away.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if mem::replace(&mut state.closed, true) {
            return;
        }
        let (queue, idle) = (mem::take(&mut state.queue), mem::take(&mut state.idle));
        let waiting = mem::take(&mut state.waiting);
        state.granted.clear();
        drop(state);
        for seat in idle {
            seat.notify_one();
        }
        for job in queue {
            job.refuse(Refusal::Closed);
        }
        wake_all(waiting.into_values());
    }

    /// Waits until every thread is gone, at most until `deadline`; how many jobs still run then.
    ///
    /// Only once closed: before that, threads come and go.
    pub(super) fn wait(&self, deadline: Instant) -> usize {
        let mut state = self.lock();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.running
    }
}

impl State {
    /// Whether a job may be queued: it was granted room, or there is room and nobody before it.
    fn has_room_for(&mut self, place: Place, queue_max: usize) -> bool {
        match place {
            Place::Waiting(ticket) => self.granted.remove(&ticket),
            Place::New | Place::Queued => self.waiting.is_empty() && self.has_room(queue_max),
        }
    }

    fn has_room(&self, queue_max: usize) -> bool {
        self.queue.len() + self.granted.len() < queue_max
    }

    fn ticket(&mut self, place: Place) -> u64 {
        match place {
            Place::Waiting(ticket) => ticket,
            Place::New | Place::Queued => {
                self.next_ticket += 1;
                self.next_ticket
            }
        }
    }

    /// Gives what room there is to those who waited longest; they are to be woken outside the lock.
    fn grant(&mut self, queue_max: usize) -> Vec<Waker> {
        let mut turns = Vec::new();
        while !self.waiting.is_empty() && self.has_room(queue_max) {
            if let Some((ticket, waker)) = self.waiting.pop_first() {
                self.granted.insert(ticket);
                turns.push(waker);
            }
        }
        turns
    }

    /// The first in the queue, and those who get its room.
    fn take_job(&mut self, queue_max: usize) -> Option<(Arc<dyn Work>, Vec<Waker>)> {
        let job = self.queue.pop_front()?;
        job.begin();
        self.running += 1;
        Some((job, self.grant(queue_max)))
    }

    fn is_idle(&self, seat: &Arc<Condvar>) -> bool {
        self.idle.iter().any(|idle| Arc::ptr_eq(idle, seat))
    }

    fn remove_idle(&mut self, seat: &Arc<Condvar>) -> bool {
        let found = self.idle.iter().position(|idle| Arc::ptr_eq(idle, seat));
        found.map(|at| self.idle.remove(at)).is_some()
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("settings", &self.settings).finish_non_exhaustive()
    }
}
