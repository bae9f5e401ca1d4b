//! A connected socket as its operations share it: the descriptor, what arrived, and whose turn it is to send.
//!
//! One allocation a connection. The stream holds it, and so does every operation on it; the descriptor is closed when
//! the last of them lets go.

use std::rc::Rc;

use super::close::Fd;
use super::receive::Arrivals;
use super::send::Outbox;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) fd: Fd,
    pub(crate) arrivals: Arrivals,
    pub(crate) outbox: Outbox,
}

impl Line {
    pub(crate) fn new(fd: Fd) -> Rc<Self> {
        let arrivals = Arrivals::new(fd.driver().limits().undelivered_max);
        Rc::new(Self { fd, arrivals, outbox: Outbox::default() })
    }
}
