//! A received message, or bytes of a stream with what came beside them.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;

use super::UCred;
use crate::buf::Chunk;
use crate::op::close::Fd;
use crate::op::receive_message::{self, Beside};

/// A received message, or bytes of a stream: in a buffer of the core's pool, and what came with them.
///
/// It dereferences to `[u8]`, and may be held as long as one likes. Descriptors that nobody took are closed when it
/// is dropped; so are those of messages that nobody received, with their socket. The ring closes them, so that the
/// close of a file which waits for its server holds up nobody.
#[derive(Debug)]
pub struct Message {
    message: receive_message::Message<Beside>,
}

impl Message {
    pub(super) fn new(message: receive_message::Message<Beside>) -> Self {
        Self { message }
    }

    /// Who sent it; `None` if the sender has no name, and for bytes of a stream.
    pub fn peer_addr(&self) -> Option<&SocketAddr> {
        self.message.head.local.source.as_deref()
    }

    /// The descriptors that came with it, in the order in which they were sent. They close on exec; a second call
    /// gives none.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        let descriptors = std::mem::take(&mut self.message.head.descriptors);
        descriptors.into_iter().map(Fd::into_owned).collect()
    }

    /// The process that sent it, if `set_passcred` asked for it.
    pub fn credentials(&self) -> Option<UCred> {
        self.message.head.local.credentials.map(UCred::new)
    }

    /// Whether it was longer than the buffer, and its end is lost.
    pub fn is_truncated(&self) -> bool {
        self.message.head.local.is_truncated
    }

    /// Whether not all that came with it could be received, as when no descriptor is left: the kernel closed the
    /// rest.
    pub fn is_control_truncated(&self) -> bool {
        self.message.head.local.is_control_truncated
    }

    /// The bytes alone, to keep or to send from where they lie. Descriptors that were not taken are closed.
    pub fn into_chunk(self) -> Chunk {
        self.message.payload
    }

    /// Nothing came, which is how a connection ends.
    pub(super) fn is_end(&self) -> bool {
        self.is_empty() && self.message.head.descriptors.is_empty()
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.message.payload
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Copies what fits of a message.
pub(super) fn copy(message: &[u8], buf: &mut [u8]) -> usize {
    let count = message.len().min(buf.len());
    buf[..count].copy_from_slice(&message[..count]);
    count
}
