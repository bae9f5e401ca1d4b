//! Queues from many tasks to many, whose work can be waited for.

mod error;
mod order;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

pub use self::error::{GetError, PutError, TryGetError, TryPutError};
pub use self::order::{Fifo, Lifo, Order, Priority};
use super::Semaphore;
use super::permits::{Claim, Permits, Take};
use super::until::until;
use super::waiters::{Place, Waiters};

/// The slots of a queue without a bound: more than items fit into memory.
const UNBOUNDED: usize = Semaphore::MAX_PERMITS;

/// A queue that tasks share: some put items, others get them, and one may wait until all are dealt with.
///
/// ```
/// use std::rc::Rc;
/// use annulus::sync::Queue;
///
/// annulus::run(async {
///     let jobs = Rc::new(Queue::bounded(2));
///     for _ in 0..3 {
///         let jobs = Rc::clone(&jobs);
///         drop(annulus::spawn(async move {
///             while let Ok(_job) = jobs.get().await {
///                 annulus::task::yield_now().await; // the work
///                 jobs.task_done();
///             }
///         }));
///     }
///     for job in 0..10 {
///         jobs.put(job).await.expect("open");
///     }
///     jobs.join().await;
///     jobs.shutdown(false);
///     assert!(jobs.is_empty());
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Items come out in the order in which they were put; for others see [`LifoQueue`] and [`PriorityQueue`]. Its methods
/// are those of [`OrderedQueue`]. For a queue with one receiver that ends with its senders see [`mpsc`](super::mpsc).
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Queue<()>>();
/// ```
pub type Queue<T> = OrderedQueue<T, Fifo<T>>;

/// A [`Queue`] that gives out the last item first.
///
/// ```
/// use annulus::sync::LifoQueue;
///
/// let queue = LifoQueue::new();
/// queue.try_put(1).expect("room");
/// queue.try_put(2).expect("room");
/// assert_eq!((queue.try_get(), queue.try_get()), (Ok(2), Ok(1)));
/// ```
pub type LifoQueue<T> = OrderedQueue<T, Lifo<T>>;

/// A [`Queue`] that gives out the least item first, and of equal ones the first that was put.
///
/// It panics if the comparison of two items uses the queue.
///
/// ```
/// use annulus::sync::PriorityQueue;
///
/// let queue = PriorityQueue::new();
/// for job in [(2, "later"), (1, "now"), (3, "last")] {
///     queue.try_put(job).expect("room");
/// }
/// assert_eq!(queue.try_get(), Ok((1, "now")));
/// ```
pub type PriorityQueue<T> = OrderedQueue<T, Priority<T>>;

/// A queue that tasks share, with items in the order `O`: a [`Queue`], a [`LifoQueue`] or a [`PriorityQueue`].
///
/// These are the queues of Python's asyncio. Whatever the order of the items, tasks that wait to get or to put one are
/// served in the order in which they came.
pub struct OrderedQueue<T, O: Order<T>> {
    items: RefCell<O>,
    /// One for each item; closed by the shutdown.
    ready: Permits,
    /// One for each item there is room for; closed by the shutdown.
    slots: Permits,
    slot_count: usize,
    /// Items that were put and are not done.
    unfinished: Cell<usize>,
    joining: Waiters<()>,
    _items: PhantomData<T>,
}

impl<T, O: Order<T>> OrderedQueue<T, O> {
    /// An empty queue for any number of items.
    pub fn new() -> Self {
        Self::with_slots(UNBOUNDED)
    }

