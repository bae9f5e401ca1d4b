//! ASYNC_CANCEL of every operation on a socket of messages, when it is gone and its sends have had their time.
//!
//! By descriptor, which costs the kernel a look at all that is pending: for the rare end, not for the way.
//!
//! # Safety rules
//!
//! 1. The entry names no memory, only the descriptor, which the endpoint keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::rc::Rc;

use io_uring::types::CancelBuilder;

use super::endpoint::Endpoint;
use super::receive_message::Head;
use crate::driver::{Actions, Standing};
use crate::sys::{Cqe, Sqe};

struct CancelAll<H: Head> {
    endpoint: Rc<Endpoint<H>>,
}

/// Asks the kernel to end every operation on the socket. Their own completions say what came of it.
pub(crate) fn cancel_all<H: Head>(endpoint: &Rc<Endpoint<H>>) {
    let cancel = CancelAll { endpoint: Rc::clone(endpoint) };
    // Where the runtime ends, that cancels them.
    let _ = endpoint.fd.driver().stand(cancel);
}

// SAFETY: rule 1.
unsafe impl<H: Head> Standing for CancelAll<H> {
    const KIND: &'static str = "cancel all";

    fn prepare(&mut self) -> Sqe {
        let every = CancelBuilder::fd(self.endpoint.fd.target()).all();
        io_uring::opcode::AsyncCancel2::new(every).build()
    }

    fn deliver(&mut self, _cqe: Cqe, _actions: &mut Actions) {}
}
