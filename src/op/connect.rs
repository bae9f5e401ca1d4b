//! CONNECT of a socket to an address.
//!
//! # Safety rules
//!
//! 1. The entry names `address`, which lies in the operation and is not changed, and the descriptor, which
//!    `socket` keeps open.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::io;

use socket2::SockAddr;

use super::close::Fd;
use crate::driver::{Operation, Outcome, WhenDropped, gone};
use crate::sys::Sqe;

#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) socket: Fd,
    pub(crate) address: SockAddr,
}

// SAFETY: rule 1. An orphan drops the socket, which closes it: nobody else knows the connection.
unsafe impl Operation for Connect {
    type Output = io::Result<Fd>;

    const KIND: &'static str = "connect";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;

    fn prepare(&mut self) -> Sqe {
        let address = self.address.as_ptr().cast();
        io_uring::opcode::Connect::new(self.socket.target(), address, self.address.len()).build()
    }

    fn left_behind() -> Option<Self::Output> {
        Some(Err(gone()))
    }

    fn complete(self, outcome: Outcome) -> Self::Output {
        outcome.result.map(|_| self.socket)
    }
}
