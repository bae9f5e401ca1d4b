//! The echo server on a mesh: one shard accepts, and all have the same share of the connections.
//!
//! Compare two shards with twice the connections against one. That the connections are handed round, and not spread
//! by the kernel's hash, makes the shares equal.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use annulus::mesh::{Builder, Cores, Mesh, shard};

/// Serves until `control` is closed at its other end.
pub(crate) fn serve(listener: TcpListener, control: TcpStream, shards: usize) -> io::Result<()> {
    serve_on(Mesh::builder(), listener, control, shards)
}

/// As [`serve`], on cores that never sleep.
pub(crate) fn serve_spinning(
    listener: TcpListener,
    control: TcpStream,
    shards: usize,
) -> io::Result<()> {
    let mesh = Mesh::builder().runtime(|builder| builder.spin(Duration::from_secs(3600)));
    serve_on(mesh, listener, control, shards)
}

fn serve_on(
    mesh: Builder,
    listener: TcpListener,
    control: TcpStream,
    shards: usize,
) -> io::Result<()> {
    let ends = Mutex::new(Some((listener, control)));
    let mesh = mesh.cores(Cores::Count(shards)).pin(false);
    let served = mesh.run(async |me| {
        let ends = if me.index() == 0 { ends.lock().expect("no panic").take() } else { None };
        let Some((listener, control)) = ends else {
            return io::Result::Ok(());
        };
        let listener = annulus::net::TcpListener::from_std(listener)?;
        let control = annulus::net::TcpStream::from_std(control)?;
        annulus::spawn(async move {
            for next in (0..me.count()).cycle() {
                let (stream, _peer) = listener.accept().await?;
                drop(stream.move_to(&shard(next), super::annulus_echo::echo).await);
            }
            io::Result::Ok(())
        });
        while control.recv().await?.is_some() {}
        Ok(())
    });
    served.map(drop).map_err(io::Error::from)
}
