//! A connection that leaves its core for another.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::TcpStream;
use super::connection::{Connection, Detached};
use crate::driver;
use crate::mesh::Shard;
use crate::runtime::RemoteHandle;

/// A connection that belongs to no runtime, with the bytes that had arrived and nobody took.
///
/// It may go to any thread. Dropping it closes the connection.
#[derive(Debug)]
pub struct DetachedStream {
    detached: Detached,
}

impl DetachedStream {
    /// The connection, on the runtime of this thread: the next read gives what had arrived, in order.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn attach(self) -> TcpStream {
        let driver = driver::current::expect("DetachedStream::attach");
        TcpStream::from_connection(Connection::attach(driver, self.detached))
    }
}

impl TcpStream {
    /// Takes the connection off its runtime, for [`DetachedStream::attach`] on another.
    ///
    /// Waits until a send under way is out, and until the kernel has given the receive back. If the future is
    /// dropped, so is the stream, with the bytes that it held.
    ///
    /// # Errors
    ///
    /// As for [`into_std`](Self::into_std); the stream is closed then.
    pub async fn detach(self) -> io::Result<DetachedStream> {
        Ok(DetachedStream { detached: self.into_connection().detach().await? })
    }

    /// Hands the connection to another shard, where `serve` gets it: sends are out, and what arrived and nobody took
    /// travels along.
    ///
    /// Resolves when it is on its way; the handle is that of the task there, and dropping it lets the task run on. If
    /// the future is dropped before, so is the stream. If the shard ends before its task begins, the connection is
    /// closed.
    ///
    /// ```
    /// use annulus::mesh::{Cores, Mesh, shard};
    /// use annulus::net::{TcpListener, TcpStream};
    ///
    /// Mesh::builder().cores(Cores::Count(2)).pin(false).run(async |me| {
    ///     if me.index() > 0 {
    ///         return Ok(());
    ///     }
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (stream, _peer) = listener.accept().await?;
    ///     let other = shard(1);
    ///     let served = stream.move_to(&other, async |stream: TcpStream| {
    ///         stream.write_all(b"from shard 1").await
    ///     });
    ///     served.await?.await??;
    ///     let mut text = [0; 12];
    ///     client.read_exact(&mut text).await?;
    ///     assert_eq!(&text, b"from shard 1");
    ///     Ok::<_, std::io::Error>(())
    /// })?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoveError`]: that of [`detach`](Self::detach), or that the shard has ended, with the connection.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn move_to<T: Send + 'static>(
        self,
        shard: &Shard,
        serve: impl AsyncFnOnce(Self) -> T + Send + 'static,
    ) -> Result<RemoteHandle<T>, MoveError> {
        let failed = |error| MoveError { error, stream: None };
        let stream = self.detach().await.map_err(failed)?;
        // Shared, to have it back when the shard has ended.
        let place = Arc::new(Mutex::new(Some(stream)));
        let there = Arc::clone(&place);
        let handle = shard.handle().try_spawn(async move || {
            let stream = take(&there).expect("it is taken once");
            serve(stream.attach()).await
        });
        handle.map_err(|()| MoveError {
            error: io::Error::new(io::ErrorKind::BrokenPipe, "the shard has ended"),
            stream: take(&place).map(DetachedStream::attach),
        })
    }
}

fn take(place: &Mutex<Option<DetachedStream>>) -> Option<DetachedStream> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Why a connection was not moved.
#[derive(Debug)]
pub struct MoveError {
    error: io::Error,
    stream: Option<TcpStream>,
}

impl MoveError {
    /// The connection, on the runtime that it was on, if it is whole.
    pub fn into_stream(self) -> Option<TcpStream> {
        self.stream
    }
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection was not moved: {}", self.error)
    }
}

impl Error for MoveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<MoveError> for io::Error {
    fn from(error: MoveError) -> Self {
        error.error
    }
}
