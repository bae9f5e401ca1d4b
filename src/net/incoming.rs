//! The connections of a listener, one after the other.

use std::io;

use super::{TcpListener, TcpStream};

/// See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(listener: &'a TcpListener) -> Self {
        Self { listener }
    }

    /// The next connection, without the peer's address. It never ends.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::accept`].
    pub async fn next(&mut self) -> io::Result<TcpStream> {
        self.listener.accept_stream().await
    }
}
