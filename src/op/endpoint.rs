//! A socket of messages as its operations share it: the descriptor, what arrived, and how many sends are under way.
//!
//! One allocation a socket. Its handle holds it, and so does every operation on it; the descriptor is closed when the
//! last of them lets go.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::close::Fd;
use super::receive_message::{Head, Inbox};
use super::waiting::Waiting;
use crate::driver::Actions;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Endpoint<H> {
    pub(crate) fd: Fd,
    pub(crate) inbox: Inbox<H>,
    sends: Cell<u32>,
    /// Sends that began, going round.
    sent: Cell<u32>,
    /// One more waits.
    sends_max: u32,
    /// Who waits for a pass to send.
    senders: Waiting,
}

impl<H: Head> Endpoint<H> {
    pub(crate) fn new(fd: Fd, sends_max: u32) -> Rc<Self> {
        let inbox = Inbox::new(fd.driver().limits().undelivered_max);
        Rc::new(Self {
            fd,
            inbox,
            sends: Cell::new(0),
            sent: Cell::new(0),
            sends_max,
            senders: Waiting::default(),
        })
    }

    /// Takes a pass to send; waits for one while all are taken.
    #[inline]
    pub(crate) fn poll_pass(self: &Rc<Self>, cx: &Context<'_>) -> Poll<Pass<H>> {
        if self.sends.get() < self.sends_max {
            self.sends.set(self.sends.get() + 1);
            self.note_sent();
            return Poll::Ready(Pass { endpoint: Rc::clone(self), held: true });
        }
        self.senders.wait_as_task(cx);
        Poll::Pending
    }

    /// How many sends began, going round.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.get()
    }

    /// A send began, be it by a system call.
    #[inline]
    pub(crate) fn note_sent(&self) {
        self.sent.set(self.sent.get().wrapping_add(1));
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.sends.get() > 0
    }

    /// Resolves once no send is under way.
    pub(crate) fn poll_quiet(&self, cx: &Context<'_>) -> Poll<()> {
        if self.sends.get() == 0 {
            return Poll::Ready(());
        }
        self.senders.wait_as_task(cx);
        Poll::Pending
    }

    /// Resolves once a pass to send is free.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.sends.get() < self.sends_max {
            return Poll::Ready(());
        }
        self.senders.wait_as_task(cx);
        Poll::Pending
    }
}

/// The right to have a send under way. It is given up when the kernel is done, whether or not anybody still waits.
#[derive(Debug)]
pub(crate) struct Pass<H: Head> {
    endpoint: Rc<Endpoint<H>>,
    held: bool,
}

impl<H: Head> Pass<H> {
    pub(super) fn endpoint(&self) -> &Endpoint<H> {
        &self.endpoint
    }

    /// The kernel is done with the send of this pass.
    #[inline]
    pub(super) fn landed(&mut self, actions: &mut Actions) {
        self.held = false;
        self.endpoint.sends.set(self.endpoint.sends.get() - 1);
        self.endpoint.senders.wake(actions);
    }
}

impl<H: Head> Drop for Pass<H> {
    fn drop(&mut self) {
        if self.held {
            self.endpoint.sends.set(self.endpoint.sends.get() - 1);
            self.endpoint.senders.wake_now(self.endpoint.fd.driver());
        }
    }
}
