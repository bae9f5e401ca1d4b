//! The end that messages go into, and its permits.

use std::cell::Cell;
use std::fmt;
use std::rc::Weak;

use super::super::permits::{Claim, Permits, Take};
use super::channel::{Channel, Share};
use super::error::{SendError, TrySendError};

/// Sends into a bounded channel; made by [`channel`](super::channel()), and cloned.
///
/// When all are dropped the receiver gets what was sent, and then the end.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::mpsc::Sender<()>>();
/// ```
pub struct Sender<T> {
    share: Share<T>,
}

impl<T> Sender<T> {
    pub(super) fn new(share: Share<T>) -> Self {
        Self { share }
    }

    /// Waits for room, and sends.
    ///
    /// Senders that wait get their turn in order. Dropping the future drops `value` with it, unless it was sent; to
    /// keep it, [`reserve`](Self::reserve) first.
    ///
    /// # Errors
    ///
    /// If the receiver is dropped or closed, also while this waits; the error holds `value`.
    #[inline]
    pub fn send(&self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Take::new(ClaimSend { channel: self.share.channel(), value: Cell::new(Some(value)) })
    }

    /// Sends, if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Full` if that is not so, `Closed` if the receiver was dropped or closed; both hold `value`.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let channel = self.share.channel();
        match channel.slots.try_take(1) {
            true => {
                channel.push(value);
                Ok(())
            }
            false if channel.is_closed() => Err(TrySendError::Closed(value)),
            false => Err(TrySendError::Full(value)),
        }
    }

    /// Waits for room, and keeps it for one message.
    ///
    /// Dropping the future gives up its place in the queue; room that it had been given is the next one's.
    ///
    /// # Errors
    ///
    /// If the receiver is dropped or closed, also while this waits.
    pub fn reserve(&self) -> impl Future<Output = Result<Permit<'_, T>, SendError<()>>> {
        Take::new(ClaimPermit { sender: self })
    }

    /// As [`reserve`](Self::reserve), with a permit that holds the sender.
    ///
    /// Dropping the future drops the sender.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve); the sender is dropped.
    pub async fn reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        self.reserve().await?.pass_on();
        Ok(OwnedPermit { sender: Some(self) })
    }

    /// Keeps room for one message, if there is some and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Full` if that is not so, `Closed` if the receiver was dropped or closed.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        let channel = self.share.channel();
        match channel.slots.try_take(1) {
            true => Ok(Permit::new(self)),
            false if channel.is_closed() => Err(TrySendError::Closed(())),
            false => Err(TrySendError::Full(())),
        }
    }

    /// As [`try_reserve`](Self::try_reserve), with a permit that holds the sender.
    ///
    /// # Errors
    ///
    /// As [`try_reserve`](Self::try_reserve); the error gives the sender back.
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        match self.try_reserve().map(Permit::pass_on) {
            Ok(()) => Ok(OwnedPermit { sender: Some(self) }),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(self)),
            Err(TrySendError::Full(())) => Err(TrySendError::Full(self)),
        }
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

    /// How many messages there is room for now.
    pub fn capacity(&self) -> usize {
        self.share.channel().slots.free()
    }

    /// How many messages may wait at most.
    pub fn max_capacity(&self) -> usize {
        self.share.channel().slot_count()
    }

    /// Whether two senders are of one channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.share.is_of(&other.share)
    }

    /// A sender that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { channel: self.share.downgrade() }
    }

    /// How many senders there are, weak ones not counted.
    pub fn strong_count(&self) -> usize {
        self.share.count()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(self.share.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// A [`Sender`] that does not keep the channel open; made by [`Sender::downgrade`].
pub struct WeakSender<T> {
    channel: Weak<Channel<T>>,
}

impl<T> WeakSender<T> {
    /// A sender, if one is left.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        Share::upgrade(&self.channel).map(Sender::new)
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        Self { channel: Weak::clone(&self.channel) }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}

/// Room for one message, kept; made by [`Sender::reserve`]. Dropped unused, the room is the next one's.
#[must_use = "room that is not used is given back"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Permit<'a, T> {
    /// The caller has taken a slot.
    fn new(sender: &'a Sender<T>) -> Self {
        sender.share.channel().reserve();
        Self { sender }
    }

    /// Sends. If the receiver is gone, the message is dropped with the channel.
    pub fn send(self, value: T) {
        let sender = self.sender;
        self.pass_on();
        sender.share.channel().fulfil(value);
    }

    /// Ends this without giving the room back: somebody else has it now.
    fn pass_on(self) {
        let _not_dropped = std::mem::ManuallyDrop::new(self);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.share.channel().release();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// A [`Permit`] that holds its sender; made by [`Sender::reserve_owned`].
#[must_use = "room that is not used is given back"]
pub struct OwnedPermit<T> {
    /// `None` once it was used.
    sender: Option<Sender<T>>,
}

impl<T> OwnedPermit<T> {
    /// Sends, and gives the sender back. If the receiver is gone, the message is dropped with the channel.
    pub fn send(mut self, value: T) -> Sender<T> {
        let sender = self.sender.take().expect("a permit is used once");
        sender.share.channel().fulfil(value);
        sender
    }

    /// Gives up the room, and gives the sender back.
    pub fn release(mut self) -> Sender<T> {
        let sender = self.sender.take().expect("a permit is used once");
        sender.share.channel().release();
        sender
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.share.channel().release();
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}

/// Asks for a slot to put a message into.
struct ClaimSend<'a, T> {
    channel: &'a Channel<T>,
    /// Taken once.
    value: Cell<Option<T>>,
}

impl<T> ClaimSend<'_, T> {
    #[inline]
    fn value(&self) -> T {
        self.value.take().expect("a send was polled after it was done")
    }
}

impl<'a, T> Claim<'a> for ClaimSend<'a, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.channel.slots
    }

    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn granted(&self) -> Self::Output {
        self.channel.push(self.value());
        Ok(())
    }

    fn refused(&self) -> Self::Output {
        Err(SendError(self.value()))
    }
}

/// Asks for a slot to keep.
struct ClaimPermit<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Claim<'a> for ClaimPermit<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    #[inline]
    fn permits(&self) -> &'a Permits {
        &self.sender.share.channel().slots
    }

    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn granted(&self) -> Self::Output {
        Ok(Permit::new(self.sender))
    }

    fn refused(&self) -> Self::Output {
        Err(SendError(()))
    }
}
