//! What every socket of messages does: it receives and keeps what nobody took, sends, and ends.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::buf::{BufResult, IoBuf};
use crate::driver::{Op, gone};
use crate::executor::budget;
use crate::op::close::Fd;
use crate::op::endpoint::Endpoint;
use crate::op::receive::busy;
use crate::op::receive_message::{Head, Message, Receiving, ensure_armed};
use crate::op::send_message::SendMessage;
use crate::op::send_to::SendTo;
use crate::sys::sockaddr::Target;

/// The handle of a socket of messages. Dropping it ends the receive and drops what nobody took; sends under way
/// finish.
#[derive(Debug)]
pub(super) struct Messages<H: Head> {
    endpoint: Rc<Endpoint<H>>,
}

impl<H: Head> Messages<H> {
    pub(super) fn new(fd: Fd) -> Self {
        Self { endpoint: Endpoint::new(fd) }
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
    pub(super) async fn send<B: IoBuf>(&self, buf: B, target: Target) -> BufResult<usize, B> {
        let pass = poll_fn(|cx| self.endpoint.poll_pass(cx)).await;
        Op::new(Rc::clone(self.fd().driver()), SendTo { pass, buf, target }).await
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

    /// Sends several messages at once, each in an operation of its own, all in one system call if there is room.
    pub(super) async fn send_batch<B: IoBuf>(
        &self,
        batch: Vec<(B, Target)>,
    ) -> Vec<BufResult<usize, B>> {
        let mut sends: Vec<Sending<_, _>> = batch
            .into_iter()
            .map(|(buf, target)| Sending::Under(Box::pin(self.send(buf, target))))
            .collect();
        poll_fn(|cx| {
            let pending = sends.iter_mut().filter_map(|send| send.poll(cx)).count();
            if pending == 0 { Poll::Ready(()) } else { Poll::Pending }
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
    }
}

/// One of a batch.
enum Sending<F, T> {
    Under(Pin<Box<F>>),
    Done(T),
}

impl<F: Future<Output = T>, T> Sending<F, T> {
    /// `None` once it is done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<()> {
        if let Self::Under(send) = self {
            match send.as_mut().poll(cx) {
                Poll::Ready(result) => *self = Self::Done(result),
                Poll::Pending => return Some(()),
            }
        }
        None
    }

    fn result(self) -> Option<T> {
        match self {
            Self::Under(_) => None,
            Self::Done(result) => Some(result),
        }
    }
}
