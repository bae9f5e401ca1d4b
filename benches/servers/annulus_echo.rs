//! The echo server on annulus, the way a user would write it.

use std::io;
use std::net::{TcpListener, TcpStream};

/// Not there yet: the bench says SKIP and prints this error. Once the crate has sockets the body is
///
/// ```ignore
/// annulus::run(async {
///     let listener = annulus::net::TcpListener::from_std(listener)?;
///     let control = annulus::net::TcpStream::from_std(control)?;
///     annulus::spawn(async move {
///         loop {
///             let (stream, _peer) = listener.accept().await?;
///             annulus::spawn(async move {
///                 while let Some(chunk) = stream.recv().await? {
///                     stream.send_all(chunk).await?;
///                 }
///                 io::Result::Ok(())
///             });
///         }
///         #[allow(unreachable_code, reason = "names the task's result")]
///         io::Result::Ok(())
///     });
///     while control.recv().await?.is_some() {}
///     Ok(())
/// })
/// ```
pub(crate) fn serve(_listener: TcpListener, _control: TcpStream) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "annulus has no sockets yet"))
}
