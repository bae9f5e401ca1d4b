//! An open file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::driver::{self, Op};
use crate::op::close::Fd;
use crate::op::read_at::ReadAt;
use crate::op::write_at::WriteAt;

/// An open file, read and written at an offset with buffers that are lent to the operation.
///
/// Dropping it closes the descriptor through the ring, after the last operation on it; an error of that close is lost.
///
/// ```
/// use annulus::fs::File;
///
/// annulus::run(async {
///     let path = std::env::temp_dir().join(format!("annulus-doc-{}", std::process::id()));
///     let file = File::from_std(std::fs::File::create_new(&path)?);
///     file.write_at(b"hello".as_slice(), 0).await?;
///     drop(file);
///     let file = File::from_std(std::fs::File::open(&path)?);
///     let (count, bytes) = file.read_at(Vec::with_capacity(16), 0).await?;
///     assert_eq!((count, bytes.as_slice()), (5, b"hello".as_slice()));
///     std::fs::remove_file(path)
/// })
/// # .unwrap();
/// ```
#[derive(Debug)]
pub struct File {
    file: Rc<Fd>,
}

impl File {
    /// Takes over an open file.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(file: std::fs::File) -> Self {
        let driver = driver::current::expect("File::from_std");
        Self { file: Rc::new(Fd::new(driver, OwnedFd::from(file))) }
    }

    /// Reads at `offset` into the buffer's capacity, from its first byte, and sets its length; 0 is the end of the
    /// file. May read less than there is.
    ///
    /// If the future is dropped, the read is cancelled; the operation keeps the buffer until the kernel is done with
    /// it, and then drops it.
    ///
    /// # Errors
    ///
    /// As `pread(2)`, with the buffer.
    pub async fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> BufResult<usize, B> {
        let read = ReadAt { file: Rc::clone(&self.file), buf, offset };
        Op::new(Rc::clone(self.file.driver()), read).await
    }

    /// Writes the buffer at `offset`; may write a part of it.
    ///
    /// If the future is dropped before the loop turned, nothing is written; afterwards the write happens all the same,
    /// and its error is lost. Writes that are under way together have no order among themselves.
    ///
    /// # Errors
    ///
    /// As `pwrite(2)`, with the buffer.
    pub async fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> BufResult<usize, B> {
        let write = WriteAt { file: Rc::clone(&self.file), buf, offset };
        Op::new(Rc::clone(self.file.driver()), write).await
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
