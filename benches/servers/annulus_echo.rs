//! The echo server on annulus, the way a user would write it.

use std::io;
use std::net::{TcpListener, TcpStream};

/// Serves until `control` is closed at its other end.
pub(crate) fn serve(listener: TcpListener, control: TcpStream) -> io::Result<()> {
    annulus::run(async {
        let listener = annulus::net::TcpListener::from_std(listener)?;
        let control = annulus::net::TcpStream::from_std(control)?;
        annulus::spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await?;
                annulus::spawn(echo(stream));
            }
            #[expect(unreachable_code, reason = "it names the type of the task's result")]
            io::Result::Ok(())
        });
        while control.recv().await?.is_some() {}
        Ok(())
    })
}

pub(super) async fn echo(stream: annulus::net::TcpStream) -> io::Result<()> {
    while let Some(chunk) = stream.recv().await? {
        stream.send_all(chunk).await?;
    }
    Ok(())
}
