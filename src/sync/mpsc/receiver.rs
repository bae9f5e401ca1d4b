//! The end that messages come out of.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::channel::Channel;
use super::error::TryRecvError;
use crate::executor::budget;

/// Receives what the senders of a channel send; made by [`channel`](super::channel()) and
/// [`unbounded_channel`](super::unbounded_channel).
///
/// Dropping it drops what was not received, and refuses what comes later.
///
/// With the feature `futures` it is a `Stream`.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::mpsc::Receiver<()>>();
/// ```
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
}

/// Receives from an [`unbounded_channel`](super::unbounded_channel).
pub type UnboundedReceiver<T> = Receiver<T>;

impl<T> Receiver<T> {
    pub(super) fn new(channel: Rc<Channel<T>>) -> Self {
        Self { channel }
    }

    /// Waits for the next message, in the order in which they were sent; `None` if there are none and none will come,
    /// because all senders are dropped or the channel is closed and every permit used or dropped.
    ///
    /// Dropping the future loses nothing.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
        Recv { receiver: self }
    }

    /// As [`recv`](Self::recv), as one poll; the last waker counts.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(budget::proceed(cx));
        self.channel.poll_pop(cx)
    }

    /// Waits for at least one message and appends those there are, at most `limit`, to `buffer`. Returns how many; 0
    /// if none will come, or `limit` is 0.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else { return 0 };
        buffer.push(first);
        let mut count = 1;
        while count < limit
            && let Some(value) = self.channel.pop()
        {
            buffer.push(value);
            count += 1;
        }
        count
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    ///
    /// `Empty` if it may yet come, `Disconnected` if not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.channel.pop() {
            Some(value) => Ok(value),
            None if self.channel.is_ended() => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Refuses messages from now on, those included whose senders wait for room. What was sent before is still
    /// received, and what permits send.
    pub fn close(&mut self) {
        self.channel.close();
    }

    /// Whether [`close`](Self::close) was called, or all senders are dropped.
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed() || self.channel.is_ended()
    }

    /// How many messages can be received at once.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Whether no message can be received at once.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages may wait at most; `usize::MAX` if the channel is unbounded.
    pub fn max_capacity(&self) -> usize {
        super::shown_capacity(self.channel.slot_count())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.close();
        // One by one: the drop of a message may use the channel.
        while self.channel.pop().is_some() {}
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// See [`Receiver::recv`]. No async block, so that it is inlined.
#[must_use = "futures do nothing unless polled"]
struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().receiver.poll_recv(cx)
    }
}
