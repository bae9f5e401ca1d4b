//! A channel from many senders to one receiver, each on any thread.
//!
//! A message costs its sender a locked instruction, and the receiver none. Senders that wait for room get it in the
//! order in which they came. See [`channel`](crate::channel) for what all channels have in common.
//!
//! ```
//! use annulus::channel::mpsc;
//!
//! let (sender, mut receiver) = mpsc::channel(16);
//! let threads: Vec<_> = (0..3u64)
//!     .map(|_| {
//!         let sender = sender.clone();
//!         std::thread::spawn(move || (0..100u64).try_for_each(|n| sender.blocking_send(n)))
//!     })
//!     .collect();
//! drop(sender);
//! annulus::run(async {
//!     let (mut sum, mut batch) = (0, Vec::new());
//!     while receiver.recv_many(&mut batch, 64).await > 0 {
//!         sum += batch.drain(..).sum::<u64>();
//!     }
//!     assert_eq!(sum, 3 * 4950);
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
//! # Ok::<_, std::io::Error>(())
//! ```

mod ends;
mod line;
mod receiver;
mod ring;
mod sender;

use crate::loom::Arc;
pub use receiver::{Drain, Receiver, Receiving};
use ring::{Consumer, Ring};
pub use sender::{Sender, Sending};

/// A channel in which at most `capacity` messages wait. Memory for all of them is taken up at once.
///
/// # Panics
///
/// If `capacity` is 0, or above half the address space.
#[track_caller]
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    super::check_capacity(capacity);
    let ring = Ring::new(capacity);
    (Sender::new(Arc::clone(&ring)), Receiver::new(Consumer::new(ring)))
}
