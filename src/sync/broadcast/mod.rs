//! A channel in which every receiver gets every message.
//!
//! ```
//! use annulus::sync::broadcast;
//!
//! annulus::run(async {
//!     let (sender, mut one) = broadcast::channel(2);
//!     let mut other = sender.subscribe();
//!     sender.send("first").expect("there are receivers");
//!     assert_eq!((one.recv().await, other.recv().await), (Ok("first"), Ok("first")));
//!     for message in ["second", "third", "fourth"] {
//!         sender.send(message).expect("there are receivers");
//!     }
//!     assert_eq!(one.recv().await, Err(broadcast::RecvError::Lagged(1)), "two are kept");
//!     assert_eq!(one.recv().await, Ok("third"));
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! Sending never waits. The channel keeps as many messages as it has capacity for; a receiver that falls behind is told
//! how many it missed, and goes on with the oldest that is left. Each message is one allocation, cloned for all
//! receivers but the last.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

pub use self::error::{RecvError, SendError, TryRecvError};
use super::until::until;
use super::waiters::{Place, Waiters};

mod error;

/// A channel that keeps the last `capacity` messages, with its first receiver.
///
/// # Panics
///
/// If `capacity` is 0.
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(capacity);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T> {
    kept: RefCell<VecDeque<Message<T>>>,
    capacity: usize,
    /// The number of the first message that is kept, counted from the channel's beginning.
    first: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiting: Waiters<()>,
    /// Senders that wait until there are no receivers.
    mourners: Waiters<()>,
}

struct Message<T> {
    value: Rc<T>,
    /// How many receivers have yet to see it. One that all have seen is not kept.
    unseen: usize,
}

impl<T> Shared<T> {
    /// The number of the next message to be sent.
    fn next(&self) -> u64 {
        self.first.get() + self.kept.borrow().len() as u64
    }

    fn push(&self, value: T) {
        let message = Message { value: Rc::new(value), unseen: self.receivers.get() };
        let mut kept = self.kept.borrow_mut();
        let oldest = if kept.len() == self.capacity { kept.pop_front() } else { None };
        kept.push_back(message);
        drop(kept);
        self.first.set(self.first.get() + u64::from(oldest.is_some()));
        // The user's own drop runs with nothing borrowed.
        drop(oldest);
    }

    /// Marks message number `next` as seen by one more, and hands it out.
    fn see(&self, next: u64) -> Option<Rc<T>> {
        let mut kept = self.kept.borrow_mut();
        let index = (next - self.first.get()) as usize;
        let message = kept.get_mut(index)?;
        message.unseen -= 1;
        if message.unseen > 0 {
            return Some(Rc::clone(&message.value));
        }
        // All before it were seen by all too: this is the first.
        debug_assert_eq!(index, 0);
        self.first.set(next + 1);
        kept.pop_front().map(|message| message.value)
    }

    /// The receiver's next message, or what else there is to say; moves `next` on.
    fn take(&self, next: &mut u64) -> Result<Rc<T>, TryRecvError> {
        let first = self.first.get();
        if *next < first {
            let missed = first - *next;
            *next = first;
            return Err(TryRecvError::Lagged(missed));
        }
        match self.see(*next) {
            Some(value) => {
                *next += 1;
                Ok(value)
            }
            None if self.senders.get() == 0 => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

/// Sends to all receivers; made by [`channel`], and cloned.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::broadcast::Sender<()>>();
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A channel without a receiver yet.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a channel of capacity 0 could keep no message");
        let shared = Shared {
            kept: RefCell::default(),
            capacity,
            first: Cell::new(0),
            senders: Cell::new(1),
            receivers: Cell::new(0),
            waiting: Waiters::new(),
            mourners: Waiters::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Sends to all receivers there are, and returns how many these are. The oldest message is dropped if the channel
    /// is full.
    ///
    /// # Errors
    ///
    /// If there is no receiver; the error holds `value`. There may be one later.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let receivers = self.shared.receivers.get();
        if receivers == 0 {
            return Err(SendError(value));
        }
        self.shared.push(value);
        self.shared.waiting.release_all(Place::Dismissed);
        Ok(receivers)
    }

    /// A receiver of what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(Rc::clone(&self.shared))
    }

    /// How many messages are kept, because not all receivers have seen them.
    pub fn len(&self) -> usize {
        self.shared.kept.borrow().len()
    }

    /// Whether all receivers have seen all messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Waits until there is no receiver.
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) {
        let receivers = &self.shared.receivers;
        until(&self.shared.mourners, |_| (receivers.get() == 0).then_some(())).await;
    }

    /// Whether two senders are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.waiting.release_all(Place::Dismissed);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receiver_count()).finish_non_exhaustive()
    }
}

/// Receives all that is sent while it exists; made by [`channel`] and [`Sender::subscribe`].
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::broadcast::Receiver<()>>();
/// ```
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the message that it will see next.
    next: u64,
}

impl<T> Receiver<T> {
    fn new(shared: Rc<Shared<T>>) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        Self { next: shared.next(), shared }
    }

    /// A receiver of what is sent from now on, whatever this one has yet to see.
    pub fn resubscribe(&self) -> Self {
        Self::new(Rc::clone(&self.shared))
    }

    /// How many messages it has yet to see, missed ones included.
    pub fn len(&self) -> usize {
        (self.shared.next() - self.next) as usize
    }

    /// Whether it has seen all messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are dropped. There may be messages left.
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }

    /// Whether two receivers are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next message.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// `Lagged` if this receiver was too slow, once; then it goes on with the oldest message that is kept. `Closed` if
    /// all senders are dropped and there is no message left.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let Self { shared, next } = self;
        let taken = until(&shared.waiting, |_| match shared.take(next) {
            Err(TryRecvError::Empty) => None,
            other => Some(other),
        });
        match taken.await {
            Ok(value) => Ok(Rc::unwrap_or_clone(value)),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(_) => Err(RecvError::Closed),
        }
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    ///
    /// `Empty` if it may yet come, and what [`recv`](Self::recv) fails with.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.take(&mut self.next).map(Rc::unwrap_or_clone)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let shared = &*self.shared;
        let left = shared.receivers.get() - 1;
        shared.receivers.set(left);
        // Seen, one by one, because the drop of a message may use the channel. What it sends is not for this receiver.
        let end = shared.next();
        loop {
            self.next = self.next.max(shared.first.get());
            if self.next >= end {
                break;
            }
            drop(shared.see(self.next));
            self.next += 1;
        }
        if left == 0 {
            shared.mourners.release_all(Place::Dismissed);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
