//! The lines of a stream, and what lies between delimiters, one after the other as values of their own.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::buf_reader::{text, without_end};
use super::{AsyncRead, BufReader};

/// The lines of a stream as texts; made by [`BufReader::lines`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
}

impl<R: AsyncRead> Lines<R> {
    pub(super) fn new(reader: BufReader<R>) -> Self {
        Self { reader }
    }

    /// The next line, without its end, `\n` or `\r\n`; `None` at the end of the stream, whose last line need not have
    /// an end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`BufReader::read_line`]: what is too long or no text stays in the reader, and so does the error until
    /// it was taken from there.
    pub fn next_line(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        poll_fn(|cx| self.poll_next_line(cx))
    }

    /// As [`next_line`](Self::next_line), polled; the task that polled last is woken.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_next_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        self.reader.poll_piece(b'\n', cx, |line| Ok(text(without_end(line))?.to_owned()))
    }

    /// The reader, with what had come and was not taken.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }

    /// The reader.
    pub fn get_mut(&mut self) -> &mut BufReader<R> {
        &mut self.reader
    }
}

/// What lies between delimiters; made by [`BufReader::split`].
#[derive(Debug)]
pub struct Split<R> {
    reader: BufReader<R>,
    delimiter: u8,
}

impl<R: AsyncRead> Split<R> {
    pub(super) fn new(reader: BufReader<R>, delimiter: u8) -> Self {
        Self { reader, delimiter }
    }

    /// The next piece, without its delimiter; `None` at the end of the stream, whose last piece need not have one.
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`BufReader::until`].
    pub fn next_segment(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> {
        poll_fn(|cx| self.poll_next_segment(cx))
    }

    /// As [`next_segment`](Self::next_segment), polled; the task that polled last is woken.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_next_segment(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        let delimiter = self.delimiter;
        self.reader.poll_piece(delimiter, cx, |piece| {
            Ok(piece.strip_suffix(&[delimiter]).unwrap_or(piece).to_vec())
        })
    }

    /// The reader, with what had come and was not taken.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }
}
