//! The end that messages come out of: one text for both kinds of channel, which differ in their ring alone.
//!
//! A macro, because the ring's type, which is private, cannot be an argument of a public one.

/// The receiver of the channel of `$kind`, over the `Consumer` of its ring. `$mut`: what its sender
/// needs in the example.
macro_rules! receiver {
    ($kind:literal, $mut:literal) => {
        use std::fmt;
        use std::future::poll_fn;
        use std::pin::Pin;
        use std::task::{Context, Poll};

        use super::ring::Consumer;
        use crate::channel::blocking::block_on;
        use crate::channel::error::TryRecvError;
        use crate::channel::intake::{Ends, Intake, Taken};

        /// The receiver of a channel; made by [`channel`](super::channel()).
        ///
        /// It may be on any thread, in a task of any runtime or in none. Dropping it refuses what is sent from
        /// then on, and drops what was not received.
        pub struct Receiver<T> {
            intake: Intake<Consumer<T>>,
        }

        impl<T> Receiver<T> {
            pub(super) fn new(ring: Consumer<T>) -> Self {
                Self { intake: Intake::new(ring) }
            }

            /// Waits for the next message, in the order in which they were sent; `None` if there is none and all
            /// senders were dropped.
            ///
            /// Dropping the future loses nothing.
            #[inline]
            pub fn recv(&mut self) -> Receiving<'_, T> {
                Receiving { receiver: self }
            }

            /// As [`recv`](Self::recv), as one poll; the last waker counts.
            #[inline(always)]
            pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.intake.poll_one(cx)
            }

            /// The next message, if it is there.
            ///
            /// # Errors
            ///
            /// `Empty` if it may yet come, `Disconnected` if not.
            #[inline]
            pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
                self.intake.try_one()
            }

            /// Waits for at least one message and appends those there are, at most `limit`, to `buffer`. Returns
            /// how many; 0 if none will come, or `limit` is 0.
            ///
            /// Dropping the future loses nothing.
            pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                poll_fn(|cx| self.intake.poll_many(buffer, limit, cx)).await
            }

            /// Appends the messages that are there, at most `limit`, to `buffer`; how many. 0 says neither that
            /// more will come nor that none will.
            pub fn try_recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                self.intake.try_many(buffer, limit)
            }

            /// The messages that are there, one after the other, without waiting for more. Senders learn of the
            /// room when the iterator is dropped; messages that were not taken stay.
            ///
            /// ```
            #[doc = concat!("use annulus::channel::", $kind, "::channel;")]
            ///
            #[doc = concat!("let (", $mut, "sender, mut receiver) = channel(4);")]
            /// assert_eq!(sender.try_send_many(&mut (0..9)), Ok(4));
            /// assert_eq!(receiver.drain().take(3).sum::<i32>(), 3);
            /// assert_eq!(receiver.try_recv(), Ok(3));
            /// ```
            pub fn drain(&mut self) -> Drain<'_, T> {
                Drain { taken: self.intake.taken() }
            }

            /// As [`recv`](Self::recv), for a thread without a runtime: it sleeps until there is a message.
            ///
            /// # Panics
            ///
            /// Inside a runtime.
            #[track_caller]
            pub fn blocking_recv(&mut self) -> Option<T> {
                block_on(concat!($kind, "::Receiver::blocking_recv"), |cx| self.poll_recv(cx))
            }

            /// As [`recv_many`](Self::recv_many), for a thread without a runtime: it sleeps until there is a
            /// message.
            ///
            /// # Panics
            ///
            /// Inside a runtime.
            #[track_caller]
            pub fn blocking_recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                block_on(concat!($kind, "::Receiver::blocking_recv_many"), |cx| {
                    self.intake.poll_many(buffer, limit, cx)
                })
            }

            /// Whether all senders were dropped; messages may still be there.
            pub fn is_closed(&self) -> bool {
                self.intake.ends().is_closed()
            }

            /// How many messages may wait.
            pub fn capacity(&self) -> usize {
                self.intake.ends().capacity()
            }

            /// How many messages wait.
            pub fn len(&self) -> usize {
                self.intake.ends().len()
            }

            /// Whether no message waits.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        impl<T> Drop for Receiver<T> {
            fn drop(&mut self) {
                self.intake.end();
            }
        }

        impl<T> fmt::Debug for Receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(concat!($kind, "::Receiver"))
                    .field("len", &self.len())
                    .finish_non_exhaustive()
            }
        }

        /// The future of [`Receiver::recv`].
        #[must_use = "futures do nothing unless polled"]
        pub struct Receiving<'a, T> {
            receiver: &'a mut Receiver<T>,
        }

        impl<T> Future for Receiving<'_, T> {
            type Output = Option<T>;

            #[inline(always)]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.receiver.poll_recv(cx)
            }
        }

        impl<T> fmt::Debug for Receiving<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(concat!($kind, "::Receiving")).finish_non_exhaustive()
            }
        }

        /// The messages that are there; made by [`Receiver::drain`].
        #[derive(Debug)]
        pub struct Drain<'a, T> {
            taken: Taken<'a, Consumer<T>>,
        }

        impl<T> Iterator for Drain<'_, T> {
            type Item = T;

            #[inline]
            fn next(&mut self) -> Option<T> {
                self.taken.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.taken.size_hint()
            }
        }
    };
}

pub(super) use receiver;
