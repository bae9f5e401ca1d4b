//! What every socket of messages does: it receives and keeps what nobody took, sends, and ends.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::lingering::linger;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Op, gone};
use crate::executor::budget;
use crate::op::cancel_all::cancel_all;
use crate::op::close::Fd;
use crate::op::endpoint::Endpoint;
use crate::op::receive::busy;
use crate::op::receive_message::{Head, Message, Receiving, ensure_armed};
use crate::op::send_message::{Attached, SendMessage};
use crate::op::send_to::SendTo;
use crate::sys::datagram::{send_many_now, send_now};
use crate::sys::sockaddr::Target;

/// The handle of a socket of messages. Dropping it ends the receive and drops what nobody took; sends under way
/// finish.
#[derive(Debug)]
pub(super) struct Messages<H: Head> {
    endpoint: Rc<Endpoint<H>>,
}

impl<H: Head> Messages<H> {
    /// Of a socket that may have so many sends under way.
    pub(super) fn new(fd: Fd, sends_max: u32) -> Self {
        Self { endpoint: Endpoint::new(fd, sends_max) }
    }

    pub(super) fn fd(&self) -> &Fd {
        &self.endpoint.fd
    }

    pub(super) fn endpoint(&self) -> &Rc<Endpoint<H>> {
        &self.endpoint
    }

