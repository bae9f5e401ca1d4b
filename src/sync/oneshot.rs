//! A channel for one value.
//!
//! ```
//! use annulus::sync::oneshot;
//!
//! annulus::run(async {
//!     let (sender, receiver) = oneshot::channel();
//!     let task = annulus::spawn(async move { receiver.await.expect("it is sent") });
//!     sender.send(7).expect("somebody waits");
//!     assert_eq!(task.await?, 7);
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::waker_slot::WakerSlot;
use crate::executor::budget;

/// A channel for one value, with its two ends. It costs one allocation.
#[inline]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        sender_gone: Cell::new(false),
        closed: Cell::new(false),
        receiver: WakerSlot::default(),
        sender: WakerSlot::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

struct Shared<T> {
    value: Cell<Option<T>>,
    /// The sender was dropped, or used.
    sender_gone: Cell<bool>,
    /// The receiver was dropped or closed.
    closed: Cell<bool>,
    receiver: WakerSlot,
    sender: WakerSlot,
}

/// Sends one value; made by [`channel`].
///
/// Dropped without sending, it ends the receiver's wait with an error.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::oneshot::Sender<()>>();
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends the value, and wakes the receiver.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped or closed: the error is the value. A value that was sent may still be dropped
    /// unseen, with the receiver.
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        if self.shared.closed.get() {
            return Err(value);
        }
        // Nothing is replaced: this is the only sender, and it is used up. Its drop wakes the receiver.
        self.shared.value.set(Some(value));
        Ok(())
    }

    /// Whether the receiver was dropped or closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get()
    }

    /// Waits until the receiver is dropped or closed, as when nobody wants the value any more.
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// As [`closed`](Self::closed), as one poll; the last waker counts.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(budget::proceed(cx));
        if !self.shared.closed.get() {
            self.shared.sender.keep(cx);
        }
        // Asked again, because cloning a waker may run anything.
        if self.shared.closed.get() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.sender_gone.set(true);
        self.shared.receiver.wake();
    }
}

/// Waits for the value; made by [`channel`].
///
/// It is the future: await it, or `&mut` it to keep it. Dropped, or dropped while it is awaited by value, it closes
/// the channel, and a value that was sent is dropped with it; awaiting it by `&mut` loses nothing.
///
/// # Errors
///
/// It resolves to [`RecvError`] if the sender is dropped without sending, and when it is asked again.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::oneshot::Receiver<()>>();
/// ```
#[must_use = "the receiver waits only when awaited"]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Unpin for Receiver<T> {}

impl<T> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// # Errors
    ///
    /// `Empty` if it may yet come, `Closed` if not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.look() {
            Some(result) => result.map_err(|RecvError(())| TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Refuses the value from now on. One that was sent before is still received.
    pub fn close(&mut self) {
        self.shared.closed.set(true);
        self.shared.sender.wake();
    }

    /// What there is to say, or `None` if the value may yet come.
    #[inline]
    fn look(&self) -> Option<Result<T, RecvError>> {
        match self.shared.value.take() {
            Some(value) => Some(Ok(value)),
            None if self.shared.sender_gone.get() || self.shared.closed.get() => {
                Some(Err(RecvError(())))
            }
            None => None,
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.look() {
            return Poll::Ready(result);
        }
        self.shared.receiver.keep(cx);
        // Asked again, because cloning a waker may run anything.
        self.look().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The sender was dropped without sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvError(());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed: nothing will be sent")
    }
}

impl std::error::Error for RecvError {}

/// Why there is no value now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// It was not sent yet.
    Empty,
    /// It was received, or will never be sent.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing was sent yet",
            Self::Closed => "the channel is closed: nothing will be sent",
        })
    }
}

impl std::error::Error for TryRecvError {}
