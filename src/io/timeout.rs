//! A stream whose waits have an end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{AsyncRead, AsyncWrite};
use crate::buf::Chunk;
use crate::time::{Instant, Sleep, sleep_until};

/// A stream whose reads and writes do not wait for ever: until a deadline, and no longer than a time in which not a
/// byte moves either way.
///
/// What waits too long fails with `TimedOut`. Nothing is lost by it, and the stream is usable afterwards: the next call
/// waits anew, and after a deadline has passed it does so once the deadline is set to a later one, or to none. What has
/// arrived is given also after the deadline.
///
/// A read or a write costs no timer of its own: one for each direction stays armed, is looked at when it ends, and is
/// armed again for the rest of the time, so it wakes its task once in a while for nothing.
///
/// For the whole of something that takes several reads, a line from a peer that sends it byte by byte, there is
/// [`time::timeout`](crate::time::timeout), which loses nothing either around a [`BufReader`](super::BufReader).
///
/// ```
/// use annulus::io::{AsyncWriteExt, BufReader, Timeout, duplex};
/// use annulus::time::Duration;
///
/// annulus::run(async {
///     let (mut near, far) = duplex(64);
///     let mut reader = BufReader::new(Timeout::new(far).idle(Duration::from_millis(5)));
///     near.write_all(b"half a li").await?;
///     let error = reader.line().await.expect_err("nothing comes");
///     assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
///     near.write_all(b"ne\n").await?;
///     assert_eq!(reader.line().await?, Some(&b"half a line"[..]));
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[derive(Debug)]
pub struct Timeout<S> {
    stream: S,
    idle: Option<Duration>,
    deadline: Option<Instant>,
    waits: [Wait; 2],
}

/// Of one direction.
#[derive(Debug, Default)]
struct Wait {
    /// Somebody waits, and since then nothing has moved.
    since: Option<Instant>,
    /// What wakes the task, and when; never later than is due.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

const READING: usize = 0;
const WRITING: usize = 1;

impl<S> Timeout<S> {
    /// That waits for ever, until it is told otherwise.
    pub fn new(stream: S) -> Self {
        Self { stream, idle: None, deadline: None, waits: Default::default() }
    }

    /// So long may a read or write wait while nothing moves either way.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Until then may reads and writes wait.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Changes the time of [`idle`](Self::idle), for waits that begin afterwards too.
    pub fn set_idle(&mut self, idle: Option<Duration>) {
        self.idle = idle;
    }

    /// Changes the deadline. What waits learns of it when it is polled next.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The stream within.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream within.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, freed of its deadlines.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Something moved, so the other direction is not idle either.
    #[inline]
    fn moved(&mut self, direction: usize) {
        self.waits[direction].since = None;
        if let Some(since) = &mut self.waits[1 - direction].since {
            *since = Instant::now();
        }
    }

    /// The result of a poll, or that it has waited too long.
    #[inline]
    fn or_late<T>(
        &mut self,
        direction: usize,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved(direction);
            return polled;
        }
        self.poll_late(direction, cx).map(Err)
    }

    /// Waits until it is too late.
    fn poll_late(&mut self, direction: usize, cx: &mut Context<'_>) -> Poll<io::Error> {
        let wait = &mut self.waits[direction];
        let since = *wait.since.get_or_insert_with(Instant::now);
        let idle = self.idle.and_then(|idle| since.checked_add(idle));
        let Some(due) = idle.into_iter().chain(self.deadline).min() else {
            wait.alarm = None;
            return Poll::Pending;
        };
        loop {
            let (at, alarm) = wait.alarm.get_or_insert_with(|| (due, Box::pin(sleep_until(due))));
            if *at > due {
                *at = due;
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= due {
                break;
            }
            // It was for a wait that is over.
            *at = due;
            alarm.as_mut().reset(due);
        }
        wait.since = None;
        let text = match self.deadline {
            Some(deadline) if deadline <= due => "the deadline of the stream has passed",
            _ => "nothing moved on the stream for as long as it may be idle",
        };
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

impl<S: AsyncRead> AsyncRead for Timeout<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = self.stream.poll_read(cx, buf);
        self.or_late(READING, cx, polled)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let polled = self.stream.poll_recv(cx);
        self.or_late(READING, cx, polled)
    }
}

impl<S: AsyncWrite> AsyncWrite for Timeout<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = self.stream.poll_write(cx, bytes);
        self.or_late(WRITING, cx, polled)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        let polled = self.stream.poll_send(cx, chunk);
        self.or_late(WRITING, cx, polled)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream.poll_flush(cx);
        self.or_late(WRITING, cx, polled)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream.poll_shutdown(cx);
        self.or_late(WRITING, cx, polled)
    }
}
