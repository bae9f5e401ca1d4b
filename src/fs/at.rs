//! Reads and writes at an offset, with the caller's buffers.

use std::future::Future;
use std::io;

use super::operating::Operating;
use super::transfer::{read_exact, write_all};
use super::{File, TransferError};
use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::op::open_file::{Hold, OpenFile};
use crate::op::parts::Parts;
use crate::op::position::named;
use crate::op::read_at::ReadAt;
use crate::op::read_vectored::ReadVectored;
use crate::op::write_at::WriteAt;
use crate::op::write_vectored::WriteVectored;

impl File {
    /// Reads at `offset` into the buffer's capacity, from its first byte, and sets its length; 0 is the end of the
    /// file, or a buffer without room. May read less than there is, and at most 2 GiB. A pipe has no offsets.
    ///
    /// If the future is dropped, the read is cancelled; the operation keeps the buffer until the kernel is done with
    /// it, and then drops it.
    ///
    /// # Errors
    ///
    /// As `pread(2)`, with the buffer.
    #[inline]
    pub fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        let read = ReadAt { hold: Hold::new(&self.file), buf, offset: named(offset) };
        Operating::new(&*self.file, read)
    }

    /// Writes the buffer at `offset`; may write a part of it, and at most 2 GiB. In a file that is open for appending
    /// it is written at the end, wherever the offset is.
    ///
    /// If the future is dropped before the loop turned, nothing is written; afterwards the write happens all the same,
    /// and if it fails the next write, sync or close of this handle says so. Writes that are under way together have no
    /// order among themselves.
    ///
    /// # Errors
    ///
    /// As `pwrite(2)`, with the buffer; or that of an earlier write whose future was dropped, and this one did not
    /// happen.
    #[inline]
    pub fn write_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        self.writing(buf, offset, false, false)
    }

    /// As [`write_at`](Self::write_at), and ends when the bytes, and what is needed to read them again, will be there
    /// after a loss of power (`RWF_DSYNC`); see
    /// [`DirectFile::write_durable_at`](super::DirectFile::write_durable_at).
    ///
    /// If the future is dropped: as for [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// As for [`write_at`](Self::write_at). It is not known then whether the bytes were written.
    #[inline]
    pub fn write_durable_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        self.writing(buf, offset, false, true)
    }

    #[inline]
    fn writing<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
        whole: bool,
        durable: bool,
    ) -> Operating<&OpenFile, WriteAt<B>> {
        let (hold, offset) = (Hold::new(&self.file), named(offset));
        let write = WriteAt { hold, buf, offset, whole, moves: false, durable };
        Operating::new(&*self.file, write)
    }

    /// Fills the buffer's capacity with what lies at `offset`. A [`Slice`](crate::buf::Slice) of the buffer asks for
    /// less.
    ///
    /// If the future is dropped: as for [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; otherwise as for [`read_at`](Self::read_at). With the buffer, which
    /// begins with what was read.
    pub async fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> Result<B, TransferError<B>> {
        read_exact(buf, offset, 1, |slice, at| self.read_at(slice, at)).await
    }

    /// Writes all of the buffer at `offset`.
    ///
    /// If the future is dropped, the operation under way is treated as by [`write_at`](Self::write_at), and the rest
    /// is not written.
    ///
    /// # Errors
    ///
    /// As for [`write_at`](Self::write_at), with the count of the bytes that were written before.
    pub async fn write_all_at<B: IoBuf>(&self, buf: B, offset: u64) -> Result<B, TransferError<B>> {
        write_all(buf, offset, |slice, at| self.writing(slice, at, true, false)).await
    }

    /// Writes all of the buffer at `offset`, as [`write_durable_at`](Self::write_durable_at) does.
    ///
    /// If the future is dropped: as for [`write_all_at`](Self::write_all_at).
    ///
    /// # Errors
    ///
    /// As for [`write_all_at`](Self::write_all_at).
    pub async fn write_all_durable_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> Result<B, TransferError<B>> {
        write_all(buf, offset, |slice, at| self.writing(slice, at, true, true)).await
    }

    /// Reads at `offset` into several buffers, one after the other, of which each is filled before the next, and sets
    /// their lengths. Of more than 1024 buffers the rest is left as it is.
    ///
    /// If the future is dropped: as for [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// As `preadv(2)`, with the buffers.
    pub fn read_vectored_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
        let (hold, parts) = (Hold::new(&self.file), Parts::default());
        let read = ReadVectored::<_, false> { hold, bufs, offset: named(offset), parts };
        Operating::new(&*self.file, read)
    }

    /// Writes several buffers at `offset`, one after the other, at most 1024 of them; may write a part.
    ///
    /// If the future is dropped: as for [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// As `pwritev(2)`, with the buffers; otherwise as for [`write_at`](Self::write_at).
    pub fn write_vectored_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
        self.writing_vectored(bufs, offset, 0, false)
    }

    fn writing_vectored<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
        skip: usize,
        whole: bool,
    ) -> Operating<&OpenFile, WriteVectored<B, false>> {
        let (hold, parts) = (Hold::new(&self.file), Parts::default());
        let offset = named(offset);
        Operating::new(&*self.file, WriteVectored { hold, bufs, offset, skip, whole, parts })
    }

    /// Writes all of several buffers at `offset`, one after the other.
    ///
    /// If the future is dropped: as for [`write_all_at`](Self::write_all_at).
    ///
    /// # Errors
    ///
    /// As for [`write_all_at`](Self::write_all_at), with the buffers.
    pub async fn write_all_vectored_at<B: IoBuf>(
        &self,
        mut bufs: Vec<B>,
        offset: u64,
    ) -> Result<Vec<B>, TransferError<Vec<B>>> {
        let len: usize = bufs.iter().map(IoBuf::buf_len).sum();
        let mut done = 0;
        while done < len {
            let at = offset.saturating_add(done as u64);
            match self.writing_vectored(bufs, at, done, true).await {
                Ok((0, bufs)) => {
                    let error = io::ErrorKind::WriteZero.into();
                    return Err(TransferError { error, transferred: done, buf: bufs });
                }
                Ok((count, back)) => {
                    done += count;
                    bufs = back;
                }
                Err(failed) => return Err(TransferError::new(failed, done)),
            }
        }
        Ok(bufs)
    }
}
