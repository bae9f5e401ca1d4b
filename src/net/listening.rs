//! What every listener does: it accepts, and keeps what nobody took yet.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::executor::budget;
use crate::op::accept::{Accepted, Next};
use crate::op::close::Fd;
use crate::time::timeout;

/// The waits between attempts when no descriptor is left, if none of ours is closed meanwhile.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A socket that listens. Dropping it closes the connections that nobody took.
#[derive(Debug)]
pub(super) struct Listening {
    listener: Rc<Fd>,
    accepted: Rc<Accepted>,
}

impl Listening {
    pub(super) fn new(listener: Fd) -> Self {
        let accepted = Accepted::new(listener.driver().limits().untaken_max);
        Self { listener: Rc::new(listener), accepted }
    }

    pub(super) fn fd(&self) -> &Fd {
        &self.listener
    }

    /// The next connection. Nothing is lost if the future is dropped.
    pub(super) async fn accept(&self) -> io::Result<Fd> {
        poll_fn(budget::proceed).await;
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.accepted.next(&self.listener).await {
                Next::Connection(fd) => return Ok(Fd::new(Rc::clone(self.listener.driver()), fd)),
                Next::Failed(error) => return Err(error),
                Next::Exhausted => self.wait_for_descriptor(backoff).await,
            }
            backoff = BACKOFF_MAX.min(backoff * 2);
        }
    }

    /// Returns once a descriptor of this core was closed, or after `backoff`.
    async fn wait_for_descriptor(&self, backoff: Duration) {
        let mut registered = false;
        let closed = poll_fn(|cx| {
            if std::mem::replace(&mut registered, true) {
                return Poll::Ready(());
            }
            self.listener.driver().wait_for_descriptor(cx.waker().clone());
            Poll::Pending
        });
        // Which of the two it was does not matter.
        let _ = timeout(backoff, closed).await;
    }

    /// Connections that were accepted and wait for an `accept`.
    pub(super) fn untaken(&self) -> usize {
        self.accepted.untaken()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepted.close(&self.listener);
    }
}
