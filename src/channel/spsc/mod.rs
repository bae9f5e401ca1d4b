//! A channel from one sender to one receiver, each on any thread.
//!
//! The quickest way for values from one core to another: while both ends are busy, a message costs neither a system
//! call nor a locked instruction (`mesh`, `spsc`). See [`channel`](crate::channel) for what all channels have in
//! common.
//!
//! ```
//! use annulus::channel::spsc;
//!
//! let (mut sender, mut receiver) = spsc::channel(64);
//! let other_core = std::thread::spawn(move || {
//!     annulus::run(async {
//!         let mut sum = 0;
//!         while let Some(number) = receiver.recv().await {
//!             sum += number;
//!         }
//!         Ok::<u64, std::io::Error>(sum)
//!     })
//! });
//! annulus::run(async {
//!     for number in 1..=1000 {
//!         sender.send(number).await.expect("somebody receives");
//!     }
//!     drop(sender);
//!     Ok::<_, std::io::Error>(())
//! })?;
//! assert_eq!(other_core.join().unwrap()?, 500_500);
//! # Ok::<_, std::io::Error>(())
//! ```

mod ends;
mod receiver;
mod ring;
mod sender;

pub use receiver::{Drain, Receiver, Receiving};
pub use sender::{Sender, Sending};

/// A channel in which at most `capacity` messages wait. Memory for all of them is taken up at once.
///
/// # Panics
///
/// If `capacity` is 0, or above half the address space.
#[track_caller]
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    super::check_capacity(capacity);
    let (producer, consumer) = ring::ring(capacity);
    (Sender::new(producer), Receiver::new(consumer))
}
