//! Scenes of Unix streams that pass descriptors, and of a server of them.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream as StdUnix;
use std::rc::Rc;

use annulus::net::{Limits, UnixListener, UnixStream, serve};
use annulus::task::CancellationToken;

use super::{Fate, Scene, TEXT, pipe};
use crate::support::names::abstract_name;
use crate::support::settled::until;

/// A receive of bytes with a pipe's writing end; the reading end says when every copy is closed.
pub(super) fn recv_message(wins: bool) -> Scene {
    let (near, far) = UnixStream::pair().expect("a pair");
    let (near, far) = (Rc::new(near), Rc::new(far));
    let (mut reader, writer) = pipe();
    let (same, sender) = (Rc::clone(&near), Rc::clone(&far));
    let writer = Rc::new(RefCell::new(Some(writer)));
    let unsent = Rc::clone(&writer);
    let told = Rc::new(Cell::new(false));
    let is_sent = Rc::clone(&told);
    Scene::plain(Box::pin(async move { _ = same.recv_message().await }))
        .provoked(wins, move || {
            if let Some(writer) = writer.take() {
                let (sender, told) = (Rc::clone(&sender), Rc::clone(&told));
                drop(annulus::spawn(async move {
                    _ = sender.send_with_fds(TEXT, vec![writer.into()]).await;
                    told.set(true);
                }));
            }
        })
        .then(move |fate| async move {
            until(|| is_sent.get() || fate == Fate::Undone).await;
            far.write_all(b"more").await.expect("somebody reads");
            let mut bytes = Vec::new();
            let expected = if fate == Fate::Undone { 4 } else { TEXT.len() + 4 };
            while bytes.len() < expected {
                let message = near.recv_message().await.expect("nothing is lost");
                let mut message = message.expect("the peer is there");
                let fds = message.take_fds();
                assert_eq!(fds.len(), usize::from(bytes.is_empty() && fate != Fate::Undone));
                bytes.extend_from_slice(&message);
            }
            assert!(bytes.ends_with(b"more"));
            drop(unsent.take());
            until(|| matches!(reader.read(&mut [0]), Ok(0))).await;
        })
}

/// A server without clients, or with one that it has accepted or not; `provoke` asks it to end.
pub(super) fn server(wins: bool) -> Scene {
    let listener = UnixListener::bind(abstract_name()).expect("bind");
    let address = listener.local_addr().expect("bound");
    let connect = || {
        let client = StdUnix::connect_addr(&address).expect("the backlog has room");
        client.set_nonblocking(true).expect("a socket");
        client
    };
    let client = (!wins).then(connect);
    let stop = CancellationToken::new();
    let limits = Limits::new().drain(std::time::Duration::ZERO);
    let server = serve(listener, limits, async |stream: UnixStream| stream.recv().await.map(drop));
    let server = server.until(stop.cancelled());
    Scene::plain(Box::pin(async move { _ = server.await }))
        .provoked(wins, move || stop.cancel())
        .then(move |fate| async move {
            if fate == Fate::Leaked {
                return;
            }
            // Served or not, the client reads an end, and nobody listens any more.
            if let Some(client) = client {
                until(|| match (&client).read(&mut [0]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                    Err(error) => error.kind() == ErrorKind::ConnectionReset,
                    Ok(count) => count == 0,
                })
                .await;
            }
            until(|| StdUnix::connect_addr(&address).is_err()).await;
        })
}
