//! A connection as a reader and a writer, as asyncio opens it.

use std::io;

use super::{OwnedReadHalf, OwnedWriteHalf, TcpStream, ToSocketAddrs};
use crate::io::{BufReader, BufWriter};

/// Connects as [`TcpStream::connect`] does, and gives the connection as two: one reads lines and lengths, the other
/// gathers what is written.
///
/// If the future is dropped, so are all attempts. The connection closes when both are dropped; dropping the writer
/// ends the outgoing direction, and what was not flushed is lost.
///
/// ```
/// use annulus::io::AsyncWriteExt;
/// use annulus::net::{TcpListener, open_connection};
///
/// annulus::run(async {
///     let listener = TcpListener::bind("localhost:0").await?;
///     let (mut reader, mut writer) = open_connection(listener.local_addr()?).await?;
///     let (server, _peer) = listener.accept().await?;
///     writer.write_all(b"hello\n").await?;
///     writer.flush().await?;
///     while let Some(chunk) = server.recv().await? {
///         server.send_all(chunk).await?;
///         server.shutdown().await?;
///         break;
///     }
///     assert_eq!(reader.line().await?, Some(&b"hello"[..]));
///     assert_eq!(reader.line().await?, None);
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// As for [`TcpStream::connect`].
///
/// # Panics
///
/// Outside a runtime.
pub async fn open_connection(
    address: impl ToSocketAddrs,
) -> io::Result<(BufReader<OwnedReadHalf>, BufWriter<OwnedWriteHalf>)> {
    let (reader, writer) = TcpStream::connect(address).await?.into_split();
    Ok((BufReader::new(reader), BufWriter::new(writer)))
}
