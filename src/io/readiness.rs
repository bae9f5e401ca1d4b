//! Waiting for readiness once, for files that the kernel reads and writes but does not wait for.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::op::close::Fd;
use crate::op::poll::{Direction, Id, Watch};

/// Dropped before the descriptor's owner, as a watch must be.
#[derive(Debug)]
pub(super) struct Readiness(Watch);

impl Readiness {
    pub(super) fn new(fd: &Fd) -> Self {
        Self(Watch::new(Rc::clone(fd.driver())))
    }

    /// The next look asks the kernel.
    pub(super) fn forget(&self, direction: Direction) {
        self.0.forget(direction);
    }

    /// What the kernel says of the descriptor, once it was asked; until then the task of `cx` waits in the place `id`.
    pub(super) fn poll(
        &self,
        fd: &Fd,
        direction: Direction,
        id: &mut Id,
        cx: &Context<'_>,
    ) -> Poll<io::Result<u32>> {
        self.0.poll_known(fd, direction, id, cx)
    }

    /// Waits until the descriptor is ready at the time of asking, or later; returns the events of `poll(2)`.
    pub(super) async fn wait(&self, fd: &Fd, direction: Direction) -> io::Result<u32> {
        self.0.forget(direction);
        let mut place = Place { watch: &self.0, direction, id: 0 };
        poll_fn(|cx| self.0.poll_known(fd, direction, &mut place.id, cx)).await
    }
}

/// A place among those that wait; dropped, it is given up.
struct Place<'a> {
    watch: &'a Watch,
    direction: Direction,
    id: Id,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.id != 0 {
            self.watch.leave(self.direction, self.id);
        }
    }
}
