//! Direct reads and writes at an offset: checked here, before the kernel sees them.

use std::future::Future;

use super::operating::Checked;
use super::transfer::{read_exact, write_all};
use super::{DirectFile, TransferError};
use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::op::open_file::Hold;
use crate::op::parts::Parts;
use crate::op::position::named;
use crate::op::read_at::ReadAt;
use crate::op::read_direct::ReadDirect;
use crate::op::read_vectored::ReadVectored;
use crate::op::write_at::WriteAt;
use crate::op::write_direct::WriteDirect;
use crate::op::write_vectored::WriteVectored;

impl DirectFile {
    /// Reads at `offset` into the buffer's capacity, from its first byte, and sets its length; 0 is the end of the
    /// file, or a buffer without room. May read less than there is, and at most 2 GiB; what is no whole number of units
    /// ends at the end of the file.
    ///
    /// If the future is dropped, the read is cancelled; the operation keeps the buffer until the kernel is done with
    /// it, and then drops it.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, before the kernel is asked, if the offset, the capacity or the address of the buffer is not
    /// [aligned](Self::alignment); otherwise as `pread(2)`. With the buffer.
    #[inline]
    pub fn read_at<B: IoBufMut>(
        &self,
        mut buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        let (address, len) = (buf.buf_mut_ptr().addr(), buf.buf_capacity());
        let checked = self.alignment.check(offset, address, len);
        let (hold, offset) = (Hold::new(&self.file.file), named(offset));
        Checked::new(&*self.file.file, ReadDirect(ReadAt { hold, buf, offset }), checked)
    }

    /// Writes the buffer at `offset`; may write a part of it, and at most 2 GiB.
    ///
    /// If the future is dropped before the loop turned, or while it waits for [others](crate::Builder::direct_depth) to
    /// end, nothing is written; afterwards the write happens all the same, and if it fails the next write, sync or
    /// close of this handle says so. Writes that are under way together have no order among themselves.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, before the kernel is asked, if the offset, the length or the address of the buffer is not
    /// [aligned](Self::alignment); otherwise as `pwrite(2)`; or that of an earlier write whose future was dropped, and
    /// this one did not happen. With the buffer.
    #[inline]
    pub fn write_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        self.writing(buf, offset, false, false)
    }

    /// As [`write_at`](Self::write_at), and ends when the bytes, and what is needed to read them again, will be there
    /// after a loss of power (`RWF_DSYNC`): as a [`sync_data`](Self::sync_data) behind it, for this write alone and in
    /// one operation.
    ///
    /// It promises nothing about other writes, not even about those that ended before it, and is as true as the disk:
    /// one that loses what it said it had kept loses it here too. A write over bytes that are there, of a file whose
    /// length stays, is the cheapest.
    ///
    /// If the future is dropped: as for [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// As for [`write_at`](Self::write_at). After another error than `InvalidInput` it is not known whether the bytes
    /// were written.
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
    ) -> impl Future<Output = BufResult<usize, B>> {
        let checked = self.alignment.check(offset, buf.buf_ptr().addr(), buf.buf_len());
        let (hold, offset) = (Hold::new(&self.file.file), named(offset));
        let write = WriteAt { hold, buf, offset, whole, moves: false, durable };
        Checked::new(&*self.file.file, WriteDirect(write), checked)
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
        let unit = self.alignment.offset;
        read_exact(buf, offset, unit, |slice, at| self.read_at(slice, at)).await
    }

    /// Writes all of the buffer at `offset`.
    ///
    /// If the future is dropped, the operation under way is treated as by [`write_at`](Self::write_at), and the rest is
    /// not written.
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
    /// their lengths. Of more than 1024 buffers the rest is left as it is. Registered buffers are read into as any
    /// others.
    ///
    /// If the future is dropped: as for [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// `InvalidInput`, before the kernel is asked, if the offset, or the capacity or the address of one of the buffers,
    /// is not [aligned](Self::alignment); otherwise as `preadv(2)`. With the buffers.
    pub fn read_vectored_at<B: IoBufMut>(
        &self,
        mut bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
        let parts = bufs.iter_mut().map(|buf| (buf.buf_mut_ptr().addr(), buf.buf_capacity()));
        let checked = self.alignment.check_all(offset, parts);
        let (hold, offset) = (Hold::new(&self.file.file), named(offset));
        let read = ReadVectored::<_, true> { hold, bufs, offset, parts: Parts::default() };
        Checked::new(&*self.file.file, read, checked)
    }

    /// Writes several buffers at `offset`, one after the other, at most 1024 of them; may write a part.
    ///
    /// If the future is dropped: as for [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// `InvalidInput`, before the kernel is asked, if the offset, or the length or the address of one of the buffers,
    /// is not [aligned](Self::alignment); otherwise as `pwritev(2)`; or that of an earlier write whose future was
    /// dropped, and this one did not happen. With the buffers.
    pub fn write_vectored_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
        let parts = bufs.iter().map(|buf| (buf.buf_ptr().addr(), buf.buf_len()));
        let checked = self.alignment.check_all(offset, parts);
        let (hold, offset) = (Hold::new(&self.file.file), named(offset));
        let (skip, whole, parts) = (0, false, Parts::default());
        let write = WriteVectored::<_, true> { hold, bufs, offset, skip, whole, parts };
        Checked::new(&*self.file.file, write, checked)
    }
}
