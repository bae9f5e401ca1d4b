//! The echo server on a mesh: one shard accepts, and all have the same share of the connections.
//!
//! Compare two shards with twice the connections against one. That the connections are handed round, and not spread
//! by the kernel's hash, makes the shares equal.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use annulus::mesh::{Cores, Mesh, shard};

/// Serves until `control` is closed at its other end.
pub(crate) fn serve(listener: TcpListener, control: TcpStream, shards: usize) -> io::Result<()> {
    let ends = Mutex::new(Some((listener, control)));
    let mesh = Mesh::builder().cores(Cores::Count(shards)).pin(false);
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
