//! `futures_core::Stream` for what gives one thing after the other by a poll.
//!
//! What gives them by an async function instead, as a listener, becomes one by `futures::stream::unfold`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::fs::{Chunks, DirEntry, ReadDir};
use crate::io::{AsyncRead, FrameReader, Lines, Split};
use crate::signal::Signal;
use crate::sync::mpsc;
use crate::task::{AsCompleted, JoinError, JoinSet};
use crate::time::{Instant, Interval};

/// The messages, until none will come.
///
/// ```
/// use annulus::sync::mpsc;
/// use futures::StreamExt;
///
/// annulus::run(async {
///     let (sender, receiver) = mpsc::channel(4);
///     let sum = annulus::spawn(receiver.map(|number| number * 2).fold(0, async |sum, number| sum + number));
///     for number in 1..=10 {
///         sender.send(number).await.expect("somebody receives");
///     }
///     drop(sender);
///     assert_eq!(sum.await?, 110);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
impl<T> Stream for mpsc::Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

/// The outcomes as the tasks end; tasks spawned after the end of the stream begin it anew.
impl<T: 'static> Stream for JoinSet<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_join_next(cx).map(|joined| joined.map(|(_, outcome)| outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// The outcomes as the tasks end, each with its place among the futures.
impl<T: 'static> Stream for AsCompleted<T> {
    type Item = (usize, Result<T, JoinError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_ended(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// The ticks, without end.
impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// The lines, until the stream ends. After what is too long or no text each item is that error.
///
/// ```
/// use annulus::io::{AsyncWriteExt, BufReader, duplex};
/// use futures::TryStreamExt;
///
/// annulus::run(async {
///     let (mut near, far) = duplex(64);
///     near.write_all(b"one\ntwo\n").await?;
///     drop(near);
///     let lines: Vec<String> = BufReader::new(far).lines().try_collect().await?;
///     assert_eq!(lines, ["one", "two"]);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
impl<R: AsyncRead + Unpin> Stream for Lines<R> {
    type Item = io::Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_line(cx).map(Result::transpose)
    }
}

/// The pieces, until the stream ends.
impl<R: AsyncRead + Unpin> Stream for Split<R> {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_segment(cx).map(Result::transpose)
    }
}

/// The messages, until the stream ends. After one that is refused each item is that error.
impl<R: AsyncRead + Unpin> Stream for FrameReader<R> {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_owned(cx).map(Result::transpose)
    }
}

/// The entries, until the directory's end. After an error it has ended.
impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx).map(Result::transpose)
    }
}

/// The chunks, until the end of the range or of the file. After an error the same place is tried again.
impl Stream for Chunks {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_chunk(cx).map(Result::transpose)
    }
}

/// Each time that the signal was delivered, until the runtime is gone.
impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx)
    }
}