    /// The next message, made a `T`. Nothing is lost if the future is dropped.
    #[inline]
    pub(super) fn recv<T, F: FnMut(Message<H>) -> T>(&self, make: F) -> Recv<'_, H, F> {
        Recv { receiving: Receiving::new(&self.endpoint), make }
    }

    /// The next messages, each made a `T`: what has arrived, at most `max`, and at least one. Nothing is lost if the
    /// future is dropped.
    pub(super) async fn recv_batch<T>(
        &self,
        max: usize,
        make: impl Fn(Message<H>) -> T,
    ) -> io::Result<Vec<T>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let first = self.recv(|message| message).await?;
        Ok(self.endpoint.inbox.batch(first, max, make))
    }

    pub(super) fn try_recv(&self) -> io::Result<Message<H>> {
        match self.endpoint.inbox.try_take() {
            Some(taken) => taken,
            None => {
                ensure_armed(&self.endpoint)?;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Resolves once there is a message or an error.
    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(budget::proceed).await;
        let mut receiving = Receiving::new(&self.endpoint);
        poll_fn(|cx| receiving.poll_ready(cx)).await
    }

    /// Looks at the next message without taking it.
    pub(super) async fn peek<T>(&self, look: impl Fn(&Message<H>) -> T) -> io::Result<T> {
        loop {
            self.readable().await?;
            if let Some(seen) = self.endpoint.inbox.peek(&look) {
                return seen;
            }
        }
    }

    pub(super) fn expect(&self, payload_max: Option<usize>) {
        self.endpoint.inbox.expect(payload_max, self.fd().driver());
    }

    /// Has the kernel take a message now; `None` if it is to wait on the ring.
    ///
    /// Where each answer is awaited before the next message is looked at, a turn of the loop for each costs half as
    /// much again (`net`, `udp_echo_single`); where many leave at once, an operation for each costs 7 % more than a
    /// system call for all (`udp_echo_apart`).
    #[inline]
    fn send_now(
        &self,
        send: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        // Not past those that wait in the kernel.
        if !self.fd().driver().is_open() || self.endpoint.is_sending() {
            return None;
        }
        match send(self.fd().as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            result => {
                self.endpoint.note_sent();
                Some(result)
            }
        }
    }

    /// Sends a message from a buffer that is lent to the operation, if it has to wait.
    #[inline]
    pub(super) fn send<B: IoBuf>(&self, buf: B, target: Target) -> SendOwned<'_, B, H> {
        SendOwned { messages: self, sending: Sending::Waiting(Some((buf, target))) }
    }

    /// Sends a message, and copies it only if it has to wait.
    pub(super) async fn send_copy(&self, bytes: &[u8], target: Target) -> io::Result<usize> {
        poll_fn(budget::proceed).await;
        match self.send_now(|fd| send_now(fd, bytes, &target)) {
            Some(result) => result,
            None => Ok(self.send(bytes.to_vec(), target).await?.0),
        }
    }

    /// As [`send`](Self::send), with control data.
    pub(super) async fn send_with<B: IoBuf>(
        &self,
        buf: B,
        target: Target,
        control: Vec<u8>,
    ) -> BufResult<usize, B> {
        let pass = poll_fn(|cx| self.endpoint.poll_pass(cx)).await;
        let send = SendMessage::new(pass, buf, target, control);
        Op::new(Rc::clone(self.fd().driver()), send).await
    }

    /// As [`send`](Self::send), with copies of descriptors; they come back with the buffer.
    pub(super) async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        target: Target,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        let attached = Attached::new(buf, fds, self.fd().driver());
        let sent = match attached.rights() {
            Ok(control) => self.send_with(attached, target, control).await,
            Err(error) => Err(BufError { error, buf: attached }),
        };
        Attached::apart(sent)
    }

    /// Sends several messages, by a system call for many, joined as far as `joins` says so and they are alike; those
    /// that the kernel does not take now go through the ring, each in an operation of its own.
    pub(super) async fn send_batch<B: IoBuf>(
        &self,
        batch: Vec<(B, SocketAddr)>,
        joins: &Cell<bool>,
    ) -> Vec<BufResult<usize, B>> {
        let mut results = Vec::with_capacity(batch.len());
        let mut rest = batch.into_iter();
        while !rest.as_slice().is_empty() {
            poll_fn(budget::proceed).await;
            let messages = rest.as_slice().iter().map(|(buf, to)| (buf.as_bytes(), *to));
            match self.send_now(|fd| send_many_now(fd, messages, joins)) {
                Some(Ok(count)) => {
                    let sent = rest.by_ref().take(count);
                    results.extend(sent.map(|(buf, _)| Ok((buf.buf_len(), buf))));
                }
                Some(Err(error)) => {
                    results.extend(rest.next().map(|(buf, _)| Err(BufError { error, buf })));
                }
                None => results.extend(self.send_batch_later(rest.by_ref()).await),
            }
        }
        results
    }

    /// As [`send_batch`](Self::send_batch), through the ring.
    async fn send_batch_later<B: IoBuf>(
        &self,
        batch: impl Iterator<Item = (B, SocketAddr)>,
    ) -> impl Iterator<Item = BufResult<usize, B>> {
        let mut sends: Vec<Sending<B, H>> =
            batch.map(|(buf, to)| Sending::Waiting(Some((buf, Target::new(to))))).collect();
        poll_fn(|cx| {
            let pending = sends.iter_mut().map(|send| send.is_pending(&self.endpoint, cx));
            if pending.filter(|pending| *pending).count() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        sends.into_iter().filter_map(Sending::result)
    }

    /// Resolves once a pass to send is free.
    pub(super) async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.endpoint.poll_room(cx)).await;
        if self.fd().driver().is_open() { Ok(()) } else { Err(gone()) }
    }

    /// Undoes what was armed and gives the socket back, with the messages that had arrived.
    pub(super) async fn into_socket(self) -> io::Result<(OwnedFd, Vec<Message<H>>)> {
        let endpoint = Rc::clone(&self.endpoint);
        poll_fn(|cx| endpoint.poll_quiet(cx)).await;
        poll_fn(|cx| endpoint.inbox.poll_disarmed(endpoint.fd.driver(), cx)).await;
        let taken = std::iter::from_fn(|| endpoint.inbox.try_take());
        let rest = taken.filter_map(Result::ok).collect();
        drop(self);
        let endpoint = Rc::try_unwrap(endpoint)
            .map_err(|_| busy("a leaked future of this socket holds it"))?;
        Ok((endpoint.fd.into_owned(), rest))
    }
}

