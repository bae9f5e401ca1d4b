//! What all that is written as a file does: the end of a pipe, standard output, the input of a child.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::reader::alone;
use super::readiness::Readiness;
use crate::buf::{BufError, BufResult, Chunk, IoBuf};
use crate::driver::{self, gone};
use crate::executor::{self, budget};
use crate::op::close::Fd;
use crate::op::line::Line;
use crate::op::poll::Direction;
use crate::op::send::Turn;
use crate::op::write::{cancel, write, write_within};
use crate::task::AbortHandle;
use crate::time::timeout;

/// The most bytes that one `write` copies.
const COPY_MAX: usize = 64 * 1024;

/// See the head of the file. Dropping it leaves a write under way to finish, for a while.
#[derive(Debug)]
pub(crate) struct Writer {
    // Dropped before the line, which then may close the descriptor.
    readiness: OnceCell<Readiness>,
    line: Rc<Line>,
    /// The task that writes what was accepted last.
    behind: RefCell<Option<AbortHandle>>,
}

impl Writer {
    /// Takes a descriptor over.
    ///
    /// # Panics
    ///
    /// Outside a runtime; `what` names the caller.
    pub(crate) fn new(fd: OwnedFd, what: &str) -> Self {
        let fd = Fd::new(driver::current::expect(what), fd);
        let line = Line::of_file(fd, false);
        Self { readiness: OnceCell::new(), line, behind: RefCell::new(None) }
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
            match write(&self.line, buf, offset).await {
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

    pub(crate) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let part = &bytes[..bytes.len().min(COPY_MAX)];
        if part.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_accept(cx, || part.to_vec()).map_ok(|()| part.len())
    }

    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        if chunk.as_ref().is_none_or(|chunk| chunk.is_empty()) {
            *chunk = None;
            return Poll::Ready(Ok(()));
        }
        self.poll_accept(cx, || chunk.take().expect("it was there"))
    }

    /// Takes what `make` gives, whole, when the last write is over; a task writes it. If it is pending, nothing was
    /// taken. The error is for the next write or flush.
    ///
    /// A task, because the kernel writes a part where a pipe has no more room, and says that others would block.
    fn poll_accept<B: IoBuf>(
        &self,
        cx: &Context<'_>,
        make: impl FnOnce() -> B,
    ) -> Poll<io::Result<()>> {
        let turn = ready!(Turn::poll(&self.line, cx))?;
        let Some(executor) = executor::current() else {
            return Poll::Ready(Err(gone()));
        };
        self.line.outbox.orphan();
        let task = executor.spawn(write_behind(Rc::clone(&self.line), turn, make()));
        self.behind.replace(Some(task.abort_handle()));
        Poll::Ready(Ok(()))
    }

    /// There is no end to a file but its close.
    pub(crate) fn poll_shutdown(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    pub(crate) fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        Turn::poll(&self.line, cx).map_ok(drop)
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

/// Writes all of a buffer in one turn, for nobody.
async fn write_behind<B: IoBuf>(line: Rc<Line>, mut turn: Turn, mut buf: B) {
    let readiness = Readiness::new(&line.fd);
    let (len, mut written) = (buf.buf_len(), 0);
    while written < len {
        let result;
        (result, turn) = write_within(&line, turn, buf, written).await;
        let failed = match result {
            Ok((count, back)) if count > 0 => {
                buf = back;
                written += count;
                continue;
            }
            Ok(_) => return turn.failed(&io::ErrorKind::WriteZero.into()),
            Err(failed) => failed,
        };
        if failed.error.kind() != io::ErrorKind::WouldBlock {
            return turn.failed(&failed.error);
        }
        buf = failed.buf;
        if let Err(error) = readiness.wait(&line.fd, Direction::Writing).await {
            return turn.failed(&error);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.line.outbox.is_busy() {
            self.line.outbox.orphan();
            linger(&self.line, self.behind.take());
        }
    }
}

/// Lets the write under way finish, for the builder's time; then it is cancelled, and so is the task that writes.
fn linger(line: &Rc<Line>, behind: Option<AbortHandle>) {
    let driver = line.fd.driver();
    let limits = driver.limits();
    let here = executor::current().filter(|_| driver.is_open());
    let may_linger = driver.lingering().get() < limits.lingering_max;
    let time = limits.linger;
    let lingering = Lingering::new(Rc::clone(line), behind);
    let (Some(executor), true) = (here, may_linger) else {
        return;
    };
    drop(executor.spawn(async move {
        // Whether it was in time, the end of `lingering` sees.
        let _ = timeout(time, turn(&lingering.0)).await;
    }));
}

/// A dropped line with bytes still to write. It is counted; what is under way when this is dropped is cancelled.
struct Lingering(Rc<Line>, Option<AbortHandle>);

impl Lingering {
    fn new(line: Rc<Line>, behind: Option<AbortHandle>) -> Self {
        let count = line.fd.driver().lingering();
        count.set(count.get() + 1);
        Self(line, behind)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let count = self.0.fd.driver().lingering();
        count.set(count.get() - 1);
        cancel(&self.0);
        if let Some(behind) = self.1.take() {
            behind.abort();
        }
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
