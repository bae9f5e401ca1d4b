//! ACCEPT, armed by a listener: once for many connections, or once for each where multishot is off.
//!
//! The listener owns what is accepted. A dropped accept future loses no connection, because it never had one.
//!
//! # Safety rules
//!
//! 1. The entry names no memory, only the descriptor, which `listener` keeps open.
//! 2. A completion that is not negative carries a new descriptor that nobody else owns.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::armed::Armed;
use super::close::Fd;
use super::is_to_be_asked_again;
use super::waiting::{Id, Waiting};
use crate::driver::{Actions, Standing};
use crate::sys::{Cqe, Sqe};

/// Connections that were accepted and not yet taken, and whether more are on the way.
#[derive(Debug)]
pub(crate) struct Accepted {
    state: RefCell<State>,
    waiting: Waiting,
    /// With so many untaken the accept is cancelled until they are taken; the rest waits in the kernel.
    untaken_max: usize,
}

#[derive(Debug, Default)]
struct State {
    connections: VecDeque<OwnedFd>,
    armed: Armed,
    error: Option<io::Error>,
}

/// What an accept finds when it looks.
pub(crate) enum Next {
    Connection(OwnedFd),
    /// The process or the system has no descriptor or no memory left; the connection waits in the kernel.
    Exhausted,
    Failed(io::Error),
}

impl Accepted {
    pub(crate) fn new(untaken_max: usize) -> Rc<Self> {
        Rc::new(Self { state: RefCell::default(), waiting: Waiting::default(), untaken_max })
    }

    /// Takes a connection, or arms the accept and waits for one.
    pub(crate) fn next<'a>(self: &'a Rc<Self>, listener: &'a Rc<Fd>) -> Taking<'a> {
        Taking { accepted: self, listener, id: 0 }
    }

    /// Connections that nobody took yet.
    pub(crate) fn untaken(&self) -> usize {
        self.state.borrow().connections.len()
    }

    /// Ends the accept: the listener is being dropped. What was accepted and not taken is closed.
    pub(crate) fn close(&self, listener: &Fd) {
        let mut state = self.state.borrow_mut();
        let connections = std::mem::take(&mut state.connections);
        let armed = state.armed.key();
        drop(state);
        armed.into_iter().for_each(|key| listener.driver().abandon(key));
        self.waiting.dismiss(listener.driver());
        drop(connections);
    }
}

/// See [`Accepted::next`]. Dropped, it leaves nothing behind but the accept that it armed.
#[derive(Debug)]
pub(crate) struct Taking<'a> {
    accepted: &'a Rc<Accepted>,
    listener: &'a Rc<Fd>,
    id: Id,
}

impl Future for Taking<'_> {
    type Output = Next;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.accepted.state.borrow_mut();
        if let Some(connection) = state.connections.pop_front() {
            return Poll::Ready(Next::Connection(connection));
        }
        if let Some(error) = state.error.take() {
            let exhausted = matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
            );
            return Poll::Ready(if exhausted { Next::Exhausted } else { Next::Failed(error) });
        }
        if !state.armed.is_armed() {
            let (listener, accepted) = (Rc::clone(self.listener), Rc::clone(self.accepted));
            match self.listener.driver().stand(Accept { listener, accepted }) {
                Ok(key) => state.armed = Armed::under(key),
                Err(_) => return Poll::Ready(Next::Failed(crate::driver::gone())),
            }
        }
        drop(state);
        let this = &mut *self;
        this.accepted.waiting.wait(&mut this.id, cx);
        Poll::Pending
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.accepted.waiting.leave(self.id);
    }
}

struct Accept {
    listener: Rc<Fd>,
    accepted: Rc<Accepted>,
}

// SAFETY: rule 1.
unsafe impl Standing for Accept {
    const KIND: &'static str = "accept";

    fn prepare(&mut self) -> Sqe {
        let flags = libc::SOCK_CLOEXEC;
        let target = self.listener.target();
        if self.listener.driver().features().multishot_accept {
            return io_uring::opcode::AcceptMulti::new(target).flags(flags).build();
        }
        let (address, len) = (std::ptr::null_mut(), std::ptr::null_mut());
        io_uring::opcode::Accept::new(target, address, len).flags(flags).build()
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let mut state = self.accepted.state.borrow_mut();
        match cqe.result {
            fd @ 0.. => {
                // SAFETY: rule 2.
                let connection = unsafe { OwnedFd::from_raw_fd(fd) };
                state.connections.push_back(connection);
            }
            error if is_to_be_asked_again(-error) || has_died(-error) => {}
            error => state.error = Some(io::Error::from_raw_os_error(-error)),
        }
        if state.armed.goes_on(cqe) && state.connections.len() >= self.accepted.untaken_max {
            state.armed.stop(actions);
        }
        // All of them: the one that takes the connection is the first that is polled, and some may be gone.
        self.accepted.waiting.wake(actions);
    }
}

/// The connection died before it was accepted: the next one will do.
fn has_died(code: i32) -> bool {
    matches!(
        code,
        libc::ECONNABORTED
            | libc::EPROTO
            | libc::EPERM
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
    )
}
