//! What all that is read as a file does: the end of a pipe, standard input, the output of a child.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::buf::{BufResult, Chunk, IoBufMut};
use crate::driver;
use crate::executor::budget;
use crate::op::arrivals::Arrival;
use crate::op::close::Fd;
use crate::op::line::Line;
use crate::op::poll::{Direction, Id};
use crate::op::reading::{Reading, poll_take};
use crate::op::receive::busy;
use crate::sys::pipes::is_anonymous_pipe;

use super::readiness::Readiness;

/// See the head of the file. What arrives belongs to it; dropping it ends the read.
#[derive(Debug)]
pub(crate) struct Reader {
    // Dropped before the line, which then may close the descriptor.
    readiness: OnceCell<Readiness>,
    line: Rc<Line>,
    /// Who polls waits for what `readiness` says next, in this place.
    asked: Cell<bool>,
    place: Cell<Id>,
    /// A FIFO that nobody may have opened for writing yet, which is not its end.
    waits_for_sender: Cell<bool>,
}

/// That there are bytes to read, among the events of `poll(2)`.
const READABLE: u32 = libc::POLLIN.cast_unsigned() as u32;

impl Reader {
    /// Takes a descriptor over. With `ahead` a read stays armed once it was asked for, if it is a pipe without a name:
    /// of other files the kernel (6.7 to 6.18 at least) then does not tell the end, when their other side hangs up.
    ///
    /// # Panics
    ///
    /// Outside a runtime; `what` names the caller.
    pub(crate) fn new(fd: OwnedFd, ahead: bool, what: &str) -> Self {
        let ahead = ahead && is_anonymous_pipe(&fd);
        let fd = Fd::new(driver::current::expect(what), fd);
        Self {
            readiness: OnceCell::new(),
            line: Line::of_file(fd, ahead),
            asked: Cell::new(false),
            place: Cell::new(0),
            waits_for_sender: Cell::new(false),
        }
    }

    /// Whether the first read waits for the first sender of a FIFO.
    pub(super) fn wait_for_sender(&self, waits: bool) {
        self.waits_for_sender.set(waits);
    }

    /// Waits until the descriptor is ready, as `poll(2)` has it; returns the events.
    async fn wait(&self) -> io::Result<u32> {
        self.readiness().wait(&self.line.fd, Direction::Reading).await
    }

    pub(crate) async fn recv(&self) -> io::Result<Option<Chunk>> {
        if self.waits_for_sender.get() {
            self.wait().await?;
            self.waits_for_sender.set(false);
        }
        loop {
            let mut reading = Reading::new(&self.line);
            let arrival = poll_fn(|cx| {
                ready!(budget::proceed(cx));
                reading.poll_take(cx)
            });
            match arrival.await {
                // Somebody made it a file that does not block, and the kernel will not wait for those.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let events = self.wait().await?;
                    if events & READABLE == 0 {
                        // The other side hung up and left nothing. The ring would go on to say that it has to wait.
                        return Ok(None);
                    }
                }
                arrival => return arrival,
            }
        }
    }

    pub(crate) async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.line.read(self.recv(), buf).await
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.line.poll_read(|| self.poll_recv(cx), buf)
    }

    /// As `recv`; who polls last is woken.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Arrival> {
        ready!(budget::proceed(cx));
        if self.waits_for_sender.get() {
            ready!(self.poll_wait(cx))?;
            self.waits_for_sender.set(false);
        }
        loop {
            if self.asked.get() && ready!(self.poll_wait(cx))? & READABLE == 0 {
                return Poll::Ready(Ok(None));
            }
            match ready!(poll_take(&self.line, cx)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ask(),
                arrival => return Poll::Ready(arrival),
            }
        }
    }

    /// What was known of the descriptor is no longer so: the next [`poll_wait`](Self::poll_wait) asks the kernel.
    fn ask(&self) {
        self.readiness().forget(Direction::Reading);
        self.asked.set(true);
    }

    /// As `wait`; who polls last is woken.
    fn poll_wait(&self, cx: &Context<'_>) -> Poll<io::Result<u32>> {
        if !self.asked.get() {
            self.ask();
        }
        let mut place = self.place.get();
        let known = self.readiness().poll(&self.line.fd, Direction::Reading, &mut place, cx);
        self.place.set(place);
        let events = ready!(known);
        self.asked.set(false);
        Poll::Ready(events)
    }

    fn readiness(&self) -> &Readiness {
        self.readiness.get_or_init(|| Readiness::new(&self.line.fd))
    }

    pub(crate) async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        self.line.read_exact(|| self.recv(), buf).await
    }

    pub(crate) async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        self.line.read_owned(self.recv(), buf).await
    }

    pub(crate) async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let before = bytes.len();
        while let Some(chunk) = self.recv().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.len() - before)
    }

    /// Asks the kernel to end a read that is under way. What it brings all the same stays.
    pub(crate) fn recall(&self) {
        self.line.arrivals.recall(self.line.fd.driver());
    }

    /// The descriptor back, if nothing is being read and nothing has arrived.
    pub(crate) fn try_into_fd(self) -> io::Result<OwnedFd> {
        if !self.line.arrivals.is_untouched() {
            return Err(busy("it was read from, and what comes belongs to its reader"));
        }
        let line = Rc::clone(&self.line);
        drop(self);
        Ok(alone(line)?.fd.into_owned())
    }

    /// The descriptor back, with what had arrived and was not taken.
    pub(crate) async fn into_fd(self) -> io::Result<(OwnedFd, Vec<u8>)> {
        let line = Rc::clone(&self.line);
        poll_fn(|cx| line.arrivals.poll_disarmed(line.fd.driver(), cx)).await;
        let mut rest = Vec::new();
        while let Some(Ok(Some(chunk))) = line.arrivals.try_take() {
            rest.extend_from_slice(&chunk);
        }
        drop(self);
        Ok((alone(line)?.fd.into_owned(), rest))
    }
}

/// The line, if nobody else holds it.
pub(super) fn alone(line: Rc<Line>) -> io::Result<Line> {
    Rc::try_unwrap(line).map_err(|_| busy("a leaked future holds the descriptor"))
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.line.arrivals.close(self.line.fd.driver());
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.fd.as_fd()
    }
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.line.fd.as_raw_fd()
    }
}
