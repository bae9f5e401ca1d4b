//! Sending without a bound.

use std::fmt;
use std::rc::Weak;

use super::channel::{Channel, Share};
use super::error::SendError;

/// Sends into a channel without a bound; made by [`unbounded_channel`](super::unbounded_channel), and cloned.
///
/// When all are dropped the receiver gets what was sent, and then the end.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::mpsc::UnboundedSender<()>>();
/// ```
pub struct UnboundedSender<T> {
    share: Share<T>,
}

impl<T> UnboundedSender<T> {
    pub(super) fn new(share: Share<T>) -> Self {
        Self { share }
    }

    /// Sends.
    ///
    /// # Errors
    ///
    /// If the receiver was dropped or closed; the error holds `value`.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let channel = self.share.channel();
        if !channel.slots.try_take(1) {
            return Err(SendError(value));
        }
        channel.push(value);
        Ok(())
    }

    /// Waits until the receiver is dropped or closed.
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) {
        self.share.channel().closed().await;
    }

    /// Whether the receiver was dropped or closed.
    pub fn is_closed(&self) -> bool {
        self.share.channel().is_closed()
    }

    /// Whether two senders are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.share.is_of(&other.share)
    }

    /// A sender that does not keep the channel open.
    pub fn downgrade(&self) -> WeakUnboundedSender<T> {
        WeakUnboundedSender { channel: self.share.downgrade() }
    }

    /// How many senders there are, weak ones not counted.
    pub fn strong_count(&self) -> usize {
        self.share.count()
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.share.clone())
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnboundedSender").finish_non_exhaustive()
    }
}

/// An [`UnboundedSender`] that does not keep the channel open; made by [`UnboundedSender::downgrade`].
pub struct WeakUnboundedSender<T> {
    channel: Weak<Channel<T>>,
}

impl<T> WeakUnboundedSender<T> {
    /// A sender, if one is left.
    pub fn upgrade(&self) -> Option<UnboundedSender<T>> {
        Share::upgrade(&self.channel).map(UnboundedSender::new)
    }
}

impl<T> Clone for WeakUnboundedSender<T> {
    fn clone(&self) -> Self {
        Self { channel: Weak::clone(&self.channel) }
    }
}

impl<T> fmt::Debug for WeakUnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakUnboundedSender").finish_non_exhaustive()
    }
}