impl<H: Head> Drop for Messages<H> {
    fn drop(&mut self) {
        self.endpoint.inbox.close(self.endpoint.fd.driver());
        if self.endpoint.is_sending() {
            let (endpoint, same) = (Rc::clone(&self.endpoint), Rc::clone(&self.endpoint));
            let sent = poll_fn(move |cx| endpoint.poll_quiet(cx));
            linger(self.fd().driver(), sent, move || cancel_all(&same));
        }
    }
}

/// Takes a message. Not an async block, as [`SendOwned`] is none: what those move about is a tenth of the instructions
/// of a datagram and its answer (`net`, `udp_echo_single`).
pub(super) struct Recv<'a, H: Head, F> {
    receiving: Receiving<'a, H>,
    make: F,
}

// Nothing in it is pinned.
impl<H: Head, F> Unpin for Recv<'_, H, F> {}

impl<T, H: Head, F: FnMut(Message<H>) -> T> Future for Recv<'_, H, F> {
    type Output = io::Result<T>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(budget::proceed(cx));
        let this = &mut *self;
        this.receiving.poll_take(cx).map_ok(&mut this.make)
    }
}

/// Sends a message at once, or through the ring where the kernel does not take it.
pub(super) struct SendOwned<'a, B: IoBuf, H: Head> {
    messages: &'a Messages<H>,
    sending: Sending<B, H>,
}

impl<B: IoBuf, H: Head> Future for SendOwned<'_, B, H> {
    type Output = BufResult<usize, B>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Sending::Waiting(message) = &mut this.sending
            && let Some((buf, target)) = message
        {
            ready!(budget::proceed(cx));
            if let Some(sent) = this.messages.send_now(|fd| send_now(fd, buf.as_bytes(), target))
                && let Some((buf, _)) = message.take()
            {
                return Poll::Ready(match sent {
                    Ok(count) => Ok((count, buf)),
                    Err(error) => Err(BufError { error, buf }),
                });
            }
        }
        this.poll_later(cx)
    }
}

impl<B: IoBuf, H: Head> SendOwned<'_, B, H> {
    #[inline(never)]
    fn poll_later(&mut self, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        if self.sending.is_pending(&self.messages.endpoint, cx) {
            return Poll::Pending;
        }
        let done = std::mem::replace(&mut self.sending, Sending::Waiting(None));
        Poll::Ready(done.result().expect("a future is not polled after its result"))
    }
}

/// A message on its way, alone or of a batch.
enum Sending<B: IoBuf, H: Head> {
    /// For a pass to send.
    Waiting(Option<(B, Target)>),
    Under(Op<SendTo<B, H>>),
    Done(BufResult<usize, B>),
}

// The message moves into its operation before the kernel sees it; nothing here is ever pinned.
impl<B: IoBuf, H: Head> Unpin for Sending<B, H> {}

impl<B: IoBuf, H: Head> Sending<B, H> {
    /// Goes on as far as it can; false once it is done.
    fn is_pending(&mut self, endpoint: &Rc<Endpoint<H>>, cx: &mut Context<'_>) -> bool {
        if let Self::Waiting(message) = self
            && let Poll::Ready(pass) = endpoint.poll_pass(cx)
            && let Some((buf, target)) = message.take()
        {
            let driver = Rc::clone(endpoint.fd.driver());
            *self = Self::Under(Op::new(driver, SendTo { pass, buf, target }));
        }
        if let Self::Under(send) = self
            && let Poll::Ready(result) = Pin::new(send).poll(cx)
        {
            *self = Self::Done(result);
        }
        !matches!(self, Self::Done(_))
    }

    fn result(self) -> Option<BufResult<usize, B>> {
        match self {
            Self::Done(result) => Some(result),
            Self::Waiting(_) | Self::Under(_) => None,
        }
    }
}
