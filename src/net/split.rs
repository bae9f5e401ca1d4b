//! A stream as two halves, so that one task reads while another writes.

use std::error::Error;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::SockRef;

use super::TcpStream;
use super::connection::Connection;
use crate::buf::{BufError, BufResult, Chunk, IoBuf, IoBufMut};
use crate::io::{read_by_reference, write_by_reference};
use crate::sys::sockaddr;

/// The reading half of a stream, a [`TcpStream`] if nothing else is said. The connection closes when both halves are
/// dropped.
pub struct OwnedReadHalf<S = TcpStream> {
    connection: Rc<Connection>,
    of: PhantomData<fn() -> S>,
}

/// The writing half of a stream, a [`TcpStream`] if nothing else is said. Dropping it ends the outgoing direction, once
/// a send under way is out.
pub struct OwnedWriteHalf<S = TcpStream> {
    connection: Rc<Connection>,
    /// Reunited or given up: dropping it ends nothing.
    kept: bool,
    of: PhantomData<fn() -> S>,
}

pub(super) fn halves<S>(connection: Rc<Connection>) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let read = OwnedReadHalf { connection: Rc::clone(&connection), of: PhantomData };
    (read, OwnedWriteHalf { connection, kept: false, of: PhantomData })
}

impl<S> OwnedReadHalf<S> {
    /// See [`TcpStream::recv`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv(&self) -> io::Result<Option<Chunk>> {
        self.connection.recv().await
    }

    /// See [`TcpStream::read`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.read(buf).await
    }

    /// See [`TcpStream::read_exact`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        self.connection.read_exact(buf).await
    }

    /// See [`TcpStream::read_owned`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
        self.connection.read_owned(buf).await
    }

    /// See [`TcpStream::readable`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn readable(&self) -> io::Result<()> {
        self.connection.readable().await
    }

    /// See [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.try_read(buf)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What both halves are of, unless they are of different streams.
    pub(super) fn rejoin(
        self,
        mut write: OwnedWriteHalf<S>,
    ) -> Result<Rc<Connection>, ReuniteError<S>> {
        if !Rc::ptr_eq(&self.connection, &write.connection) {
            return Err(ReuniteError(self, write));
        }
        write.kept = true;
        drop(write);
        Ok(self.connection)
    }
}

impl OwnedReadHalf {
    /// See [`TcpStream::peer_addr`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&SockRef::from(&self.connection.line.fd).peer_addr()?)
    }

    /// See [`TcpStream::local_addr`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&SockRef::from(&self.connection.line.fd).local_addr()?)
    }

    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with both halves if they are of different streams.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        self.rejoin(write).map(TcpStream::from_connection)
    }
}

impl OwnedWriteHalf {
    /// See [`TcpStream::peer_addr`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&SockRef::from(&self.connection.line.fd).peer_addr()?)
    }

    /// See [`TcpStream::local_addr`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sockaddr::to_std(&SockRef::from(&self.connection.line.fd).local_addr()?)
    }
}

impl<S> OwnedWriteHalf<S> {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// See [`TcpStream::write`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.write(bytes).await
    }

    /// See [`TcpStream::write_all`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.connection.write_all(bytes).await
    }

    /// See [`TcpStream::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send<B: IoBuf>(&self, buf: B) -> BufResult<usize, B> {
        self.connection.send(buf, false).await
    }

    /// See [`TcpStream::send_all`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_all<B: IoBuf>(&self, buf: B) -> Result<B, BufError<B>> {
        self.connection.send_all(buf).await
    }

    /// See [`TcpStream::send_all_vectored`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_all_vectored<B: IoBuf>(
        &self,
        bufs: Vec<B>,
    ) -> Result<Vec<B>, BufError<Vec<B>>> {
        self.connection.send_all_vectored(bufs).await
    }

    /// See [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.try_write(bytes)
    }

    /// See [`TcpStream::shutdown`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.connection.shutdown().await
    }

    /// Drops the half without ending the outgoing direction.
    pub fn forget(mut self) {
        self.kept = true;
    }
}

read_by_reference!([S] OwnedReadHalf<S>, connection);
write_by_reference!([S] OwnedWriteHalf<S>, connection);

impl<S> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if !self.kept {
            self.connection.shutdown_in_background();
        }
    }
}

/// Two halves that are not of one stream.
pub struct ReuniteError<S = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these halves are not of the same stream")
    }
}

impl<S> Error for ReuniteError<S> {}

impl<S> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReuniteError").field(&self.0).field(&self.1).finish()
    }
}

impl<S> fmt::Debug for OwnedReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedReadHalf").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for OwnedWriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedWriteHalf").finish_non_exhaustive()
    }
}
