//! Writing to a stream, one send at a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::Connection;
use crate::buf::{BufError, BufResult, Chunk, IoBuf};
use crate::driver::{Key, Op};
use crate::executor::budget;
use crate::op::line::Line;
use crate::op::send::{Send, Turn, poll_accept, poll_send};
use crate::op::send_vectored::SendVectored;

/// The most bytes that one `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// Waits for the turn to send.
pub(super) async fn turn(line: &Rc<Line>) -> io::Result<Turn> {
    poll_fn(|cx| Turn::poll(line, cx)).await
}

/// Dropped with the future of a turn's send, it has that be nobody's.
pub(super) struct Orphan<'a>(pub(super) &'a Line, pub(super) u32);

impl Drop for Orphan<'_> {
    fn drop(&mut self) {
        self.0.outbox.orphan_turn(self.1);
    }
}

/// A send of one buffer: a part of it, or all.
///
/// Unlike a read it uses up no budget: it always waits for the kernel.
struct Sending<'a, B: IoBuf> {
    line: &'a Rc<Line>,
    /// The buffer, until it moves into the operation.
    waiting: Option<B>,
    in_flight: Option<Key>,
    /// Of the turn that was taken for it.
    number: u32,
    whole: bool,
    /// Bytes of the buffer that are out.
    sent: usize,
    len: usize,
}

// The buffer moves into the operation before the kernel sees it; nothing here is ever pinned.
impl<B: IoBuf> Unpin for Sending<'_, B> {}

impl<B: IoBuf> Sending<'_, B> {
    /// Submits what is left of the buffer, when it is our turn.
    #[inline]
    fn poll_submit(&mut self, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        match ready!(poll_send(self.line, cx, &mut self.waiting, self.sent, self.whole)) {
            Ok((key, number)) => {
                self.in_flight = Some(key);
                self.number = number;
                Poll::Pending
            }
            Err(error) => {
                let buf = self.waiting.take().expect("an error leaves it where it was");
                Poll::Ready(Err(BufError { error, buf }))
            }
        }
    }

    /// The kernel stopped half-way, as for a signal: the rest is a send of its own.
    #[cold]
    fn go_on(&mut self, buf: B, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        self.waiting = Some(buf);
        self.poll_submit(cx)
    }
}

impl<B: IoBuf> Future for Sending<'_, B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(key) = this.in_flight {
            let (count, buf) = {
                let landed = ready!(this.line.fd.driver().poll_operation::<Send<B>>(key, cx));
                this.in_flight = None;
                landed?
            };
            this.sent += count;
            if this.whole && this.sent < this.len && count > 0 {
                return this.go_on(buf, cx);
            }
            return Poll::Ready(Ok((this.sent, buf)));
        }
        if this.len == 0
            && let Some(buf) = this.waiting.take()
        {
            return Poll::Ready(Ok((0, buf)));
        }
        this.poll_submit(cx)
    }
}

impl<B: IoBuf> Drop for Sending<'_, B> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.in_flight {
            self.line.outbox.orphan_turn(self.number);
            self.line.fd.driver().abandon(key);
        }
    }
}

/// A send of all of a buffer, which it gives back.
struct SendingAll<'a, B: IoBuf>(Sending<'a, B>);

impl<B: IoBuf> Future for SendingAll<'_, B> {
    type Output = Result<B, BufError<B>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (sent, buf) = ready!(Pin::new(&mut self.0).poll(cx))?;
        if sent < self.0.len {
            let error = io::ErrorKind::WriteZero.into();
            return Poll::Ready(Err(BufError { error, buf }));
        }
        Poll::Ready(Ok(buf))
    }
}

impl Connection {
    pub(super) fn send<B: IoBuf>(
        &self,
        buf: B,
        whole: bool,
    ) -> impl Future<Output = BufResult<usize, B>> {
        self.sending(buf, whole)
    }

    #[inline]
    fn sending<B: IoBuf>(&self, buf: B, whole: bool) -> Sending<'_, B> {
        let len = buf.buf_len();
        let line = &self.line;
        Sending { line, waiting: Some(buf), in_flight: None, number: 0, whole, sent: 0, len }
    }

    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_part(bytes, false).await
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_part(bytes, true).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        if part.is_empty() {
            return Poll::Ready(Ok(0));
        }
        poll_accept(&self.line, cx, || part.to_vec()).map_ok(|()| part.len())
    }

    pub(super) fn poll_send(
        &self,
        cx: &Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        if chunk.as_ref().is_none_or(|chunk| chunk.is_empty()) {
            *chunk = None;
            return Poll::Ready(Ok(()));
        }
        poll_accept(&self.line, cx, || chunk.take().expect("it was there"))
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        Turn::poll(&self.line, cx).map_ok(drop)
    }

    /// Sends a copy of the first bytes; all of that copy if `whole`.
    async fn write_part(&self, bytes: &[u8], whole: bool) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        let (count, _copy) = self.send(part.to_vec(), whole).await?;
        Ok(count)
    }

    pub(super) fn send_all<B: IoBuf>(
        &self,
        buf: B,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        SendingAll(self.sending(buf, true))
    }

    pub(super) async fn send_all_vectored<B: IoBuf>(
        &self,
        mut bufs: Vec<B>,
    ) -> Result<Vec<B>, BufError<Vec<B>>> {
        let len: usize = bufs.iter().map(IoBuf::buf_len).sum();
        let mut sent = 0;
        while sent < len {
            poll_fn(budget::proceed).await;
            let turn = match turn(&self.line).await {
                Ok(turn) => turn,
                Err(error) => return Err(BufError { error, buf: bufs }),
            };
            let number = turn.number();
            let send = SendVectored::new(turn, bufs, sent);
            let (count, back) = self.send_parts(send, number).await?;
            sent += count;
            bufs = back;
        }
        Ok(bufs)
    }

    /// One operation of a vectored send; if the future is dropped, the send is nobody's.
    async fn send_parts<B: IoBuf>(
        &self,
        send: SendVectored<B>,
        number: u32,
    ) -> BufResult<usize, Vec<B>> {
        let _orphan = Orphan(&self.line, number);
        Op::new(Rc::clone(self.line.fd.driver()), send).await
    }
}
