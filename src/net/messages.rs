//! What every socket of messages does: it receives and keeps what nobody took, sends, and ends.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
use crate::sys::datagram::send_now;
use crate::sys::message::push_control;
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

    /// The next message. Nothing is lost if the future is dropped.
    pub(super) async fn recv(&self) -> io::Result<Message<H>> {
        poll_fn(budget::proceed).await;
        let mut receiving = Receiving::new(&self.endpoint);
        poll_fn(|cx| receiving.poll_take(cx)).await
    }

    /// The next messages: what has arrived, at most `max`, and at least one. Nothing is lost if the future is
    /// dropped.
    pub(super) async fn recv_batch(&self, max: usize) -> io::Result<Vec<Message<H>>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut batch = vec![self.recv().await?];
        while batch.len() < max
            && let Some(Ok(message)) = self.take_unless_error()
        {
            batch.push(message);
        }
        Ok(batch)
    }

    /// The next message if one has arrived; an error stays for the next read.
    fn take_unless_error(&self) -> Option<io::Result<Message<H>>> {
        let message = self.endpoint.inbox.peek(|_| ())?;
        message.is_ok().then(|| self.endpoint.inbox.try_take())?
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

    /// Sends a message from a buffer that is lent to the operation.
    ///
    /// By a system call, unless the kernel does not take it now: where each answer is awaited before the next message
    /// is looked at, a turn of the loop for each costs half as much again (`net`, `udp_echo_single`).
    pub(super) async fn send<B: IoBuf>(&self, buf: B, target: Target) -> BufResult<usize, B> {
        poll_fn(budget::proceed).await;
        let driver = self.fd().driver();
        // Not past those that wait in the kernel.
        if driver.is_open() && !self.endpoint.is_sending() {
            match send_now(self.fd().as_fd(), buf.as_bytes(), &target) {
                Ok(count) => return Ok((count, buf)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(BufError { error, buf }),
            }
        }
        let pass = poll_fn(|cx| self.endpoint.poll_pass(cx)).await;
        Op::new(Rc::clone(driver), SendTo { pass, buf, target }).await
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
        let mut control = Vec::new();
        if !fds.is_empty() {
            let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
            push_control(&mut control, libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers);
        }
        match self.send_with(Attached { buf, fds }, target, control).await {
            Ok((count, Attached { buf, fds })) => Ok((count, (buf, fds))),
            Err(BufError { error, buf: Attached { buf, fds } }) => {
                Err(BufError { error, buf: (buf, fds) })
            }
        }
    }

    /// Sends several messages at once, each in an operation of its own, all in one system call if there is room.
    pub(super) async fn send_batch<B: IoBuf>(
        &self,
        batch: Vec<(B, Target)>,
    ) -> Vec<BufResult<usize, B>> {
        let mut sends: Vec<Sending<B, H>> =
            batch.into_iter().map(|(buf, target)| Sending::Waiting(Some((buf, target)))).collect();
        poll_fn(|cx| {
            let pending = sends.iter_mut().map(|send| send.is_pending(&self.endpoint, cx));
            if pending.filter(|pending| *pending).count() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        sends.into_iter().filter_map(Sending::result).collect()
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

/// One of a batch.
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
