//! What all that is written as a file does: the end of a pipe, standard output, the input of a child.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use super::reader::alone;
use super::readiness::Readiness;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver;
use crate::executor::{self, budget};
use crate::op::close::Fd;
use crate::op::line::Line;
use crate::op::poll::Direction;
use crate::op::send::Turn;
use crate::op::write::{Writing, cancel};
use crate::time::timeout;

/// The most bytes that one `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// See the head of the file. Dropping it leaves a write under way to finish, for a while.
#[derive(Debug)]
pub(crate) struct Writer {
    // Dropped before the line, which then may close the descriptor.
    readiness: OnceCell<Readiness>,
    line: Rc<Line>,
}

impl Writer {
    /// Takes a descriptor over.
    ///
    /// # Panics
    ///
    /// Outside a runtime; `what` names the caller.
    pub(crate) fn new(fd: OwnedFd, what: &str) -> Self {
        let fd = Fd::new(driver::current::expect(what), fd);
        Self { readiness: OnceCell::new(), line: Line::of_file(fd, false) }
    }

    /// Waits until the descriptor is ready, as `poll(2)` has it.
    async fn wait(&self) -> io::Result<u32> {
        let readiness = self.readiness.get_or_init(|| Readiness::new(&self.line.fd));
        readiness.wait(&self.line.fd, Direction::Writing).await
    }

    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        let (count, _copy) = self.write_owned(part.to_vec()).await?;
        Ok(count)
    }

    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = &bytes[..bytes.len().min(COPY_MAX)];
            self.write_all_owned(part.to_vec()).await?;
            bytes = &bytes[part.len()..];
        }
        Ok(())
    }

    pub(crate) async fn write_owned<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        self.write_from(buf, 0).await
    }

    pub(crate) async fn write_all_owned<B: IoBuf>(&self, mut buf: B) -> Result<B, BufError<B>> {
        let (len, mut written) = (buf.buf_len(), 0);
        while written < len {
            let (count, back) = self.write_from(buf, written).await?;
            buf = back;
            written += count;
            if count == 0 {
                return Err(BufError { error: io::ErrorKind::WriteZero.into(), buf });
            }
        }
        Ok(buf)
    }

    /// Writes some of the bytes from `offset` on.
    async fn write_from<B: IoBuf>(&self, mut buf: B, offset: usize) -> BufResult<usize, B> {
        poll_fn(budget::proceed).await;
        if buf.buf_len() == 0 {
            return Ok((0, buf));
        }
        loop {
            match Writing::new(&self.line, buf, offset).await {
                // Somebody made it a file that does not block, and the kernel will not wait for those.
                Err(failed) if failed.error.kind() == io::ErrorKind::WouldBlock => {
                    buf = failed.buf;
                    if let Err(error) = self.wait().await {
                        return Err(BufError { error, buf });
                    }
                }
                result => return result,
            }
        }
    }

    /// Waits until a write whose future was dropped is over.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        drop(turn(&self.line).await?);
        Ok(())
    }

    /// The descriptor back, if nothing is being written.
    pub(crate) fn try_into_fd(self) -> io::Result<OwnedFd> {
        let line = Rc::clone(&self.line);
        drop(self);
        Ok(alone(line)?.fd.into_owned())
    }

    /// The descriptor back, once nothing is being written.
    pub(crate) async fn into_fd(self) -> io::Result<OwnedFd> {
        let line = Rc::clone(&self.line);
        drop(turn(&line).await?);
        drop(self);
        Ok(alone(line)?.fd.into_owned())
    }
}

async fn turn(line: &Rc<Line>) -> io::Result<Turn> {
    poll_fn(|cx| Turn::poll(line, cx)).await
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.line.outbox.is_busy() {
            self.line.outbox.orphan();
            linger(&self.line);
        }
    }
}

/// Lets the write under way finish, for the builder's time; then it is cancelled.
fn linger(line: &Rc<Line>) {
    let driver = line.fd.driver();
    let limits = driver.limits();
    let here = executor::current().filter(|_| driver.is_open());
    let (Some(executor), true) = (here, driver.lingering().get() < limits.lingering_max) else {
        return cancel(line);
    };
    let time = limits.linger;
    let lingering = Lingering::new(Rc::clone(line));
    drop(executor.spawn(async move {
        // Whether it was in time, the end of `lingering` sees.
        let _ = timeout(time, turn(&lingering.0)).await;
    }));
}

/// A dropped line with bytes still to write. It is counted; what is under way when this is dropped is cancelled.
struct Lingering(Rc<Line>);

impl Lingering {
    fn new(line: Rc<Line>) -> Self {
        let count = line.fd.driver().lingering();
        count.set(count.get() + 1);
        Self(line)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let count = self.0.fd.driver().lingering();
        count.set(count.get() - 1);
        cancel(&self.0);
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.fd.as_fd()
    }
}

impl AsRawFd for Writer {
    fn as_raw_fd(&self) -> RawFd {
        self.line.fd.as_raw_fd()
    }
}
