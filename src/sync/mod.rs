//! Locks, queues and signals between tasks of one core, without an atomic.
//!
//! All of it belongs to one thread: no lock and no handle is `Send`, and none costs a locked instruction. Waiters lie
//! in the futures themselves, so neither taking what is free nor waiting for what is not allocates anything. The names
//! and their meaning are tokio's where tokio has the thing, and those of Python's asyncio otherwise.
//!
//! Everything is *fair*: who waited first is served first, and nobody overtakes. And everything is *cancel-safe*: a
//! future that is dropped, also after it was woken, loses no permit, no message and no wake-up. What it would have
//! had goes to the next.
//!
//! A task that finds all it asks for at once yields to others after 128 steps, as it does in the rest of the crate: see
//! [`unconstrained`](crate::task::unconstrained).
//!
//! | what | for |
//! | --- | --- |
//! | [`Mutex`], [`RwLock`] | a value that is held over await points |
//! | [`Semaphore`] | so many at once |
//! | [`Notify`], [`Event`] | a wake-up, a flag |
//! | [`Condvar`] | a change of what a mutex holds |
//! | [`Barrier`] | a point that tasks pass together |
//! | [`OnceCell`] | a value that the first who needs it makes |
//! | [`oneshot`] | one value, from one task to another |
//! | [`mpsc`] | a queue from many tasks to one |
//! | [`broadcast`] | a queue from many tasks to many, where each gets all |
//! | [`watch`] | a value of which only the last counts |
//! | [`Queue`], [`LifoQueue`], [`PriorityQueue`] | work for many tasks, to be waited for |
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `Mutex::lock`, `lock_owned`, `RwLock::read`, `write`, `read_owned`, `write_owned` | its place in the queue is free; a lock that it was just given goes to the next |
//! | `Semaphore::acquire`, `acquire_many`, `acquire_owned`, `acquire_many_owned`, `mpsc::Sender::reserve`, `reserve_owned` | the same, with permits, or with room |
//! | `Notify::notified` | its place is free; if it was told by `notify_one`, the next one is instead |
//! | `Event::wait`, the `closed` of every sender | nothing |
//! | `Condvar::wait`, `wait_for` | the lock stays free; if it was notified, the next one is instead |
//! | `Barrier::wait` | its arrival is taken back, unless all had come |
//! | `OnceCell::get_or_init`, `get_or_try_init` | what was making the value is dropped, and the next caller makes it |
//! | `mpsc::Sender::send`, `Queue::put` | the message is dropped, unless it was sent |
//! | `mpsc::Receiver::recv`, `recv_many`, `broadcast::Receiver::recv`, `Queue::get` | nothing is lost: what was meant for it goes to the next receive |
//! | `oneshot::Receiver` | it is the receiving end: the sender gets its value back |
//! | `watch::Receiver::changed`, `wait_for` | nothing is lost: the next one tells what this one did not |
//! | `Queue::join` | nothing |

mod barrier;
pub mod broadcast;
mod condvar;
mod error;
mod event;
mod guarded;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
pub mod oneshot;
mod permits;
mod queue;
mod rwlock;
mod semaphore;
mod send_error;
#[cfg(all(test, not(loom)))]
mod tests;
mod until;
mod waiters;
mod waker_slot;
pub mod watch;

pub use self::barrier::{Barrier, BarrierWaitResult, BrokenBarrierError};
pub use self::condvar::Condvar;
pub use self::error::{AcquireError, ReleaseError, TryAcquireError, TryLockError};
pub use self::event::Event;
pub use self::guarded::{Exclusive, Shared};
pub use self::mutex::{Mutex, MutexGuard, OwnedMutexGuard};
pub use self::notify::{Notified, Notify};
pub use self::once_cell::{OnceCell, SetError};
pub use self::queue::{
    Fifo, GetError, Lifo, LifoQueue, Order, OrderedQueue, Priority, PriorityQueue, PutError, Queue,
    TryGetError, TryPutError,
};
pub use self::rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
pub use self::semaphore::{OwnedSemaphorePermit, Permit, Semaphore, SemaphorePermit};
