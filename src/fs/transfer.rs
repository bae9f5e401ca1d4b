//! Transfers of a whole buffer, in as many operations as it takes.

use std::future::Future;
use std::io;

use super::TransferError;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, Slice};

/// Fills the buffer's capacity from `offset` on by calls of `read`. One that gives no multiple of `unit` came to the
/// end of the file, where the next one could not begin.
pub(super) async fn read_exact<B: IoBufMut, F: Future<Output = BufResult<usize, Slice<B>>>>(
    mut buf: B,
    offset: u64,
    unit: usize,
    read: impl Fn(Slice<B>, u64) -> F,
) -> Result<B, TransferError<B>> {
    let len = buf.buf_capacity();
    let mut done = 0;
    while done < len {
        if !done.is_multiple_of(unit) {
            return Err(ended(io::ErrorKind::UnexpectedEof, done, buf));
        }
        match read(Slice::for_read(buf, done..), offset.saturating_add(done as u64)).await {
            Ok((0, slice)) => {
                return Err(ended(io::ErrorKind::UnexpectedEof, done, slice.into_inner()));
            }
            Ok((count, slice)) => {
                done += count;
                buf = slice.into_inner();
            }
            Err(failed) => return Err(unsliced(failed, done)),
        }
    }
    Ok(buf)
}

/// Writes all of the buffer from `offset` on by calls of `write`.
pub(super) async fn write_all<B: IoBuf, F: Future<Output = BufResult<usize, Slice<B>>>>(
    mut buf: B,
    offset: u64,
    write: impl Fn(Slice<B>, u64) -> F,
) -> Result<B, TransferError<B>> {
    let len = buf.buf_len();
    let mut done = 0;
    while done < len {
        match write(Slice::new(buf, done..), offset.saturating_add(done as u64)).await {
            Ok((0, slice)) => {
                return Err(ended(io::ErrorKind::WriteZero, done, slice.into_inner()));
            }
            Ok((count, slice)) => {
                done += count;
                buf = slice.into_inner();
            }
            Err(failed) => return Err(unsliced(failed, done)),
        }
    }
    Ok(buf)
}

fn ended<B>(kind: io::ErrorKind, transferred: usize, buf: B) -> TransferError<B> {
    TransferError { error: kind.into(), transferred, buf }
}

fn unsliced<B: IoBuf>(failed: BufError<Slice<B>>, transferred: usize) -> TransferError<B> {
    TransferError { error: failed.error, transferred, buf: failed.buf.into_inner() }
}
