//! The echo server on tokio's current-thread runtime, the way a user would write it.

use std::io;
use std::net::{TcpListener, TcpStream};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn serve(
    listener: TcpListener,
    control: TcpStream,
    buffer_size: usize,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    control.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let control = tokio::net::TcpStream::from_std(control)?;
        // Spawned, not polled beside the control stream: a user's accept loop is a task of its own.
        let accepting = tokio::spawn(accept(listener, buffer_size));
        control.readable().await?;
        accepting.abort();
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, buffer_size: usize) -> io::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        tokio::spawn(echo(stream, buffer_size));
    }
}

async fn echo(mut stream: tokio::net::TcpStream, buffer_size: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer_size];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