    /// An empty queue for at most `max_size` items.
    ///
    /// # Panics
    ///
    /// If `max_size` is 0, or above [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub fn bounded(max_size: usize) -> Self {
        assert!(max_size > 0, "a queue of size 0 could never be put into");
        assert!(max_size <= Semaphore::MAX_PERMITS, "a size above Semaphore::MAX_PERMITS");
        Self::with_slots(max_size)
    }

    fn with_slots(slot_count: usize) -> Self {
        Self {
            items: RefCell::default(),
            ready: Permits::new(0),
            slots: Permits::new(slot_count),
            slot_count,
            unfinished: Cell::new(0),
            joining: Waiters::new(),
            _items: PhantomData,
        }
    }

    /// Waits for room, and puts `item` into the queue.
    ///
    /// Dropping the future drops `item` with it, unless it was put.
    ///
    /// # Errors
    ///
    /// If the queue is shut down, also while this waits; the error holds `item`.
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), PutError<T>>> {
        Take::new(ClaimSlot { queue: self, item: Cell::new(Some(item)) })
    }

    /// Puts `item` into the queue, if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Full` if that is not so, `ShutDown` if the queue is; both hold `item`.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        match self.slots.try_take(1) {
            true => {
                self.push(item);
                Ok(())
            }
            false if self.is_shut_down() => Err(TryPutError::ShutDown(item)),
            false => Err(TryPutError::Full(item)),
        }
    }

    /// Waits for an item, and takes it out.
    ///
    /// Dropping the future loses nothing: an item that was meant for it goes to the next.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    pub fn get(&self) -> impl Future<Output = Result<T, GetError>> {
        Take::new(ClaimItem { queue: self })
    }

    /// Takes an item out, if there is one and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Empty` if that is not so, `ShutDown` if none will come either.
    pub fn try_get(&self) -> Result<T, TryGetError> {
        if !self.ready.try_take(1) && !self.is_shut_down() {
            return Err(TryGetError::Empty);
        }
        self.pop().ok_or(TryGetError::ShutDown)
    }

    /// Says that an item that was taken out is dealt with. Once for each, or [`join`](Self::join) never ends.
    ///
    /// # Panics
    ///
    /// If it is called more often than items were put.
    #[track_caller]
    pub fn task_done(&self) {
        let unfinished = self.unfinished.get();
        assert!(unfinished > 0, "task_done was called more often than items were put");
        self.finish();
    }

    /// Waits until every item that was put is [done](Self::task_done), or was dropped by an immediate shutdown.
    ///
    /// Dropping the future has no effect.
    pub async fn join(&self) {
        let is_done = |released| released || self.unfinished.get() == 0;
        until(&self.joining, |released| is_done(released).then_some(())).await;
    }

    /// Refuses items from now on. Those in the queue can still be got, and then `get` fails; if `immediate`, they are
    /// dropped and count as done. A second call may do what the first did not.
    pub fn shutdown(&self, immediate: bool) {
        self.slots.close();
        self.ready.close();
        while immediate && self.pop().is_some() {
            self.finish();
        }
    }

    /// Whether the queue was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.slots.is_closed()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.borrow().count()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an item that is put now has to wait.
    pub fn is_full(&self) -> bool {
        self.slots.free() == 0
    }

    /// How many items there may be; `None` if there is no bound.
    pub fn max_size(&self) -> Option<usize> {
        Some(self.slot_count).filter(|count| *count < UNBOUNDED)
    }

    /// How many items were put and are not [done](Self::task_done).
    pub fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    fn items(&self) -> std::cell::RefMut<'_, O> {
        self.items.try_borrow_mut().expect("comparing the items of a queue must not use the queue")
    }

    /// Fills a slot that the caller has taken.
    fn push(&self, item: T) {
        self.items().push(item);
        self.unfinished.set(self.unfinished.get() + 1);
        self.ready.put(1);
    }

    /// Takes out an item whose permit the caller has, and puts its slot back.
    fn pop(&self) -> Option<T> {
        let item = self.items().pop();
        if item.is_some() {
            self.slots.put(1);
        }
        item
    }

    fn finish(&self) {
        // Zero already, if the drop of an item called task_done.
        self.unfinished.set(self.unfinished.get().saturating_sub(1));
        if self.unfinished.get() == 0 {
            self.joining.release_all(Place::Dismissed);
        }
    }
}

impl<T, O: Order<T>> Default for OrderedQueue<T, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, O: Order<T>> fmt::Debug for OrderedQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, unfinished) = (self.len(), self.unfinished());
        f.debug_struct("Queue")
            .field("len", &len)
            .field("unfinished", &unfinished)
            .finish_non_exhaustive()
    }
}

/// Asks for a slot to put an item into.
struct ClaimSlot<'a, T, O: Order<T>> {
    queue: &'a OrderedQueue<T, O>,
    /// Taken once.
    item: Cell<Option<T>>,
}

impl<T, O: Order<T>> ClaimSlot<'_, T, O> {
    fn item(&self) -> T {
        self.item.take().expect("a put was polled after it was done")
    }
}

impl<'a, T, O: Order<T>> Claim<'a> for ClaimSlot<'a, T, O> {
    type Output = Result<(), PutError<T>>;

    fn permits(&self) -> &'a Permits {
        &self.queue.slots
    }

    fn count(&self) -> usize {
        1
    }

    fn granted(&self) -> Self::Output {
        self.queue.push(self.item());
        Ok(())
    }

    fn refused(&self) -> Self::Output {
        Err(PutError(self.item()))
    }
}

/// Asks for an item.
struct ClaimItem<'a, T, O: Order<T>> {
    queue: &'a OrderedQueue<T, O>,
}

impl<'a, T, O: Order<T>> Claim<'a> for ClaimItem<'a, T, O> {
    type Output = Result<T, GetError>;

    fn permits(&self) -> &'a Permits {
        &self.queue.ready
    }

    fn count(&self) -> usize {
        1
    }

    fn granted(&self) -> Self::Output {
        self.refused()
    }

    /// After the shutdown the items themselves say how many are left.
    fn refused(&self) -> Self::Output {
        self.queue.pop().ok_or(GetError(()))
    }
}
