//! Writing to a stream, one send at a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::Connection;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::InFlight;
use crate::executor::budget;
use crate::op::line::Line;
use crate::op::send::{Send, Turn};
use crate::op::send_vectored::SendVectored;

/// The most bytes that one `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// Waits for the turn to send.
pub(super) async fn turn(line: &Rc<Line>) -> io::Result<Turn> {
    poll_fn(|cx| Turn::poll(line, cx)).await
}

/// A send of one buffer: a part of it, or all.
struct Sending<'a, B: IoBuf> {
    line: &'a Rc<Line>,
    stage: Stage<B>,
    /// Bytes of the buffer that are out.
    sent: usize,
    len: usize,
    whole: bool,
}

enum Stage<B: IoBuf> {
    Waiting(B),
    InFlight(InFlight<Send<B>>),
    Over,
}

// The buffer moves into the operation before the kernel sees it; nothing here is ever pinned.
impl<B: IoBuf> Unpin for Sending<'_, B> {}

impl<B: IoBuf> Sending<'_, B> {
    /// Submits what is left of the buffer, when it is our turn. Ready with an early end.
    #[inline]
    fn poll_submit(&mut self, cx: &mut Context<'_>) -> Poll<Option<BufResult<usize, B>>> {
        ready!(budget::proceed(cx));
        let turn = ready!(Turn::poll(self.line, cx));
        let Stage::Waiting(buf) = std::mem::replace(&mut self.stage, Stage::Over) else {
            panic!("a send was polled after it gave its result");
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => return Poll::Ready(Some(Err(BufError { error, buf }))),
        };
        let send = Send { turn, buf, offset: self.sent, whole: self.whole };
        match InFlight::submit(self.line.fd.driver(), send, cx) {
            Ok(in_flight) => {
                self.stage = Stage::InFlight(in_flight);
                Poll::Ready(None)
            }
            Err(output) => Poll::Ready(Some(output)),
        }
    }
}

impl<B: IoBuf> Future for Sending<'_, B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::InFlight(in_flight) = &mut this.stage {
            let result = ready!(in_flight.poll_result(cx));
            this.stage = Stage::Over;
            let (count, buf) = result?;
            this.sent += count;
            if !this.whole || this.sent >= this.len || count == 0 {
                return Poll::Ready(Ok((this.sent, buf)));
            }
            // The kernel stopped half-way, as for a signal: the rest is a send of its own.
            this.stage = Stage::Waiting(buf);
        } else if this.len == 0
            && let Stage::Waiting(buf) = std::mem::replace(&mut this.stage, Stage::Over)
        {
            return Poll::Ready(Ok((0, buf)));
        }
        match ready!(this.poll_submit(cx)) {
            Some(ended) => Poll::Ready(ended),
            None => Poll::Pending,
        }
    }
}

impl<B: IoBuf> Drop for Sending<'_, B> {
    fn drop(&mut self) {
        if let Stage::InFlight(_) = self.stage {
            self.line.outbox.orphan();
        }
    }
}

impl Connection {
    pub(super) fn send<B: IoBuf>(
        &self,
        buf: B,
        whole: bool,
    ) -> impl Future<Output = BufResult<usize, B>> {
        let len = buf.buf_len();
        Sending { line: &self.line, stage: Stage::Waiting(buf), sent: 0, len, whole }
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

    /// Sends a copy of the first bytes; all of that copy if `whole`.
    async fn write_part(&self, bytes: &[u8], whole: bool) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        let (count, _copy) = self.send(part.to_vec(), whole).await?;
        Ok(count)
    }

    pub(super) async fn send_all<B: IoBuf>(&self, buf: B) -> Result<B, BufError<B>> {
        let len = buf.buf_len();
        let (sent, buf) = self.send(buf, true).await?;
        if sent < len {
            return Err(BufError { error: io::ErrorKind::WriteZero.into(), buf });
        }
        Ok(buf)
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
            let (count, back) = self.send_parts(SendVectored::new(turn, bufs, sent)).await?;
            sent += count;
            bufs = back;
        }
        Ok(bufs)
    }

    /// One operation of a vectored send; if the future is dropped, the send is nobody's.
    async fn send_parts<B: IoBuf>(&self, send: SendVectored<B>) -> BufResult<usize, Vec<B>> {
        struct Orphan<'a>(&'a Line, bool);
        impl Drop for Orphan<'_> {
            fn drop(&mut self) {
                if self.1 {
                    self.0.outbox.orphan();
                }
            }
        }
        let mut orphan = Orphan(&self.line, true);
        let mut send = Some(send);
        let mut in_flight = None;
        let result = poll_fn(|cx| {
            if let Some(send) = send.take() {
                match InFlight::submit(self.line.fd.driver(), send, cx) {
                    Ok(submitted) => in_flight = Some(submitted),
                    Err(output) => return Poll::Ready(output),
                }
                return Poll::Pending;
            }
            match &mut in_flight {
                Some(in_flight) => in_flight.poll_result(cx),
                None => Poll::Pending,
            }
        })
        .await;
        orphan.1 = false;
        result
    }
}
