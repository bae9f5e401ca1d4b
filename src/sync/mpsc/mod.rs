//! A queue from many senders to one receiver, with a bound or without.
//!
//! ```
//! use annulus::sync::mpsc;
//!
//! annulus::run(async {
//!     let (sender, mut receiver) = mpsc::channel(8);
//!     for number in 1..=3 {
//!         let sender = sender.clone();
//!         drop(annulus::spawn(async move { sender.send(number).await.expect("received") }));
//!     }
//!     drop(sender);
//!     let mut sum = 0;
//!     while let Some(number) = receiver.recv().await {
//!         sum += number;
//!     }
//!     assert_eq!(sum, 6);
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! A bounded channel holds its senders back, in order, while it is full. A message lies in the queue from when it is
//! sent, so neither a dropped send nor a dropped receive loses one that was.

mod channel;
pub mod error;
mod receiver;
mod ring;
mod sender;
mod unbounded;

use std::rc::Rc;

use self::channel::{Channel, Share};
pub use self::receiver::{Receiver, UnboundedReceiver};
pub use self::sender::{OwnedPermit, Permit, Sender, WeakSender};
pub use self::unbounded::{UnboundedSender, WeakUnboundedSender};
use super::Semaphore;

/// The slots of a channel without a bound: more than messages fit into memory.
const UNBOUNDED: usize = Semaphore::MAX_PERMITS;

/// A channel in which at most `capacity` messages wait.
///
/// Memory is taken up as messages come, up to that many.
///
/// # Panics
///
/// If `capacity` is 0, or above [`Semaphore::MAX_PERMITS`].
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel of capacity 0 could never send");
    assert!(capacity <= Semaphore::MAX_PERMITS, "a capacity above Semaphore::MAX_PERMITS");
    let channel = Rc::new(Channel::new(capacity));
    (Sender::new(Share::new(Rc::clone(&channel))), Receiver::new(channel))
}

/// A channel in which any number of messages wait. Sending never waits, so nothing slows a sender down: where the
/// receiver may fall behind, use a bound.
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let channel = Rc::new(Channel::new(UNBOUNDED));
    (UnboundedSender::new(Share::new(Rc::clone(&channel))), Receiver::new(channel))
}

/// A capacity as the user sees it.
fn shown_capacity(slot_count: usize) -> usize {
    if slot_count == UNBOUNDED { usize::MAX } else { slot_count }
}
