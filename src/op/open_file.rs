//! An open file as its operations share it: the descriptor, the position, and what dropped futures left in the kernel.
//!
//! One allocation a file. The handle holds it, and so does every operation on it; the descriptor is closed when the
//! last of them lets go. An operation that nobody waits for any more is an orphan: it is counted from the drop of its
//! future to the end of its payload, so that a sync or a close can wait for it, and if it was a write its error is kept
//! for whoever writes, syncs or closes next. So it is with a change that a thread makes and nobody waits for.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::changes::{Change, Changes};
use super::close::Fd;
use super::position::Cursor;
use super::waiting::Waiting;
use crate::driver::{Driver, Outcome};

/// Stands for an orphaned write that ended before all was written, where an error would be an errno.
const CUT_SHORT: i32 = -1;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: Fd,
    /// Operations whose future was dropped before their end. Below zero only while a drop is under way.
    orphans: Cell<isize>,
    /// How the first orphaned write or change failed that nobody was told of; zero is none.
    lost: Cell<i32>,
    /// Made at its first use: most files have none, and are opened and closed at a higher rate than the others.
    rare: OnceCell<Box<Rare>>,
}

#[derive(Debug, Default)]
struct Rare {
    cursor: Cursor,
    /// Tasks that wait until there is no orphan.
    waiting: Waiting,
    changes: Changes,
}

impl OpenFile {
    pub(crate) fn new(fd: Fd) -> Rc<Self> {
        Rc::new(Self { fd, orphans: Cell::new(0), lost: Cell::new(0), rare: OnceCell::new() })
    }

    #[inline]
    pub(crate) fn driver(&self) -> &Rc<Driver> {
        self.fd.driver()
    }

    /// The number for an entry.
    #[inline]
    pub(crate) fn target(&self) -> io_uring::types::Fd {
        self.fd.target()
    }

    /// The error of an orphaned write or change, once.
    #[inline]
    pub(crate) fn take_lost(&self) -> Option<io::Error> {
        if let Some(rare) = self.rare.get() {
            rare.changes.settle(|error| self.lose(error));
        }
        match self.lost.take() {
            0 => None,
            code => Some(lost_error(code)),
        }
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.rare().cursor
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// One more operation is nobody's, to be called before its future lets go of it.
    #[inline]
    pub(crate) fn orphan(&self) {
        self.orphans.set(self.orphans.get() + 1);
    }

    /// Waits until no orphan is under way, and no change that nobody waits for.
    pub(crate) fn poll_quiet(&self, cx: &Context<'_>) -> Poll<()> {
        if self.orphans.get() > 0 {
            self.rare().waiting.wait_as_task(cx);
            return Poll::Pending;
        }
        match self.rare.get() {
            None => Poll::Ready(()),
            Some(rare) => rare.changes.poll_settled(cx, |error| self.lose(error)),
        }
    }

    /// Nobody waits for the change any more.
    pub(crate) fn keep(&self, change: Change) {
        self.rare().changes.keep(change);
    }

    /// Nobody was told of the error; the first one is told to who asks.
    fn lose(&self, error: &io::Error) {
        self.lose_code(error.raw_os_error().unwrap_or(libc::EIO));
    }

    fn lose_code(&self, code: i32) {
        if self.lost.get() == 0 {
            self.lost.set(code);
        }
    }

    /// An orphan is gone.
    #[cold]
    fn orphan_gone(&self) {
        self.orphans.set(self.orphans.get() - 1);
        if self.orphans.get() <= 0
            && let Some(rare) = self.rare.get()
        {
            rare.waiting.wake_now(self.driver());
        }
    }

    /// Gives the descriptor back if no operation holds the file.
    pub(crate) fn into_fd(self: Rc<Self>) -> Option<Fd> {
        Rc::into_inner(self).map(|file| file.fd)
    }

    /// A second descriptor of the same open file, for a thread that must keep it open by itself.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for OpenFile {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cold]
fn lost_error(code: i32) -> io::Error {
    match code {
        CUT_SHORT => io::Error::new(
            io::ErrorKind::WriteZero,
            "a write whose future was dropped ended before all was written",
        ),
        code => io::Error::from_raw_os_error(code),
    }
}

/// An operation's share of its file.
#[derive(Debug)]
pub(crate) struct Hold {
    file: Rc<OpenFile>,
    settled: bool,
}

impl Hold {
    #[inline]
    pub(crate) fn new(file: &Rc<OpenFile>) -> Self {
        Self { file: Rc::clone(file), settled: false }
    }

    #[inline]
    pub(super) fn file(&self) -> &OpenFile {
        &self.file
    }

    /// The result goes to the future, which is there.
    #[inline]
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// Nobody is there to be told how an operation ended that should have moved `due` bytes.
    pub(super) fn lose(&self, outcome: &Outcome, due: usize) {
        match &outcome.result {
            Ok(count) if *count as usize >= due => {}
            Ok(_) => self.file.lose_code(CUT_SHORT),
            Err(error) => self.file.lose(error),
        }
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        if !self.settled {
            self.file.orphan_gone();
        }
    }
}
